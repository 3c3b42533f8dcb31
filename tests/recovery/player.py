"""A server that plays a task and, if told so, kills itself somewhere in the middle."""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from bcfl.consensus.member.mod import peer_consensus_mod
from bcfl.consensus.spec.record import RoundRecord
from bcfl.flower.grid import InProcessGrid
from bcfl.strategies import PeerConsensus
from tests import toy

MEMBERS, ROUNDS = 3, 2


def play(folder: Path, kill_at: int | None = None) -> None:
    """Begin the task in ``folder``, or go on with it; ``kill_at`` counts function calls.

    Calls of every thread count, from Python's own file and socket functions to ours, so that
    the end may come between a write and its flush, a request and its answer, anywhere.
    """
    logging.disable(logging.CRITICAL)
    ticks = itertools.count(1)
    latest = 0

    def tick(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal latest
        latest = next(ticks)
        if latest == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    records: list[RoundRecord] = []
    strategy = PeerConsensus(
        run_dir=folder, resume=True, on_round=records.append, min_available_nodes=MEMBERS
    )
    grid = InProcessGrid(toy.client_app([peer_consensus_mod]), MEMBERS)
    threading.setprofile(tick)
    sys.setprofile(tick)
    strategy.start(grid, toy.initial_arrays(), num_rounds=ROUNDS)
    sys.setprofile(None)
    threading.setprofile(None)
    outcome = {"calls": latest, "models": [record.model for record in records]}
    (folder / "outcome.json").write_text(json.dumps(outcome))
