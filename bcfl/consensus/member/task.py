"""The task as a node sees it: which contract, through which Ethereum node, by which rules.

The node's configuration has the last word: ``bcfl-rpc-url`` names the Ethereum node that it
trusts, and ``bcfl-contract`` the one contract that it takes part in.
"""

from __future__ import annotations

from functools import lru_cache

from flwr.app import Context

from bcfl.chain.connection import Connection
from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.spec.rules import Rules
from bcfl.core.errors import ProtocolError
from bcfl.core.strict_json import parse_json
from bcfl.keys.signer import Wallet

__all__ = ["CONTRACT", "RPC_URL", "agreed_rules", "attach", "expect_pinned"]

RPC_URL = "bcfl-rpc-url"
CONTRACT = "bcfl-contract"
_PINNED = "bcfl-contract"


def agreed_rules(text: str, ledger: Ledger) -> Rules:
    """The rules that the server sent as JSON.

    Raises
    ------
    ProtocolError
        They are none, or not those of the contract.
    """
    try:
        rules = Rules(**parse_json(text.encode()))
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"the server sent rules that are none: {error}") from error
    if rules.digest() != ledger.rules:
        raise ProtocolError("the server's rules are not those the contract was deployed with")
    return rules


def expect_pinned(contract: str, context: Context) -> None:
    """Raise ProtocolError where the node is a member of another contract, or told to be."""
    configured = context.node_config.get(CONTRACT)
    known = context.state.config_records.get(_PINNED)
    expected = str(configured) if configured else str(known["address"]) if known else contract
    if contract != expected:
        raise ProtocolError(f"this node is a member of {expected}; the server named {contract}")


@lru_cache(maxsize=64)
def attach(url: str, contract: str, rules: str, signer: Wallet | None) -> Ledger:
    """The task's contract at a node; once a process.

    ``rules`` is what :func:`agreed_rules` is about to compare with the contract's. A development
    chain that is begun anew at the same port has the same contract address; what was read from
    the one before must not be taken for its own.
    """
    return Ledger.attach(Connection(url, signer), contract)
