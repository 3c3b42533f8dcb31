"""Programs of other people's, started for a while: nothing of them is left afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Self

import psutil

from bcfl.core.errors import ProgramFailed

_STOP_S = 10.0
_LOOK_AGAIN_S = 0.2
_LAST_WORDS = 15


def free_port() -> int:
    """A TCP port on loopback that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Programs:
    """Starts programs, and on leaving stops them, with all their children.

    A program may put its own children into other sessions, as Flower's SuperLink does, so
    that it is descent that counts, not process groups.

    Parameters
    ----------
    logs : Path
        A folder; ``NAME.log`` is what the program NAME printed.
    environment : mapping
        Theirs; one that needs a password is told it alone.
    """

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        self._environment = dict(environment)
        self._running: dict[str, psutil.Popen] = {}
        self._before = signal.getsignal(signal.SIGTERM)

    def start(self, name: str, command: Sequence[str], **secrets: str) -> None:
        """Start one, in a session of its own: Ctrl-C is for us, who then stop it.

        ``secrets`` are in its environment, and in nobody else's.
        """
        with self._log(name).open("wb") as log:
            self._running[name] = psutil.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment | secrets,
                start_new_session=True,
            )

    def wait(self, name: str, timeout_s: float) -> None:
        """Return once the program has ended well.

        Raises
        ------
        ProgramFailed
            It ended otherwise, or not in time, or another one ended meanwhile.
        """
        self.wait_until(lambda: not self._running[name].is_running(), f"{name} to end", timeout_s)
        program = self._running.pop(name)
        if program.wait() != 0:
            raise self._failed(name, f"ended with status {program.wait()}")

    def wait_until(self, holds: Callable[[], bool], what: str, timeout_s: float) -> None:
        """Return once ``holds``; raises as :meth:`wait`."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            for name, program in self._running.items():
                if (status := program.poll()) not in (None, 0):
                    raise self._failed(name, f"ended with status {status}")
            if time.monotonic() > deadline:
                raise ProgramFailed(f"waited {timeout_s:g} s for {what}; logs: {self._logs}")
            time.sleep(_LOOK_AGAIN_S)

    def log(self, name: str) -> str:
        """What the program has printed so far."""
        return self._log(name).read_text(errors="replace")

    def stop(self) -> None:
        """End all of them, the newest first, and whatever they started."""
        roots = list(reversed(self._running.values()))
        descendants: list[psutil.Process] = []
        for program in roots:
            with contextlib.suppress(psutil.NoSuchProcess):
                descendants += program.children(recursive=True)
                program.terminate()
        # Flower's children end by themselves once their parent has; who does not is made to.
        for process in _still_there([*roots, *descendants], _STOP_S):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        _still_there([*roots, *descendants], _STOP_S)
        for program in roots:
            program.poll()  # else it would stay a zombie until we end
        self._running.clear()

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        signal.signal(signal.SIGTERM, _interrupt)
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        signal.signal(signal.SIGTERM, self._before)

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _failed(self, name: str, how: str) -> ProgramFailed:
        words = "\n".join(self.log(name).splitlines()[-_LAST_WORDS:])
        return ProgramFailed(f"{name} {how}:\n{words}")


def _still_there(processes: Sequence[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Those that have not ended within the time; a zombie has."""
    deadline = time.monotonic() + timeout_s
    while left := [process for process in processes if _runs(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(_LOOK_AGAIN_S)
    return left


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Leave as on Ctrl-C, through every ``with``."""
    del number, frame
    raise KeyboardInterrupt(os.getpid())
