"""What a marketplace's people bring along: keys that the contract checks, and secrets."""

from __future__ import annotations

import hashlib

from eth_utils.crypto import keccak

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.keys.accounts import Account
from bcfl.keys.sealing import public_key_of
from bcfl.market.contract.ledger import MarketLedger

__all__ = ["People", "account", "commitment", "digest", "public_key"]

ETHER = 10**18


def digest(text: str) -> bytes:
    """32 bytes that stand for ``text``."""
    return hashlib.sha256(text.encode()).digest()


def account(name: str) -> Account:
    """The same account for the same name, always."""
    return Account(digest(f"key of {name}"))


def public_key(name: str) -> bytes:
    """64 bytes, x ‖ y."""
    return public_key_of(digest(f"key of {name}"))[1:]


def commitment(secret: bytes) -> bytes:
    """As the contract computes it when the secret is disclosed."""
    return bytes(keccak(secret))


class People:
    """One marketplace, seen from whoever is named; the first to name somebody makes it rich."""

    def __init__(self, chain: EmbeddedChain, bond: int = 0, draw_delay: int = 2) -> None:
        self.chain = chain
        deployer = chain.connect(chain.coordinator)
        self.market = MarketLedger.deploy(
            deployer, chain.wait_until, bond=bond, draw_delay=draw_delay
        )
        self._seen: dict[str, MarketLedger] = {}

    def __getitem__(self, name: str) -> MarketLedger:
        if name not in self._seen:
            someone = account(name)
            self.chain.fund(someone.address, ETHER)
            connection = self.chain.connect(someone)
            self._seen[name] = MarketLedger.attach(
                connection, self.market.address, self.chain.wait_until
            )
        return self._seen[name]

    def panel(self, submission: bytes) -> list[MarketLedger]:
        """Who sits on it, by seat."""
        found = self.market.submission(submission)
        assert found is not None
        by_address = {market.account: market for market in self._seen.values()}
        return [by_address[seat] for seat in found.panel if seat is not None]
