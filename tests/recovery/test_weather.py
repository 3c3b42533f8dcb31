"""A run in hostile weather ends as the one in fair weather, and nobody is accused for it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from bcfl.audit.command import DOES_NOT_HOLD, HOLDS, audit_command
from bcfl.chain.connection import Connection
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.spec.record import RoundRecord
from bcfl.core.errors import BcflError, LedgerError, ProtocolError
from tests.chain.weather import PRUNED_BELOW, Weather, WeatheredChain, hurried
from tests.recovery.graded import MEMBERS, ROUNDS, expect_untied, play

SEEDS = 100 if os.environ.get("BCFL_FUZZ") else 1
ATTEMPTS = 4  # a named error, from which resume goes on


def padded(folder: Path) -> EmbeddedChain:
    """A chain that was there before the task, so that its beginning may be pruned."""
    chain = EmbeddedChain(folder / "chain.jsonl")
    with chain:
        for _ in range(PRUNED_BELOW + 5):
            chain.travel(chain.now() + 12)
    return chain


@pytest.fixture(scope="module")
def fair(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("fair")
    return expect_untied(play(folder, padded(folder)))


@pytest.mark.parametrize("settlement", ["full", "optimistic"])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_hostile_weather_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fair: list[str], seed: int, settlement: str
) -> None:
    logging.disable(logging.CRITICAL)
    monkeypatch.setattr("bcfl.consensus.member.task.Connection", hurried(Connection))
    inner = padded(tmp_path)
    weather = Weather(inner, seed)
    weather.pruned = True
    chain = WeatheredChain(inner, weather)
    nodes = [{"bcfl-rpc-url": weather.url(f"member {i}")} for i in range(MEMBERS)]
    stopped: list[BcflError] = []
    records: list[RoundRecord] = []
    for _ in range(ATTEMPTS):
        try:
            records = play(tmp_path, chain, nodes, max_attempts=1, settlement=settlement)
            break
        except (LedgerError, ProtocolError) as error:
            stopped.append(error)
    print(f"seed {seed}: stopped {stopped}, {dict(weather.seen)}")
    closed = [record for record in records if not record.void]
    assert [record.model for record in closed] == fair, stopped
    assert all(len(r.committed) == len(r.voted) == MEMBERS and not r.rejected for r in closed)
    assert len(closed) == ROUNDS
    assert weather.seen.total() - weather.seen[""] > 20
    assert audit_command(tmp_path) == HOLDS
    with inner:
        assert audit_command(tmp_path, weather.url("auditor")) != DOES_NOT_HOLD
    weather.close()
    logging.disable(logging.NOTSET)
