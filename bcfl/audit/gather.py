"""Gathering the evidence: a folder's documents, and the chain, replayed or live."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, replace
from pathlib import Path
from typing import Final

from bcfl.audit.ballots import seed_block
from bcfl.audit.blobs import open_blobs
from bcfl.audit.documents import read_journal, read_shown
from bcfl.audit.evidence import Evidence, Receipt, Task, Terms
from bcfl.audit.findings import KEEPER, Finding
from bcfl.audit.plain_files import parse_json, read_file, read_lines
from bcfl.audit.settlements import UnsettledError, replay
from bcfl.chain.anvil import AnvilChain
from bcfl.chain.connection import Connection
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.chain.event import Event
from bcfl.consensus.contract.calldata import Call, PeerCalldata
from bcfl.consensus.contract.events import Committed, Refused, Selected
from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.contract.settlement import SettlementLedger
from bcfl.consensus.spec.domain import MAX_MEMBERS, Phase, RoundState
from bcfl.core.errors import (
    ArtifactError,
    AuditError,
    JournalDamaged,
    LedgerError,
    TransactionUnknown,
)
from bcfl.store.blob_store import BlobStore

#: Where conf/chain/anvil.yaml has the node keep its chain.
ANVIL_STATE: Final = "anvil.json"

_TRIES: Final = 5
_SETS: Final = 1 << MAX_MEMBERS


class TamperedError(Exception):
    """The folder's own chain is of no use, which is a finding; there is no more to check."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.words())
        self.finding = finding


@contextmanager
def open_chain(folder: Path, rpc_url: str | None) -> Iterator[Connection]:
    """A connection to the chain: to a node's, or to the folder's, executed once more.

    What anvil has left in the folder is not executed again, but read by another anvil.

    Raises
    ------
    AuditError
        There is neither.
    TamperedError
        The folder's chain does not replay.
    """
    if rpc_url is not None:
        with Connection(rpc_url, retry_s=5.0) as connection:
            yield connection
        return
    journal = folder / "chain.jsonl"
    if not os.path.lexists(journal) and os.path.lexists(folder / ANVIL_STATE):
        with tempfile.TemporaryDirectory(prefix="bcfl-") as copy:
            state = Path(copy, ANVIL_STATE)
            state.write_bytes(read_file(folder / ANVIL_STATE))
            with AnvilChain(state) as node, node.connect() as connection:
                yield connection
        return
    if not os.path.lexists(journal):
        raise AuditError(
            f"expected the chain of an embedded run in {journal}; there is none. "
            "If the run was on another chain, name its node with --rpc URL"
        )
    try:
        for line in read_lines(journal):  # too deep a line would end the process, not the audit
            parse_json(journal, line)
        chain = EmbeddedChain.replay(journal)
    except (JournalDamaged, AuditError) as error:
        raise TamperedError(_broken(str(error))) from error
    except Exception as error:  # py-evm raises nearly anything on fields that are nonsense
        raise TamperedError(_broken(f"{type(error).__name__}: {error}")) from error
    with chain, chain.connect() as connection:
        yield connection


def gather(
    folder: Path,
    task: Task,
    connection: Connection,
    *,
    live: bool,
    shown: Sequence[Path] = (),
    store: BlobStore | None = None,
) -> tuple[Evidence, list[Finding]]:
    """Read everything that is checked, and what is wrong with the documents themselves.

    Raises
    ------
    AuditError
        The chain cannot be read, or is another one; or what was shown is no evidence.
    TamperedError
        The folder's own chain has no such contract.
    """
    found = _attach(task, connection, live=live)
    try:
        settled, ledger, terms = None, found, _terms(found)
        if isinstance(found, SettlementLedger):
            settled = replay(folder, found)
            ledger = settled.ledger
        assert isinstance(ledger, Ledger)
        events, state, members, active = _read_at_rest(ledger)
        played = settled.calls if settled else {}
        on_chain = [event for event in events if event.transaction not in played]
        calls, gas = _read_calls(on_chain, terms, connection)
        hashes = settled.seeds if settled else dict(_hashes(events, connection))
    except UnsettledError as unsettled:
        raise TamperedError(unsettled.finding) from unsettled
    except LedgerError as error:
        raise AuditError(f"the chain cannot be read: {error}") from error
    journal, findings = read_journal(folder, terms.domain.contract)
    documents = list(read_shown(shown))
    evidence = Evidence(
        folder=folder,
        task=task,
        terms=terms,
        events=tuple(events),
        calls=calls | played,
        gas=gas,
        members=members,
        active=active,
        state=state,
        blobs=open_blobs(folder) if store is None else store,
        journal=tuple(journal),
        journal_found=os.path.lexists(folder / "journal.jsonl"),
        live=live,
        receipts=tuple(each for each in documents if isinstance(each, Receipt)),
        shown=tuple(each for each in documents if not isinstance(each, Receipt)),
        hashes=hashes,
    )
    return evidence, [*findings, *(settled.findings if settled else ())]


