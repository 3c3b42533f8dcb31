"""Runs in a process of their own, which may be killed."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any


def in_a_process_of_its_own(play: Callable[..., None], *arguments: Any, wait_s: float) -> int:
    """The exit code of ``play(*arguments)``, whose module the process has imported before."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([play.__module__])
    process = context.Process(target=play, args=arguments)
    process.start()
    process.join(wait_s)
    assert process.exitcode is not None, "the run hangs"
    return process.exitcode


def outcome(folder: Path) -> dict[str, Any]:
    """What a run that came to its end has left."""
    found: dict[str, Any] = json.loads((folder / "outcome.json").read_text())
    return found
