"""The task as a node sees it: which contract, by which rules, through which chain and store.

The node's configuration has the last word: ``bcfl-rpc-url`` names the Ethereum node that it
trusts, ``bcfl-contract`` the one contract that it takes part in, and ``bcfl-ipfs-url`` its own
Kubo node: ``--node-config 'bcfl-ipfs-url="http://127.0.0.1:5001"'``. ``bcfl-patience-s`` says how
long its Ethereum node may lag behind the block that an order names (30 s where it does not).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from flwr.app import Context

from bcfl.chain.chain import IN_PROCESS
from bcfl.chain.connection import Connection
from bcfl.consensus.contract.ledger import Ledger, View
from bcfl.consensus.parcels import IPFS_URL, Parcels
from bcfl.consensus.records import EnrolOrder, ReviewOrder, RoundOrder
from bcfl.consensus.spec.rules import Rules
from bcfl.core.errors import ArtifactError, ProtocolError
from bcfl.core.strict_json import parse_json
from bcfl.flower.identity import CHALLENGE, CONTRACT, own_contract, rpc_url_of
from bcfl.flower.record import config_in
from bcfl.keys.signer import Reader, Signer, Wallet
from bcfl.store.blob_store import LocatingStore

if TYPE_CHECKING:
    from bcfl.consensus.contract.settlement import SettlementLedger

#: In a node's configuration: for how many seconds its Ethereum node may be behind the server's.
PATIENCE_S = "bcfl-patience-s"
_PATIENCE_S = 30.0
#: In a node's state: the round that it was asked in last, and what it said in it.
ROUND = "bcfl-round"


def _expect_pinned(contract: str, context: Context) -> None:
    """Raise ProtocolError where the node is a member of another contract, or told to be."""
    configured = own_contract(context)
    known = config_in(context.state, CONTRACT)
    expected = configured if configured else str(known["address"]) if known else contract
    if contract != expected:
        raise ProtocolError(
            f"this node is a member of {expected}; the server named {contract}: one run, one task"
        )


def attach(
    order: EnrolOrder | RoundOrder | ReviewOrder, context: Context, signer: Wallet | None
) -> tuple[Ledger, Rules, View]:
    """The task's contract, at the Ethereum node that this node trusts, its rules and its state.

    Raises
    ------
    ProtocolError
        The node is a member of another contract, or told to be; or the server's rules are not
        the contract's.
    NodeBehind
        The node has not got the block that the order names in time: nothing is known, so that
        nothing is said.
    LedgerError
        The chain cannot be read, or the contract is not bcfl's.
    """
    _expect_pinned(order.contract, context)
    url = rpc_url_of(context, order.rpc_url)
    patience_s = float(str(context.node_config.get(PATIENCE_S, _PATIENCE_S)))
    connection = _connect(url, order.contract, order.rules, signer, patience_s)
    try:
        rules, digest = _rules_of(order.rules)
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"the server sent rules that are none: {error}") from error
    find: Callable[[Connection, str], Ledger | SettlementLedger] = _attach
    if rules.settlement == "optimistic":
        # a chain in memory, and how calls are decoded: no other task needs these
        from bcfl.consensus.member.doubt import find_settlements, play  # noqa: PLC0415

        find = find_settlements
    try:
        found = find(connection, order.contract)
    except ArtifactError:
        if not order.block_hash:
            raise
        connection.await_block(order.block, order.block_hash)  # in which it may be
        found = find(connection, order.contract)
    if isinstance(found, Ledger):
        named = order.transactions if isinstance(order, ReviewOrder) else ()
        ledger = found
        view = ledger.look(order.block, order.block_hash, list(dict.fromkeys(named)))
    else:
        may_challenge = bool(context.node_config.get(CHALLENGE, False))
        ledger, view = play(found, order, last_round(context), may_challenge=may_challenge)
    if digest != ledger.rules:
        raise ProtocolError("the server's rules are not those the contract was deployed with")
    return ledger, rules, view


def last_round(context: Context) -> int:
    """The contract's round that the node was asked in last; 0 before any."""
    record = config_in(context.state, ROUND)
    return 0 if record is None else int(str(record["round"]))


@lru_cache(maxsize=8)
def _rules_of(text: str) -> tuple[Rules, bytes]:
    rules = Rules(**parse_json(text.encode()))
    return rules, rules.digest()


@lru_cache(maxsize=64)
def _connect(
    url: str, contract: str, rules: str, signer: Wallet | None, patience_s: float
) -> Connection:
    """Once a process and ``rules``: a chain begun anew at the same port has the same address."""
    if (here := IN_PROCESS.get(url)) is not None:
        return here(signer)
    return Connection(url, signer, retry_s=patience_s)


@lru_cache(maxsize=64)
def _attach(connection: Connection, contract: str) -> Ledger:
    return Ledger.attach(connection, contract)


def store_from(context: Context) -> LocatingStore | None:
    """The node's own store, or None where its configuration names none."""
    url = context.node_config.get(IPFS_URL)
    return None if url is None else _store_at(str(url))


def parcels_of(
    context: Context, signer: Signer, *, sealed: bool, recipients: Iterable[bytes] = ()
) -> Parcels:
    """How a node sends its delta, sealed to ``recipients``, and gets those of others.

    Raises
    ------
    ProtocolError
        Blobs are sealed, and the node's signer cannot open any.
    """
    if not sealed:
        return Parcels(store_from(context))
    if not isinstance(signer, Reader):
        raise ProtocolError(
            f"the blobs of this task are for members only, and {signer.address} can sign but "
            "not open what is sealed to it: start this node with a key file"
        )
    return Parcels(store_from(context), signer, lambda: recipients)


@lru_cache(maxsize=8)
def _store_at(url: str) -> LocatingStore:
    # an HTTP library, which nodes without a store of their own need not load for every message
    from bcfl.store.ipfs import IpfsStore  # noqa: PLC0415

    return IpfsStore(url)
