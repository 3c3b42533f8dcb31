"""A task that is settled optimistically, from the first round to the deposit's return."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Message

from bcfl.audit.audit import audit_run
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.contract.settlement import Challenged, Convicted, SettlementLedger, Upheld
from bcfl.consensus.member.mod import peer_consensus_mod
from bcfl.consensus.spec.record import RoundRecord
from bcfl.consensus.spec.settlement import Record
from bcfl.core.errors import BcflError, ConfigurationError
from bcfl.flower.grid import InProcessGrid
from bcfl.flower.identity import CHALLENGE
from bcfl.strategies import PeerConsensus
from tests import toy


class Grid(InProcessGrid):
    """Nodes that may challenge, and some that are not reached."""

    def __init__(self, nodes: int = 4, absent: frozenset[int] = frozenset()) -> None:
        super().__init__(toy.client_app([peer_consensus_mod]), nodes)
        self._absent = absent

    def deliver(self, message: Message, context: Context) -> Message | None:
        context.node_config[CHALLENGE] = True
        if context.node_config["partition-id"] in self._absent and "bcfl" in message.content:
            kind = str(message.content.config_records["bcfl"]["kind"])
            if kind != "join":
                return None
        return super().deliver(message, context)


def strategy(
    folder: Path, records: list[RoundRecord], resume: bool = False, **options: Any
) -> PeerConsensus:
    given: dict[str, Any] = {"settlement": "optimistic", "min_available_nodes": 4} | options
    chain = EmbeddedChain(folder / "chain.jsonl")
    return PeerConsensus(
        run_dir=folder, chain=chain, on_round=records.append, resume=resume, **given
    )


def run(
    folder: Path, rounds: int, grid: InProcessGrid | None = None, **options: Any
) -> list[RoundRecord]:
    records: list[RoundRecord] = []
    found = strategy(folder, records, **options)
    found.start(grid or Grid(), toy.initial_arrays(), num_rounds=rounds, timeout=600)
    return records


def ledger_of(folder: Path, chain: EmbeddedChain) -> SettlementLedger:
    contract = json.loads((folder / "task.json").read_text())["contract"]
    return SettlementLedger.attach(chain.connect(chain.coordinator), contract, chain.wait_until)


def test_a_round_is_one_transaction_and_gives_the_model_that_full_gives(tmp_path: Path) -> None:
    records = run(tmp_path, 3)

    full = run(tmp_path / "full", 3, settlement="full")
    assert [record.model for record in records] == [record.model for record in full]
    assert max(sum(record.gas.values()) for record in records[1:]) <= 75_000
    with EmbeddedChain(tmp_path / "chain.jsonl") as chain:
        standing = ledger_of(tmp_path, chain).standing()
    assert (standing.deposited, standing.open, standing.round) == (False, False, 3)


def test_a_run_is_resumed_where_it_stood_and_its_audit_holds(tmp_path: Path) -> None:
    first = run(tmp_path, 2)

    again = run(tmp_path, 3, resume=True)

    told = [(record.model, record.gas, record.transactions) for record in again[:2]]
    assert told == [(record.model, record.gas, record.transactions) for record in first]
    audit = audit_run(tmp_path)
    assert audit.findings == []
    assert audit.recomputed == {1, 2, 3}
    assert any("all that was signed" in words for words in audit.checked)


def test_a_round_goes_on_without_who_is_not_reached(tmp_path: Path) -> None:
    records = run(tmp_path, 2, Grid(4, frozenset({3})))
    assert [record.committed for record in records] == [(0, 1, 2), (0, 1, 2)]
    assert audit_run(tmp_path).findings == []


def test_whoever_is_sampled_again_looks_at_all_rounds_since(tmp_path: Path) -> None:
    records = run(tmp_path, 4, fraction_train=0.5)

    assert [(record.void, len(record.committed)) for record in records] == [(False, 2)] * 4
    assert len({record.committed for record in records}) > 1
    assert not any(record.left_out for record in records)
    assert audit_run(tmp_path).findings == []


def test_void_rounds_are_settled_as_any(tmp_path: Path) -> None:
    records: list[RoundRecord] = []
    found = strategy(tmp_path, records, quorum=4, max_attempts=2)
    with pytest.raises(BcflError, match="came to nothing"):
        found.start(Grid(4, frozenset({3})), toy.initial_arrays(), num_rounds=1, timeout=600)
    assert [record.void for record in records] == [True, True]
    assert audit_run(tmp_path).findings == []


def test_a_server_that_settles_something_else_is_found_and_challenged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = SettlementLedger.settle

    def lying(self: SettlementLedger, said: Record, due: int) -> Any:
        return honest(self, replace(said, winners=said.winners ^ 0b11), due)

    monkeypatch.setattr(SettlementLedger, "settle", lying)
    records: list[RoundRecord] = []
    found = strategy(tmp_path, records, max_attempts=2, allowance_wei=10**18)
    with pytest.raises(BcflError, match="the task has ended"):
        found.start(Grid(), toy.initial_arrays(), num_rounds=3, timeout=600)

    assert [record.round for record in records] == [1], "nobody trains on a model that is void"
    with EmbeddedChain(tmp_path / "chain.jsonl") as chain:
        ledger = ledger_of(tmp_path, chain)
        events, members = ledger.events(), ledger.members()
    said = [type(event) for event in events if isinstance(event, (Challenged, Convicted, Upheld))]
    assert said == [Challenged, Convicted]
    assert {event.challenger for event in events if isinstance(event, Challenged)} <= {*members}
    (finding,) = audit_run(tmp_path).findings
    assert (finding.kind, finding.culprit.role, finding.round) == ("settlement", "server", 1)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"transactions": "direct"}, "transactions"),
        ({"membership": "open", "stake_wei": 1}, "membership"),
        ({"ballots": "sealed"}, "ballots"),
    ],
)
def test_what_does_not_go_with_it_is_named(
    tmp_path: Path, options: dict[str, Any], name: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}: expected .*optimistic"):
        strategy(tmp_path, [], **options)


@pytest.mark.parametrize("after", [False, True])
def test_a_run_that_ends_around_a_settlement_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    honest = SettlementLedger.settle

    def dying(self: SettlementLedger, said: Any, due: int) -> Any:
        if said.round == 2:
            if after:
                honest(self, said, due)
            raise KeyboardInterrupt
        return honest(self, said, due)

    monkeypatch.setattr(SettlementLedger, "settle", dying)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, 3)
    monkeypatch.setattr(SettlementLedger, "settle", honest)

    records = run(tmp_path, 3, resume=True)

    assert [record.chain_round for record in records] == [1, 2, 3]
    assert [record.void for record in records] == [False] * 3
    assert audit_run(tmp_path).findings == []