def _read_calls(
    events: Sequence[Event], terms: Terms, connection: Connection
) -> tuple[dict[str, Call], dict[str, int]]:
    """By transaction, what was called and the gas; one that is not there has none.

    That is found where its events are checked. A node that lags is asked again before.
    """
    numbers = list(dict.fromkeys(event.transaction for event in events))
    receipts = connection.receipts(numbers)
    mined = [number for number in numbers if number in receipts and receipts[number].succeeded]
    calldata = PeerCalldata(connection, terms.domain.contract)
    calls: dict[str, Call] = {}
    for _ in connection.tries():
        missing = [number for number in mined if number not in calls]
        found = calldata.calls(missing)
        calls |= {number: call for number, call in found.items() if call is not None}
        if len(calls) == len(mined):
            break
    return calls, {number: receipts[number].gas for number in calls}


def _attach(task: Task, connection: Connection, *, live: bool) -> Ledger | SettlementLedger:
    try:
        if live and connection.chain_id != task.chain_id:
            raise AuditError(
                f"the run was on chain {task.chain_id}; {connection.url} is on chain "
                f"{connection.chain_id}: name the right node with --rpc"
            )
        began = task.deployed_at if live and _began_at(task, connection) else 0
        try:
            return SettlementLedger.attach(connection, task.contract, deployed_at=began)
        except ArtifactError:
            return Ledger.attach(connection, task.contract, deployed_at=began)
    except ArtifactError as error:
        # another version of bcfl is no crime; another address is, where the chain has the right one
        if live or not (others := _contracts(connection)):
            raise AuditError(str(error)) from error
        expected = f"{' or '.join(others)}, which are on the folder's chain"
        raise TamperedError(
            Finding("task.json", KEEPER, None, expected, f"contract {task.contract}")
        ) from error
    except LedgerError as error:
        raise AuditError(f"the chain cannot be read: {error}") from error


def _began_at(task: Task, connection: Connection) -> bool:
    """Whether nothing speaks against the block that task.json names as the contract's first."""
    before = task.deployed_at > 0 and connection.had_code(task.contract, task.deployed_at - 1)
    return not before and connection.had_code(task.contract, task.deployed_at) is not False


def _contracts(connection: Connection) -> list[str]:
    """Where on the chain there are contracts of ours."""
    found = []
    for number in range(connection.block_number() + 1):
        block = connection.request("eth_getBlockByNumber", hex(number), True)
        for transaction in block["transactions"]:
            with suppress(ArtifactError, TransactionUnknown):
                if (address := connection.receipt(transaction["hash"]).contract) is not None:
                    with suppress(ArtifactError):
                        found.append(SettlementLedger.attach(connection, address).address)
                        continue
                    found.append(Ledger.attach(connection, address).address)
    return found


def _terms(ledger: Ledger | SettlementLedger) -> Terms:
    said = ledger.terms
    if not (0 < said.kappa_ppm < 10**6 and 0 < said.quorum <= MAX_MEMBERS):
        raise AuditError(f"no contract of bcfl's has such terms: {said}")
    terms = Terms(ledger.domain, ledger.coordinator, ledger.rules, *astuple(said))
    if isinstance(ledger, SettlementLedger):
        return replace(terms, settlement="optimistic")
    return replace(terms, rule=ledger.rule)


def _read_at_rest(ledger: Ledger) -> tuple[list[Event], RoundState, tuple[str, ...], int]:
    """Events and views of one moment, although the chain may go on meanwhile."""
    views = _views(ledger)
    for _ in range(_TRIES):
        events, before, views = list(ledger.events()), views, _views(ledger)
        if before == views:
            _expect_plausible(events)
            return events, *views
    raise AuditError("the task goes on while it is read; audit it when the round is over")


def _views(ledger: Ledger) -> tuple[RoundState, tuple[str, ...], int]:
    # the phase is left out: the clock alone may change it, and it follows from the rest
    return replace(ledger.state(), phase=Phase.IDLE), ledger.members(), ledger.active()


def _expect_plausible(events: Sequence[Event]) -> None:
    """A node may say any 256-bit number; sets of members are bit fields, rounds are signed."""
    limits = {"member": MAX_MEMBERS, "round": 2**64, "signed_at": 2**64}
    limits |= dict.fromkeys(
        ("expected", "missing", "winners", "abstained", "members", "chosen"), _SETS
    )
    for event in events:
        for name, limit in limits.items():
            if (type(event), name) == (Refused, "member"):
                continue  # whatever somebody sent stands there
            if not 0 <= (value := getattr(event, name, 0)) < limit:
                raise AuditError(f"the node tells of a {type(event).__name__} with {name} {value}")


def _hashes(events: Sequence[Event], connection: Connection) -> Iterator[tuple[int, bytes]]:
    """Number and hash of each block that decided between equals; none where there is no block."""
    last: dict[int, int] = {}
    numbers = []
    for event in events:
        if isinstance(event, Committed):
            last[event.round] = event.block
        elif isinstance(event, Selected):
            numbers.append(seed_block(last.get(event.round, 0), event.block))
    rows = [[hex(max(number, 0)), False] for number in numbers]
    blocks = connection.request_many("eth_getBlockByNumber", rows)
    for number, block in zip(numbers, blocks, strict=True):
        with suppress(KeyError, TypeError, ValueError):
            yield number, bytes.fromhex(block["hash"].removeprefix("0x"))


def _broken(found: str) -> Finding:
    return Finding("chain.jsonl", KEEPER, None, "a chain that replays to its own hashes", found)
