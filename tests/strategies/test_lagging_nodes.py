"""Nodes that learn of a block late: a read that is too early is no verdict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bcfl.chain.connection import Connection
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.spec.record import RoundRecord
from tests.chain.weather import Weather, WeatheredChain, hurried
from tests.recovery.graded import MEMBERS, play

LAG_S = 3.0


@pytest.fixture
def inner(tmp_path: Path) -> EmbeddedChain:
    return EmbeddedChain(tmp_path / "chain.jsonl")


@pytest.fixture
def weather(inner: EmbeddedChain, monkeypatch: pytest.MonkeyPatch) -> Iterator[Weather]:
    monkeypatch.setattr("bcfl.consensus.member.task.Connection", hurried(Connection))
    weather = Weather(inner, 4, lag_s=LAG_S, trouble=0.0)
    weather.log_limit = 10**9
    yield weather
    weather.close()


def everybody_votes(records: list[RoundRecord]) -> bool:
    return all(
        not r.void and len(r.committed) == len(r.voted) == MEMBERS and not r.rejected
        for r in records
    )


def test_a_run_behind_a_load_balancer_is_played_as_if_there_were_one_node(
    tmp_path: Path, inner: EmbeddedChain, weather: Weather
) -> None:
    """The receipt comes from a node that has the block, the next read from one that has not."""
    records = play(tmp_path, WeatheredChain(inner, weather), max_attempts=1)
    assert everybody_votes(records)


def test_members_wait_for_the_block_that_the_order_names(
    tmp_path: Path, inner: EmbeddedChain, weather: Weather
) -> None:
    nodes = [{"bcfl-rpc-url": weather.url(f"member {i}")} for i in range(MEMBERS)]
    assert everybody_votes(play(tmp_path, inner, nodes, max_attempts=1))


@pytest.mark.parametrize("phase", ["train", "review"])
def test_a_member_whose_node_stays_behind_abstains_and_never_votes(
    tmp_path: Path, inner: EmbeddedChain, weather: Weather, phase: str
) -> None:
    weather.lag_s = 0.0
    nodes: list[dict[str, Any]] = [{}, {}, {"bcfl-rpc-url": weather.url("slow")}]
    nodes[2]["bcfl-patience-s"] = 0.5

    def freeze(number: int, entered: str) -> None:
        if (number, entered) == (2, phase):
            weather.frozen["slow"] = len(inner._evm.blocks) - (2 if phase == "review" else 3)

    records = play(tmp_path, inner, nodes, on_phase=freeze)
    second = records[1]
    assert not second.void
    assert second.voted == (0, 1)
    assert "NodeBehind" in second.left_out[2]
    assert "ask again" in second.left_out[2]
    assert not any(2 in reasons for reasons in second.rejected.values())
