"""Gathering the evidence of a market's task: ``market.json``, and the chain, replayed or live."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from bcfl.audit.findings import KEEPER, Finding
from bcfl.audit.gather import TamperedError
from bcfl.audit.market.evidence import Evidence, Views
from bcfl.audit.plain_files import read_file
from bcfl.chain.calldata import read_sent
from bcfl.chain.connection import Connection
from bcfl.chain.event import Event
from bcfl.core.errors import ArtifactError, AuditError, LedgerError
from bcfl.keys.accounts import DEVELOPMENT_CHAINS, Account, derive_account
from bcfl.market.contract.events import Armed, Launched, Submitted
from bcfl.market.contract.ledger import MarketLedger
from bcfl.market.task_file import MARKET_FILE, MarketTask, parse_market_task
from bcfl.store.blob_store import BlobStore

_MOST_BYTES: Final = 2**24
_TRIES: Final = 5
_MOST_MEMBERS: Final = 256  # of a simulation


def read_told(folder: Path) -> MarketTask:
    """``market.json``, without which nobody knows which task to look at.

    Raises
    ------
    AuditError
        There is none, or it is none.
    """
    path = folder / MARKET_FILE
    return parse_market_task(read_file(path, _MOST_BYTES), path)


def gather(
    folder: Path,
    told: MarketTask,
    connection: Connection,
    store: BlobStore,
    *,
    live: bool,
    key: Account | None = None,
) -> Evidence:
    """Read everything that is checked.

    Raises
    ------
    AuditError
        The chain cannot be read, or is another one, or has no such task.
    TamperedError
        The folder's own chain has no such market or task.
    """
    ledger = _attach(told, connection, live=live)
    try:
        events, views = _read_at_rest(ledger, connection)
        numbers = list(dict.fromkeys(event.transaction for event in events))
        receipts = connection.receipts(numbers)
        mined = [number for number in numbers if number in receipts and receipts[number].succeeded]
        sent = read_sent(connection, mined)
        launched = [e for e in events if isinstance(e, Launched) and e.task == told.task]
        if not launched:
            _complain(live, f"a task {told.task} on the market {told.market}", "none")
        evidence = Evidence(
            folder=folder,
            told=told,
            market=ledger.address,
            chain_id=connection.chain_id,
            least_bond=ledger.least_bond,
            draw_delay=ledger.draw_delay,
            events=tuple(events),
            sent={number: each for number, each in sent.items() if each is not None},
            gas={number: receipts[number].gas for number in mined},
            hashes=dict(_hashes(events, connection)),
            views=views,
            blobs=store,
            keys=tuple(_keys(told, events, launched[0].initiator, key)),
            live=live,
            deployed=_was_deployed(told, ledger.address, connection),
        )
    except LedgerError as error:
        raise AuditError(f"the chain cannot be read: {error}") from error
    return evidence


def _complain(live: bool, expected: str, found: str) -> None:
    if live:
        raise AuditError(f"expected {expected}; found {found}: name the right node with --rpc")
    raise TamperedError(Finding(MARKET_FILE, KEEPER, None, expected, found))


def _attach(told: MarketTask, connection: Connection, *, live: bool) -> MarketLedger:
    try:
        if live and connection.chain_id != told.chain_id:
            _complain(live, f"a node of chain {told.chain_id}", f"chain {connection.chain_id}")
        code = connection.had_code(told.market, told.deployed_at)
        before = told.deployed_at > 0 and connection.had_code(told.market, told.deployed_at - 1)
        began = told.deployed_at if live and code is not False and not before else 0
        return MarketLedger.attach(connection, told.market, deployed_at=began)
    except ArtifactError as error:
        if live:
            raise AuditError(str(error)) from error
        expected = "a marketplace on the folder's chain"
        raise TamperedError(
            Finding(MARKET_FILE, KEEPER, None, expected, f"nothing at {told.market}")
        ) from error
    except LedgerError as error:
        raise AuditError(f"the chain cannot be read: {error}") from error


def _was_deployed(told: MarketTask, market: str, connection: Connection) -> bool:
    """Whether the market was deployed in the block that ``market.json`` names, if it names one."""
    if not told.deployed_at:
        return True
    block = connection.request("eth_getBlockByNumber", hex(told.deployed_at), True)
    with suppress(KeyError, TypeError):
        numbers = [transaction["hash"] for transaction in block["transactions"]]
        return any(each.contract == market for each in connection.receipts(numbers).values())
    return False


def _read_at_rest(ledger: MarketLedger, connection: Connection) -> tuple[Sequence[Event], Views]:
    """Events and views of one moment, although the market may go on meanwhile."""
    events = ledger.events()
    for _ in range(_TRIES):
        views = _views(ledger, connection, events)
        before, events = events, ledger.events()
        if len(before) == len(events):
            return events, views
    raise AuditError("the market goes on while it is read; audit it when it is quieter")


def _views(ledger: MarketLedger, connection: Connection, events: Sequence[Event]) -> Views:
    tasks = range(1, ledger.tasks() + 1)
    submissions = [event.submission for event in events if isinstance(event, Submitted)]
    return Views(
        {number: ledger.task(number) for number in tasks},
        {number: ledger.bond(number) for number in tasks},
        {digest: ledger.submission(digest) for digest in submissions},
        {who: ledger.account_of(who) for who in people(events)},
        connection.balance(ledger.address),
        ledger.now(),
    )


def people(events: Sequence[Event]) -> list[str]:
    """Everybody whom the market's events name, in their order."""
    names = ("initiator", "contributor", "verifier", "owner")
    found = (getattr(event, name, None) for event in events for name in names)
    return list(dict.fromkeys(who for who in found if who is not None))


def _hashes(events: Sequence[Event], connection: Connection) -> Iterator[tuple[int, bytes]]:
    numbers = list(dict.fromkeys(event.anchor for event in events if isinstance(event, Armed)))
    blocks = connection.request_many(
        "eth_getBlockByNumber", [[hex(number), False] for number in numbers]
    )
    for number, block in zip(numbers, blocks, strict=True):
        with suppress(KeyError, TypeError, ValueError):  # a block that is yet to come
            yield number, bytes.fromhex(block["hash"].removeprefix("0x"))


def _keys(
    told: MarketTask, events: Sequence[Event], launched_by: str, key: Account | None
) -> Iterator[Account]:
    """The reader's own, and those that whoever knows a simulation's seed has anyway."""
    if key is not None:
        yield key
    if told.seed is None or told.chain_id not in DEVELOPMENT_CHAINS:
        return
    account = derive_account(told.seed, "coordinator", 0)
    if account.address != launched_by:
        return
    yield account
    wanted = {*people(events)} - {account.address}
    for index in range(_MOST_MEMBERS):
        if not wanted:
            return
        account = derive_account(told.seed, "member", index)
        if account.address in wanted:
            wanted.discard(account.address)
            yield account
