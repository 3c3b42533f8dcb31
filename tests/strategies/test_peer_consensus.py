"""The strategy and the mod together, on the in-process grid and the embedded chain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAdam

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.contract.memory import MemoryChain
from bcfl.consensus.member.mod import PeerConsensusMod, peer_consensus_mod
from bcfl.consensus.spec.domain import Ballot
from bcfl.consensus.spec.record import RoundRecord
from bcfl.core.errors import ConfigurationError, ModelError, NobodyLeft, RoundVoid
from bcfl.flower.grid import InProcessGrid
from bcfl.keys.accounts import derive_account
from bcfl.strategies import PeerConsensus
from tests import toy
from tests.strategies.two_faced import TwoFaced

PHASES = ["open", "train", "commit", "review", "ballot", "select", "aggregate", "close"]


def run(
    tmp_path: Path,
    clients: int = 5,
    rounds: int = 2,
    app: ClientApp | None = None,
    grid: InProcessGrid | None = None,
    arrays: ArrayRecord | None = None,
    **options: Any,
) -> tuple[Any, list[RoundRecord]]:
    records: list[RoundRecord] = []
    options.setdefault("chain", MemoryChain(options.get("seed", 0)))
    strategy = PeerConsensus(
        run_dir=tmp_path / "run", on_round=records.append, min_available_nodes=clients, **options
    )
    grid = grid or InProcessGrid(app or toy.client_app([peer_consensus_mod]), clients)
    first = toy.initial_arrays() if arrays is None else arrays
    result = strategy.start(grid, first, num_rounds=rounds)
    return result, records


def accuracy(result: Any, clients: int = 5) -> float:
    weights = result.arrays.to_numpy_ndarrays()
    return float(np.mean([toy.loss_and_accuracy(weights, i)[1] for i in range(clients)]))


def test_members_train_together_and_the_contract_selects(tmp_path: Path) -> None:
    result, records = run(tmp_path, gamma=0.5)
    assert accuracy(result) > 0.9
    for record in records:
        assert record.committed == record.voted == (0, 1, 2, 3, 4)
        assert len(record.winners) == 3
        assert all(set(row) == set(range(5)) - {i} for i, row in record.ballots.items())
        assert not record.rejected
        assert not record.left_out
        opened = {"open"} if record.round == 1 else set()  # else with the end of the one before
        assert set(record.gas) == {"commit", "ballot", "close"} | opened
    assert records[1].base == records[0].model


def test_the_phases_come_in_the_protocols_order(tmp_path: Path) -> None:
    seen: list[tuple[int, str]] = []
    run(tmp_path, on_phase=lambda round_, phase: seen.append((round_, phase)))
    assert seen == [(number, phase) for number in (1, 2) for phase in PHASES]


def test_the_same_seed_gives_the_same_models_and_transactions(tmp_path: Path) -> None:
    _, one = run(tmp_path / "one", seed=3)
    grid = InProcessGrid(toy.client_app([peer_consensus_mod]), 5, seed=99)
    _, two = run(tmp_path / "two", seed=3, grid=grid)
    assert [r.model for r in one] == [r.model for r in two]
    assert [r.transactions for r in one] == [r.transactions for r in two]
    assert [r.ballots for r in one] == [r.ballots for r in two]


class FaultyGrid(InProcessGrid):
    """Loses or bends what ``fault`` says: it is given (partition, message, order kind)."""

    def __init__(self, app: ClientApp, clients: int, fault: Callable[..., str | None]) -> None:
        super().__init__(app, clients)
        self._fault = fault

    def deliver(self, message: Message, context: Context) -> Message | None:
        kind = str(message.content.config_records.get("bcfl", {}).get("kind", ""))
        number = int(message.content.config_records.get("config", {}).get("server-round", 0))
        what = self._fault(int(context.node_config["partition-id"]), kind, number)
        if what == "lose":
            return None
        if what == "raise":
            message.content = RecordDict()
        return super().deliver(message, context)


def faulty(fault: Callable[[int, str, int], str | None], clients: int = 5) -> FaultyGrid:
    return FaultyGrid(toy.client_app([peer_consensus_mod]), clients, fault)


@pytest.mark.parametrize("what", ["lose", "raise"])
def test_a_client_that_dies_in_training_is_left_out(tmp_path: Path, what: str) -> None:
    grid = faulty(lambda p, kind, number: what if (p, kind) == (2, "round") else None)
    result, records = run(tmp_path, grid=grid, gamma=0.5)
    assert accuracy(result) > 0.9
    for record in records:
        assert record.committed == record.voted == (0, 1, 3, 4)
        assert 2 in record.left_out
        assert len(record.winners) == 2


def test_a_client_that_dies_in_review_is_rated_all_the_same(tmp_path: Path) -> None:
    grid = faulty(lambda p, kind, number: "lose" if (p, kind) == (1, "review") else None)
    _, records = run(tmp_path, grid=grid)
    for record in records:
        assert record.committed == (0, 1, 2, 3, 4)
        assert record.voted == (0, 2, 3, 4)
        assert all(1 in row for row in record.ballots.values())
        assert record.left_out[1].startswith("no ballot")


def test_a_round_below_its_quorum_is_void_and_repeated(tmp_path: Path) -> None:
    calls: list[int] = []

    def fault(partition: int, kind: str, number: int) -> str | None:
        if kind == "round" and partition > 0 and len(calls) < 4:
            calls.append(partition)
            return "lose"
        return None

    result, records = run(tmp_path, grid=faulty(fault), rounds=1)
    assert [record.void for record in records] == [True, False]
    assert [record.chain_round for record in records] == [1, 2]
    assert records[0].model == records[0].base == records[1].base
    assert len(result.arrays) == 2


def test_nobody_left_is_an_error_that_says_so(tmp_path: Path) -> None:
    grid = faulty(lambda p, kind, number: "lose" if kind == "round" else None)
    with pytest.raises(NobodyLeft, match="came to nothing 3 times: nobody committed"):
        run(tmp_path, grid=grid)


def test_no_node_at_all_joins_without_the_mod(tmp_path: Path) -> None:
    with pytest.raises(
        NobodyLeft, match=r"none of 5 nodes joined: .*mods=\[peer_consensus_mod, …\]"
    ):
        run(tmp_path, app=toy.client_app())


def test_an_unknown_metric_lists_the_names_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(RoundVoid, match=r"\['eval_acc', 'eval_loss', 'num-examples'\]"):
        run(tmp_path, metric="auc")


@pytest.mark.parametrize(
    "options", [{"ballots": "sealed"}, {"metric": "accuracy"}, {"clip": "none"}]
)
def test_rules_can_be_chosen(tmp_path: Path, options: dict[str, Any]) -> None:
    result, records = run(tmp_path, gamma=0.5, **options)
    assert accuracy(result) > 0.9
    assert all(record.voted == (0, 1, 2, 3, 4) for record in records)
    assert all(("seal" in record.gas) == (options.get("ballots") == "sealed") for record in records)


def test_members_pay_for_their_own_transactions(tmp_path: Path) -> None:
    _, records = run(tmp_path, transactions="direct", allowance_wei=10**17, clients=3)
    for record in records:
        assert record.committed == record.voted == (0, 1, 2)
        assert len(record.transactions["commit"]) == len(record.transactions["ballot"]) == 3


def test_a_member_without_ether_is_told_so(tmp_path: Path) -> None:
    chain = EmbeddedChain(tmp_path / "run" / "chain.jsonl")
    with pytest.raises(NobodyLeft, match=r"cannot pay|wei"):
        run(tmp_path, transactions="direct", clients=3, max_attempts=1, chain=chain)


def test_part_of_the_members_train_and_the_sample_follows_from_the_seed(tmp_path: Path) -> None:
    _, one = run(tmp_path / "one", fraction_train=0.6, seed=1)
    _, two = run(tmp_path / "two", fraction_train=0.6, seed=1)
    assert all(len(record.expected) == 3 for record in one)
    assert [record.expected for record in one] == [record.expected for record in two]


def test_no_evaluation_is_asked_for_where_the_fraction_is_zero(tmp_path: Path) -> None:
    result, _ = run(tmp_path, fraction_evaluate=0.0)
    assert result.evaluate_metrics_clientapp == {}


def test_a_server_side_evaluation_sees_every_global_model(tmp_path: Path) -> None:
    seen: list[int] = []
    strategy = PeerConsensus(run_dir=tmp_path / "run", min_available_nodes=5)
    grid = InProcessGrid(toy.client_app([peer_consensus_mod]), 5)

    def evaluate(number: int, arrays: ArrayRecord) -> MetricRecord:
        seen.append(number)
        return MetricRecord({"n": len(arrays)})

    result = strategy.start(grid, toy.initial_arrays(), num_rounds=2, evaluate_fn=evaluate)
    assert seen == [0, 1, 2]
    assert set(result.evaluate_metrics_serverapp) == {0, 1, 2}


def test_a_node_that_comes_later_becomes_a_member(tmp_path: Path) -> None:
    grid = InProcessGrid(toy.client_app([peer_consensus_mod]), 4)
    late = dict([grid.contexts.popitem()])
    _, records = run(
        tmp_path,
        clients=3,
        grid=grid,
        rounds=3,
        on_phase=lambda round_, phase: grid.contexts.update(late) if round_ == 2 else None,
    )
    assert [len(record.committed) for record in records] == [3, 3, 4]


def test_who_is_not_on_the_allow_list_is_no_member(tmp_path: Path) -> None:
    members = [derive_account(0, "member", i).address for i in range(5)]
    allowed = [members[i].lower() for i in (3, 1, 0)]
    strategy = PeerConsensus(run_dir=tmp_path, min_available_nodes=5, allowed=allowed)
    grid = InProcessGrid(toy.client_app([peer_consensus_mod]), 5)
    strategy.start(grid, toy.initial_arrays(), num_rounds=1)
    assert strategy.refused.keys() == {members[2], members[4]}
    entries = [entry for entry in strategy.folder.journal if entry["kind"] == "commitment"]
    assert {entry["member"] for entry in entries} == {0, 1, 2}, "by index, of those that are"


def test_nobody_on_the_allow_list_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(NobodyLeft, match="not on the coordinator's allow list"):
        run(tmp_path, allowed=[derive_account(0, "member", 9).address])


def test_the_winners_can_be_handed_to_another_strategy(tmp_path: Path) -> None:
    inner = FedAdam(eta=0.3, tau=0.1, min_available_nodes=5)
    strategy_result, records = run_inner(tmp_path, inner)
    assert accuracy(strategy_result) > 0.8
    assert len(records[-1].winners) == 3


def run_inner(tmp_path: Path, inner: Any) -> tuple[Any, list[RoundRecord]]:
    records: list[RoundRecord] = []
    strategy = PeerConsensus(
        run_dir=tmp_path / "run", on_round=records.append, inner=inner, gamma=1
    )
    grid = InProcessGrid(toy.client_app([peer_consensus_mod]), 5)
    return strategy.start(grid, toy.initial_arrays(), num_rounds=4), records


def test_a_folder_that_holds_a_task_is_not_written_over(tmp_path: Path) -> None:
    run(tmp_path, rounds=1)
    with pytest.raises(ConfigurationError, match="holds a task already"):
        run(tmp_path, rounds=1)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ([np.zeros((6, 3), np.int64)], "at least one array of"),
        ([np.zeros((0, 3), np.float32)], "that has entries"),
        ([np.full(3, np.nan, np.float32)], "finite"),
        ([], "at least one array"),
    ],
)
def test_a_model_that_cannot_be_carried_is_refused(
    tmp_path: Path, arrays: list[np.ndarray], reason: str
) -> None:
    with pytest.raises(ModelError, match=reason):
        run(tmp_path, arrays=ArrayRecord(arrays))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda w: [w[0][:2], w[1]], "shape"),
        (lambda w: [w[0].astype(np.complex64), w[1]], "complex64"),
        (lambda w: [w[0] * np.nan, w[1]], "finite"),
        (lambda w: w[:1], "missing: '1'; not of the model: none"),
    ],
)
def test_a_member_whose_training_went_wrong_is_left_out_with_the_reason(
    tmp_path: Path, spoil: Callable[[list[np.ndarray]], list[np.ndarray]], reason: str
) -> None:
    def spoiler(message: Message, context: Context, call_next: Any) -> Message:
        reply = call_next(message, context)
        if message.metadata.message_type == "train" and context.node_config["partition-id"] == 4:
            weights = spoil(reply.content["arrays"].to_numpy_ndarrays())
            reply.content["arrays"] = ArrayRecord(weights)
        return reply

    app = toy.client_app([peer_consensus_mod, spoiler])
    _, records = run(tmp_path, app=app, rounds=1)
    assert records[0].committed == (0, 1, 2, 3)
    assert reason in records[0].left_out[4]


class Rogue(PeerConsensusMod):
    """A mod that bends the replies of member 4."""

    def __init__(self, bend: Callable[[Any], None]) -> None:
        super().__init__()
        self._bend = bend

    def __call__(self, message: Message, context: Context, call_next: Any) -> Message:
        reply = super().__call__(message, context, call_next)
        if context.node_config["partition-id"] == 4 and "bcfl" in reply.content:
            self._bend(reply.content["bcfl"])
        return reply


def _set(order: str, **fields: Any) -> Callable[[Any], None]:
    def bend(record: Any) -> None:
        if record["kind"] == order:
            record.update(fields)

    return bend


@pytest.mark.parametrize(
    "bend",
    [
        _set("trained", digest=b"\0"),
        _set("trained", signature=b"short"),
        _set("trained", timestamp=2**40),
        _set("trained", timestamp=-1),
        _set("trained", timestamp=1),
        _set("trained", blob=b"garbage"),
        _set("trained", signature=bytes(64) + b"\x1b"),
        _set("trained", kind="reviewed"),
    ],
    ids=["digest", "signature", "future", "negative", "past", "blob", "forged", "kind"],
)
def test_no_member_can_stop_a_round_by_what_it_commits(
    tmp_path: Path, bend: Callable[[Any], None]
) -> None:
    _, records = run(tmp_path, app=toy.client_app([Rogue(bend)]), rounds=1)
    assert records[0].committed == records[0].voted == (0, 1, 2, 3)
    assert 4 in records[0].left_out


@pytest.mark.parametrize(
    "bend",
    [
        _set("reviewed", entries=Ballot.from_values(1, {4: 1}).encode()),
        _set("reviewed", entries=Ballot.from_values(1, {99: 1}).encode()),
        _set("reviewed", entries=b"odd"),
        _set("reviewed", entries=b"\0\0\0\0\0\1\0\0\2\2"),
        _set("reviewed", signature=bytes(64) + b"\x1b"),
    ],
    ids=["itself", "nobody", "odd", "ascending", "forged"],
)
def test_no_member_can_stop_a_round_by_how_it_votes(
    tmp_path: Path, bend: Callable[[Any], None]
) -> None:
    _, records = run(tmp_path, app=toy.client_app([Rogue(bend)]), rounds=1)
    assert set(records[0].voted) >= {0, 1, 2, 3}
    assert len(records[0].winners) == 3


def test_a_ballot_that_leaves_out_a_reason_is_refused(tmp_path: Path) -> None:
    bend = _set("reviewed", rejected=[1], reasons=[])
    _, records = run(tmp_path, app=toy.client_app([Rogue(bend)]), rounds=1)
    assert records[0].voted == (0, 1, 2, 3)
    said = "no ballot: expected a reason for each of 1 rejected members; found 0"
    assert records[0].left_out == {4: said}


def test_a_member_that_signs_two_deltas_is_proven_guilty_and_the_round_goes_on(
    tmp_path: Path,
) -> None:
    records: list[RoundRecord] = []
    strategy = PeerConsensus(run_dir=tmp_path, on_round=records.append, min_available_nodes=5)
    grid = TwoFaced(toy.client_app([peer_consensus_mod]), 5, cheat=4)
    grid.strategy = strategy
    strategy.start(grid, toy.initial_arrays(), num_rounds=1)
    assert records[0].committed == (0, 1, 2, 3)
    assert "two different deltas" in records[0].left_out[4]
