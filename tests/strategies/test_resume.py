"""A task whose server dies in any phase ends as the one whose server never did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.contract.memory import MemoryChain
from bcfl.consensus.member.mod import peer_consensus_mod
from bcfl.consensus.spec.record import RoundRecord
from bcfl.flower.grid import InProcessGrid
from bcfl.strategies import PeerConsensus
from tests import toy

PHASES = ["open", "train", "commit", "review", "ballot", "select", "aggregate", "close"]


class Killed(BaseException):
    """The server process is gone."""


def play(folder: Path, kill: tuple[int, str] | None = None, **options: Any) -> list[RoundRecord]:
    records: list[RoundRecord] = []

    def die(number: int, phase: str) -> None:
        if (number, phase) == kill:
            raise Killed

    strategy = PeerConsensus(
        run_dir=folder, on_round=records.append, on_phase=die, min_available_nodes=4, **options
    )
    grid = InProcessGrid(toy.client_app([peer_consensus_mod]), 4)
    strategy.start(grid, toy.initial_arrays(), num_rounds=2)
    return records


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[RoundRecord]]:
    return {
        ballots: play(tmp_path_factory.mktemp(ballots) / "run", ballots=ballots, **where)
        for ballots, where in (("open", {}), ("sealed", {"chain": MemoryChain()}))
    }


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("ballots", ["open", "sealed"])
def test_a_killed_server_resumes_to_the_same_models(
    tmp_path: Path, undisturbed: dict[str, list[RoundRecord]], phase: str, ballots: str
) -> None:
    where = {"chain": MemoryChain()} if ballots == "sealed" else {}  # else begun anew from disk
    with pytest.raises(Killed):
        play(tmp_path, kill=(2, phase), ballots=ballots, **where)
    first, resumed = play(tmp_path, resume=True, ballots=ballots, **where)
    assert first.model == undisturbed[ballots][0].model
    last = undisturbed[ballots][-1]
    assert resumed.model == last.model
    assert resumed.winners == last.winners
    assert resumed.ballots == last.ballots
    assert resumed.committed == last.committed
    for again, was in zip((first, resumed), undisturbed[ballots], strict=True):
        assert (again.bytes_up, again.bytes_up_dense) == (was.bytes_up, was.bytes_up_dense)
        assert again.bytes_down == was.bytes_down, "messages that nobody answered do not count"


def test_resuming_a_finished_task_changes_nothing(tmp_path: Path) -> None:
    records = play(tmp_path)
    before = (tmp_path / "chain.jsonl").read_bytes()
    again = play(tmp_path, resume=True)
    assert [(r.model, r.ballots, r.gas) for r in again] == [
        (r.model, r.ballots, r.gas) for r in records
    ]
    assert (tmp_path / "chain.jsonl").read_bytes() == before


def test_resuming_where_nothing_was_begun_begins(tmp_path: Path) -> None:
    assert len(play(tmp_path, resume=True)) == 2


def test_a_task_killed_twice_resumes_twice(
    tmp_path: Path, undisturbed: dict[str, list[RoundRecord]]
) -> None:
    with pytest.raises(Killed):
        play(tmp_path, kill=(1, "review"))
    with pytest.raises(Killed):
        play(tmp_path, kill=(2, "close"), resume=True)
    play(tmp_path, resume=True)
    strategy = PeerConsensus(run_dir=tmp_path, resume=True)
    checkpoint = strategy.folder.load_checkpoint(bytes.fromhex(undisturbed["open"][-1].model))
    assert len(checkpoint) == 2


def test_a_chain_begun_anew_at_the_same_port_is_not_taken_for_the_one_before(
    tmp_path: Path,
) -> None:
    """The same accounts deploy to the same address: what was read there once is no longer so."""
    with EmbeddedChain(tmp_path / "first.jsonl") as chain:
        port = int(chain.url.rpartition(":")[2])
    for ballots in ("open", "sealed"):
        chain = EmbeddedChain(tmp_path / f"{ballots}.jsonl", port=port)
        records = play(tmp_path / ballots, chain=chain, ballots=ballots)
        assert [record.void for record in records] == [False, False]
