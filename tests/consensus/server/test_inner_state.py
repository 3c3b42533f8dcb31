"""A strategy that remembers does not step twice for one round, nor forget at a resume."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord
from flwr.serverapp.strategy import (
    DifferentialPrivacyServerSideAdaptiveClipping,
    DifferentialPrivacyServerSideFixedClipping,
    FedAdam,
    FedAvg,
    FedAvgM,
    Strategy,
)

from bcfl.consensus import MemoryChain
from bcfl.consensus.member.mod import peer_consensus_mod
from bcfl.consensus.server.inner_state import InnerState
from bcfl.consensus.server.round import Round
from bcfl.core.errors import AuditError
from bcfl.core.model import Arrays, encode_model
from bcfl.flower.grid import InProcessGrid
from bcfl.strategies import PeerConsensus
from tests import toy


def play(
    folder: Path, inner: Strategy | None = None, rounds: int = 2, **options: Any
) -> ArrayRecord:
    given = {"chain": MemoryChain(seed=0), **options}
    strategy = PeerConsensus(run_dir=folder, inner=inner or FedAdam(), **given)
    grid = InProcessGrid(toy.client_app([peer_consensus_mod]), 3)
    return strategy.start(grid, toy.initial_arrays(), rounds).arrays


def test_a_round_whose_choice_was_taken_back_comes_to_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = play(tmp_path / "undisturbed")
    close, attempts = Round.close, []

    def taken_back_twice(self: Round, arrays: Arrays, rounds: int) -> bool:
        attempts.append(self)
        return attempts.count(self) == 3 and close(self, arrays, rounds)

    monkeypatch.setattr(Round, "close", taken_back_twice)
    assert play(tmp_path / "disturbed") == undisturbed
    assert len(attempts) == 6


def test_what_is_wrapped_stays_the_same_object_and_gets_its_state_back() -> None:
    within = FedAvg()
    around = DifferentialPrivacyServerSideFixedClipping(within, 0.0, 1.0, 2)
    within.moments = [np.zeros(2)]  # type: ignore[attr-defined]
    before = InnerState(around)
    for _ in range(2):
        within.moments[0] += 1  # type: ignore[attr-defined]
        around.late = 1  # type: ignore[attr-defined]
        before.restore()
        assert around.strategy is within
        assert within.moments[0].tolist() == [0, 0]  # type: ignore[attr-defined]
        assert not hasattr(around, "late")


def test_what_cannot_be_copied_stays_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    def connection() -> Iterator[Any]:
        yield 1

    caplog.set_level("WARNING", logger="flwr")
    inner = FedAvg()
    inner.tracker = opened = connection()  # type: ignore[attr-defined]
    InnerState(inner).restore()
    assert inner.tracker is opened  # type: ignore[attr-defined]
    assert "no copy can be made of: tracker" in caplog.text


class Killed(BaseException):
    """The server process is gone."""


def adaptive() -> Strategy:
    return DifferentialPrivacyServerSideAdaptiveClipping(FedAvgM(server_momentum=0.5), 0.0, 2)


@pytest.mark.parametrize(("make", "phase"), [(FedAdam, "close"), (adaptive, "aggregate")])
def test_another_process_goes_on_with_what_it_remembered(
    make: Callable[[], Strategy], phase: str, tmp_path: Path
) -> None:
    def die(number: int, entered: str) -> None:
        if (number, entered) == (3, phase):
            raise Killed

    chain = MemoryChain(seed=0)
    undisturbed = play(tmp_path / "undisturbed", make(), 3)
    with pytest.raises(Killed):
        play(tmp_path / "run", make(), 3, chain=chain, on_phase=die)
    assert play(tmp_path / "run", make(), 3, chain=chain, resume=True) == undisturbed
    assert len(list((tmp_path / "run").glob("inner-*.arrays"))) == 3


def test_a_folder_without_what_it_remembered_is_told_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", logger="flwr")
    chain = MemoryChain(seed=0)
    play(tmp_path, rounds=1, chain=chain)
    assert "begins anew" not in caplog.text
    (kept,) = tmp_path.glob("inner-*.arrays")
    kept.write_bytes(encode_model({"0 named": np.zeros(1)}))
    with pytest.raises(AuditError, match="no memory of a strategy"):
        play(tmp_path, rounds=1, chain=chain, resume=True)
    kept.unlink()
    play(tmp_path, chain=chain, resume=True)
    assert f"FedAdam begins anew: {tmp_path} has nothing" in caplog.text
