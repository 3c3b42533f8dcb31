"""A key of the app's own process that signs one message of a kind a round, for ever.

``context.state`` ends with a Flower run, and a restart or a second run would sign anew. So where
the node's owner gives a folder (``bcfl-folder``), or has a key file off development chains,
what is signed is on the disk before the signature is given away: in the same record, with the
same refusals, as that of ``bcfl signer``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flwr.app import Context

from bcfl.consensus.signer.messages import KINDS, MemberMessage
from bcfl.consensus.signer.record import SigningRecord, record_path
from bcfl.flower.identity import FOLDER, KEY_FILE, SIGNER
from bcfl.keys.accounts import DEVELOPMENT_CHAINS
from bcfl.keys.signer import Reader, Wallet


@dataclass(frozen=True, slots=True)
class SignOnce:
    """Implements ``Wallet``, and ``Reader`` where the wallet does."""

    wallet: Wallet
    path: Path  #: of the record

    @property
    def address(self) -> str:
        """Checksummed address."""
        return self.wallet.address

    @property
    def public_key(self) -> bytes:
        """The wallet's; AttributeError where it has none."""
        wallet: Any = self.wallet
        key: bytes = wallet.public_key
        return key

    def unseal(self, sealed: bytes) -> bytes:
        """What was sealed to this account."""
        assert isinstance(self.wallet, Reader)
        return self.wallet.unseal(sealed)

    def sign(self, message: dict[str, Any]) -> bytes:
        """The signature, noted before it is made.

        Raises
        ------
        SignedAlready
            Another message of this kind was signed for this round.
        AccountError
            The record cannot be written, or another process is signing with this key.
        """
        said = MemberMessage(message["primaryType"], message)
        if said.kind in KINDS and said.binds:
            with SigningRecord(self.path, self.address) as record:
                record.claim(said)
        return self.wallet.sign(message)

    def sign_transaction(self, fields: dict[str, Any]) -> bytes:
        """The wallet's; what it says was signed as a message before."""
        return self.wallet.sign_transaction(fields)


def signing_once(wallet: Wallet, context: Context, chain_id: int) -> Wallet:
    """``wallet``, with a record where there is a place for one, and none of the signer's own."""
    config = context.node_config
    if SIGNER in config:
        return wallet
    if (folder := config.get(FOLDER)) is not None:
        path = Path(str(folder))
        path.mkdir(parents=True, exist_ok=True)
        return SignOnce(wallet, path / f"{wallet.address}.signed.jsonl")
    if (key := config.get(KEY_FILE)) is not None and chain_id not in DEVELOPMENT_CHAINS:
        return SignOnce(wallet, record_path(Path(str(key))))
    return wallet
