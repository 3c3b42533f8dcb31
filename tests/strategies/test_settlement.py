"""A task that is settled optimistically, from the first round to the deposit's return."""

from __future__ import annotations

from pathlib import Path

from bcfl.audit.audit import audit_run
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.member.mod import peer_consensus_mod
from bcfl.consensus.spec.record import RoundRecord
from bcfl.flower.grid import InProcessGrid
from bcfl.strategies import PeerConsensus
from tests import toy


def run(
    folder: Path, rounds: int, *, resume: bool = False, settlement: str = "optimistic"
) -> list[RoundRecord]:
    records: list[RoundRecord] = []
    strategy = PeerConsensus(
        run_dir=folder,
        chain=EmbeddedChain(folder / "chain.jsonl"),
        on_round=records.append,
        min_available_nodes=4,
        settlement=settlement,
        resume=resume,
    )
    grid = InProcessGrid(toy.client_app([peer_consensus_mod]), 4)
    strategy.start(grid, toy.initial_arrays(), num_rounds=rounds, timeout=600)
    return records


def test_one_transaction_a_round(tmp_path: Path) -> None:
    records = run(tmp_path, 3)
    for r in records:
        print(r.round, r.winners, r.gas, r.left_out, r.transactions)
    assert [len(record.committed) for record in records] == [4, 4, 4]
    full = run(tmp_path / "full", 3, settlement="full")
    assert [r.model for r in full] == [r.model for r in records]


def test_a_run_is_resumed_where_it_stood(tmp_path: Path) -> None:
    first = run(tmp_path, 2)
    again = run(tmp_path, 3, resume=True)
    assert [(r.round, r.model, r.gas, r.transactions) for r in again[:2]] == [
        (r.round, r.model, r.gas, r.transactions) for r in first
    ]
    assert [r.round for r in again] == [1, 2, 3]


def test_an_audit_plays_what_was_signed(tmp_path: Path) -> None:
    run(tmp_path, 2)
    audit = audit_run(tmp_path)
    print(audit.notes, audit.checked, audit.unchecked)
    assert audit.findings == []
    assert audit.recomputed == {1, 2}
