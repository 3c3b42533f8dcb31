"""A market whose server is killed goes on from the chain, to the same fused model."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from bcfl.chain.embedded.block import Mined
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.core.errors import ConfigurationError
from bcfl.market.task_file import MARKET_FILE
from tests.strategies.sold_market import play


class Killed(BaseException):
    """Nobody catches it: nothing is tidied up that a process would not find on disk."""


class MortalChain(EmbeddedChain):
    """The process dies when the block after ``last`` is about to be mined."""

    last = 0

    def _mine(self, raw: bytes | None, timestamp: int | None = None) -> Mined:
        if self._running().head.number == self.last:
            raise Killed
        return super()._mine(raw, timestamp)


def result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


SHARES = (
    [0.02, 0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97] if os.environ.get("BCFL_FUZZ") else [0.45, 0.9]
)


@pytest.mark.parametrize("share", SHARES)
def test_a_market_that_was_killed_ends_as_one_that_was_not(
    share: float, sold_task: Path, tmp_path: Path
) -> None:
    folder, blocks = tmp_path / "run", len((sold_task / "chain.jsonl").read_text().splitlines()) - 1
    chain = MortalChain(folder / "chain.jsonl")
    chain.last = max(1, int(share * blocks))
    with pytest.raises(Killed):
        play(folder, chain=chain)
    play(folder, resume=True)
    here, there = result(folder), result(sold_task)
    assert here["final"] == there["final"]
    assert len(here["rounds"]) == len(there["rounds"])
    for mine, other in zip(here["rounds"], there["rounds"], strict=True):
        for name in ("outcome", "fused", "model", "accuracy", "bytes_up"):
            assert mine[name] == other[name]
    statement = json.loads((folder / MARKET_FILE).read_text())["statement"]
    assert [panel["outcome"] for panel in statement["panels"]] == ["paid", "paid"]
    assert statement["left"] == 0


def test_what_is_lost_is_said(sold_task: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sold_task, tmp_path / "run"))
    (folder / "chain.jsonl").unlink()
    with pytest.raises(ConfigurationError, match=r"its market 0x.* is not on the chain that was"):
        play(folder, resume=True)


def test_a_folder_with_a_task_is_not_begun_anew(sold_task: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sold_task, tmp_path / "run"))
    (folder / "config.yaml").unlink()
    with pytest.raises(ConfigurationError, match="holds a task already"):
        play(folder)
