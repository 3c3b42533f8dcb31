"""A server that plays a task on anvil and kills itself, its node, or both, in the middle."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from bcfl.chain.anvil import AnvilChain
from bcfl.chain.connection import Connection
from bcfl.core.errors import LedgerError, ProtocolError
from bcfl.keys.signer import Wallet
from tests.recovery.graded import MEMBERS, expect_untied, play

PATIENCE_S = 1.0
STOPPED = 3


class ImpatientChain(AnvilChain):
    """anvil; who is gone is not waited for."""

    def connect(self, signer: Wallet | None = None, **options: Any) -> Connection:
        return super().connect(signer, **({"retry_s": PATIENCE_S} | options))

    def kill(self) -> None:
        """``kill -9`` of the node."""
        if self._process is not None:
            os.killpg(self._process._process.pid, signal.SIGKILL)


def play_on_anvil(folder: Path, whom: str = "", after_s: float | None = None) -> None:
    """Begin the task in ``folder``, or go on with it; ``whom`` is killed after so many seconds."""
    logging.disable(logging.CRITICAL)
    chain = ImpatientChain(folder / "anvil.json")

    def strike() -> None:
        if whom != "server":
            chain.kill()
        if whom != "node":
            os.kill(os.getpid(), signal.SIGKILL)

    began = time.monotonic()
    if after_s is not None:
        timer = threading.Timer(after_s, strike)
        timer.daemon = True
        timer.start()
    try:
        records = play(folder, chain, [{"bcfl-patience-s": PATIENCE_S}] * MEMBERS, max_attempts=1)
    except (LedgerError, ProtocolError) as error:
        (folder / "stopped.txt").write_text(f"{type(error).__name__}: {error}")
        sys.exit(STOPPED)
    except Exception as error:
        (folder / "failed.txt").write_text(f"{type(error).__name__}: {error}")
        raise
    closed = [record for record in records if not record.void]
    outcome = {"seconds": time.monotonic() - began, "models": expect_untied(closed)}
    (folder / "outcome.json").write_text(json.dumps(outcome))
