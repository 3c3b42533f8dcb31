"""Programs that are started end with us, and their children, wherever those went."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bcfl.cluster.processes import Programs, free_port
from bcfl.core.errors import ProgramFailed

SLEEP = [sys.executable, "-c", "import time; time.sleep(300)"]
#: Starts a child in a session of its own, as Flower's SuperLink does, and prints its id.
PARENT = [
    sys.executable,
    "-u",
    "-c",
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'],"
    " start_new_session=True)\n"
    "print(child.pid)\n"
    "time.sleep(300)",
]
#: As PARENT, but refuses to end when it is asked to.
STUBBORN = [
    *PARENT[:3],
    "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + PARENT[3],
]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path / "logs"


@pytest.mark.parametrize("command", [PARENT, STUBBORN], ids=["parent", "stubborn"])
def test_nothing_that_was_started_is_left(
    logs: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bcfl.cluster.processes._STOP_S", 1.0)
    with Programs(logs, os.environ) as programs:
        programs.start("one", command)
        programs.wait_until(lambda: programs.log("one").strip() != "", "its child", 60.0)
        child = psutil.Process(int(programs.log("one")))
        assert child.is_running()
    # Whose parent is gone is init's to reap, and some containers' init does not.
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert not psutil.Process().children(recursive=True)


def wait_for_one(logs: Path, **commands: list[str]) -> None:
    with Programs(logs, os.environ) as programs:
        for name, command in commands.items():
            programs.start(name, command)
        programs.wait("one", 60.0)


def test_a_program_that_fails_is_an_error_with_its_last_words(logs: Path) -> None:
    failing = [sys.executable, "-c", "import sys; print('no such port'); sys.exit(3)"]
    with pytest.raises(ProgramFailed, match=r"one ended with status 3:\nno such port"):
        wait_for_one(logs, one=failing)


def test_another_program_that_fails_meanwhile_ends_the_wait(logs: Path) -> None:
    with pytest.raises(ProgramFailed, match="two ended"):
        wait_for_one(logs, one=SLEEP, two=[sys.executable, "-c", "raise SystemExit(1)"])
    assert not psutil.Process().children(recursive=True)


def test_waiting_ends(logs: Path) -> None:
    with (
        Programs(logs, os.environ) as programs,
        pytest.raises(ProgramFailed, match=r"waited 0.1 s for doomsday"),
    ):
        programs.wait_until(lambda: False, "doomsday", 0.1)


def test_being_told_to_end_is_as_being_interrupted(logs: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def be_told() -> None:
        with Programs(logs, os.environ) as programs:
            programs.start("one", SLEEP)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        be_told()
    assert signal.getsignal(signal.SIGTERM) is before
    assert not psutil.Process().children(recursive=True)


def test_a_free_port_can_be_taken() -> None:
    port = free_port()
    script = f"import socket; socket.create_server(('127.0.0.1', {port})).close()"
    subprocess.run([sys.executable, "-c", script], check=True)
