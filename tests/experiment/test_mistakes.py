"""What a person does wrong, and the one line that says so; interrupting is not a mistake."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from bcfl.experiment.hydra_entry import run_with_hydra
from bcfl.experiment.resume import resume_run
from tests.experiment.test_run import QUICK
from tests.experiment.test_trust import strangers_folder


@pytest.mark.parametrize("place", ["a file/run", "/proc/run"])
def test_a_folder_that_cannot_be_written_is_one_line(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a file").touch()
    quick = shlex.split(QUICK)
    for words in (
        [*quick, f"hydra.run.dir='{place}'"],
        ["-m", *quick, f"hydra.sweep.dir='{place}'"],
    ):
        assert run_with_hydra(words) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert place in error
        assert "may this user write there?" in error


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        ("clients", None), ("model", None), ("dataset", None), ("partition", "abc"),
        ("strategy", None), ("attack", 3), ("engine", []), ("rounds", "many"),
    ],
)  # fmt: skip
def test_a_folder_whose_configuration_was_spoilt_is_one_line(
    knob: str, value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = strangers_folder(tmp_path / "run", spoil=lambda config: config.update({knob: value}))
    assert resume_run(folder) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"bcfl: ConfigurationError: {knob}")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("hydra: {overrides: {task: ['hydra.launcher=joblib']}}", "expected values of knobs"),
        ("hydra: {overrides: {task: ['seed=${oc.env:HOME}']}}", "which was not looked up"),
        ("hydra: {overrides: {task: 3}}", "not what a sweep leaves"),
        ("a: [", "not what a sweep leaves"),
        ("hydra: {overrides: {task: ['attack._target_=os.mknod']}}", "found attack._target_"),
        ("hydra: {overrides: {task: ['+strategy.inner=3']}}", "found strategy.inner"),
    ],
)
def test_a_strangers_sweep_calls_nothing_and_looks_nothing_up(
    told: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "multirun.yaml").write_text(told)
    assert resume_run(tmp_path) == 2
    assert said in capsys.readouterr().err


class Left(BaseException):
    """Instead of the end of this process."""


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever starts the clients presses Ctrl-C; the process does not end."""

    def press(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def leave(status: int) -> None:
        raise Left(status)

    monkeypatch.setattr("bcfl.experiment.run._carry_out", press)
    monkeypatch.setattr(os, "_exit", leave)


@pytest.mark.usefixtures("interrupted")
def test_who_interrupts_is_told_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how = f"{tmp_path}; go on with: bcfl resume {tmp_path}\n"
    with pytest.raises(Left, match="130"):
        run_with_hydra([*shlex.split(QUICK), f"hydra.run.dir={tmp_path}"])
    assert capsys.readouterr().err == f"bcfl: interrupted; the rounds that are over are in {how}"
    with pytest.raises(Left, match="130"):
        resume_run(tmp_path)
    assert capsys.readouterr().err.endswith(how)


@pytest.mark.usefixtures("interrupted")
def test_a_run_whose_chain_was_in_memory_is_not_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Left, match="130"):
        run_with_hydra([*shlex.split(QUICK), "chain=memory", f"hydra.run.dir={tmp_path}"])
    assert capsys.readouterr().err.endswith("as its chain was in memory\n")


@pytest.mark.usefixtures("interrupted")
def test_who_interrupts_a_sweep_is_told_so_of_the_sweep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Left):
        run_with_hydra([*shlex.split(f"-m {QUICK} seed=1,2"), f"hydra.sweep.dir={tmp_path}"])
    how = f"the runs that are over are in {tmp_path}; go on with: bcfl resume {tmp_path}\n"
    assert capsys.readouterr().err.endswith(how)
