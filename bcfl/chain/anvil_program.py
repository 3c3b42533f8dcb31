"""Where anvil comes from, and a process of it that never outlives its parent."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from platformdirs import user_cache_path

from bcfl.core.errors import LedgerError

#: The version that this was tested with; shipped as a binary inside an npm package.
PACKAGE: Final = "@foundry-rs/anvil@1.7.1"
_INSTALL_TIMEOUT_S: Final = 300.0
_STOP_TIMEOUT_S: Final = 20.0

#: Runs the node and ends it when standard input ends, which the kernel sees to whichever way
#: the parent dies. (PR_SET_PDEATHSIG would tie the node to one thread of the parent.)
_SUPERVISOR: Final = """
exec 3<&0
"$@" 3<&- </dev/null & node=$!
{ read -r _ <&3; kill -TERM "$node" 2>/dev/null; } & watcher=$!
exec 3<&-
wait "$node"; status=$?
kill "$watcher" 2>/dev/null
exit "$status"
"""


def default_cache() -> Path:
    """``anvil`` in the user's cache folder of bcfl: on Linux ``~/.cache/bcfl/anvil``."""
    return user_cache_path("bcfl") / "anvil"


def find_anvil(cache: Path) -> Path:
    """The program: the one on the PATH, else npm's in ``cache``, installed there if need be.

    Raises
    ------
    LedgerError
        Neither anvil nor npm is there, or npm could not install it.
    """
    if (on_path := shutil.which("anvil")) is not None:
        return Path(on_path)
    if (cached := _in_cache(cache)) is not None:
        return cached
    if (npm := shutil.which("npm")) is None:
        raise LedgerError(
            "chain=anvil needs the program anvil (getfoundry.sh) or npm, which has it as a "
            "package; found neither on the PATH. chain=embedded needs nothing"
        )
    _install(npm, cache)
    if (installed := _in_cache(cache)) is None:
        raise LedgerError(f"npm installed {PACKAGE} in {cache}, but no binary for this machine")
    return installed


def _in_cache(cache: Path) -> Path | None:
    # the binary itself: npm's launcher would be a second process between it and its parent
    found = sorted(cache.glob("node_modules/@foundry-rs/anvil-*/bin/anvil"))
    return found[0] if found else None


def _install(npm: str, cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--prefix", str(cache), "--ignore-scripts", "--no-audit", PACKAGE]
    try:
        done = subprocess.run(  # noqa: S603 — a fixed command
            command, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise LedgerError(
            f"`{' '.join(command)}` did not end within {_INSTALL_TIMEOUT_S:g} s"
        ) from None
    if done.returncode != 0:
        raise LedgerError(f"`{' '.join(command)}` failed: {done.stderr.strip()[-500:]}")


class AnvilProcess:
    """One running anvil.

    Parameters
    ----------
    program : Path
        What to run.
    arguments : sequence of str
        Its arguments.
    """

    def __init__(self, program: Path, arguments: Sequence[str]) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 — closed by stop
        # a session of its own: Ctrl-C is for the run, which then stops the node in good order
        self._process = subprocess.Popen(  # noqa: S603 — a program that the user installed
            ["/bin/sh", "-c", _SUPERVISOR, "bcfl-anvil", str(program), *arguments],
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def last_words(self) -> str:
        """The end of what it printed."""
        self._output.seek(0)
        return self._output.read()[-500:].decode(errors="replace").strip()

    def stop(self) -> None:
        """End it in good order, which writes its state, and wait for that."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)  # its own session, so its own group
            self._process.wait()
        self._output.close()
