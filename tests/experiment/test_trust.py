"""Somebody else's run folder, and somebody else's run config: nothing of them is called."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
import pytest
import yaml

from bcfl.audit import audit_command
from bcfl.cli.main import app
from bcfl.core.errors import ConfigurationError
from bcfl.experiment.flower_app import client_app
from bcfl.experiment.resume import resume_run
from bcfl.experiment.run_folder import RunFolder
from bcfl.experiment.trust import PLACES, expect_plain_files, shipped_options
from tests.experiment.test_conf import composed
from tests.experiment.test_flower_app import APP, message_to

Spoil = Callable[[dict[str, Any], Path], None]


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[Path]:
    """Made by whatever of a stranger's is carried out; it must not be."""
    path = tmp_path / "elsewhere" / "sentinel"
    path.parent.mkdir()
    yield path
    assert not path.exists()


def strangers_folder(
    folder: Path, *overrides: str, spoil: Callable[[dict[str, Any]], None]
) -> Path:
    """As `bcfl run` left it, and then spoilt."""
    config = composed(*overrides)
    config.run_dir = str(folder)
    RunFolder(folder).write_config(config, {"strategy": "x", "dataset": "digits", "overrides": []})
    values = yaml.safe_load((folder / "config.yaml").read_text())
    spoil(values)
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    return folder


def run_it(path: Path) -> dict[str, Any]:
    """What makes the sentinel, if Hydra calls it."""
    return {"_target_": "os.mknod", "_args_": [str(path)]}


EVIL: dict[str, Spoil] = {
    "a strategy": lambda c, s: c.update(strategy=run_it(s)),
    "a data set": lambda c, s: c.update(dataset=run_it(s)),
    "an attack": lambda c, s: c.update(attack=run_it(s)),
    "nested": lambda c, s: c["strategy"]["chain"].update(journal=run_it(s)),
    "in a list": lambda c, s: c["attack"].update(fraction=[0.3, [run_it(s)]]),
    "in positional arguments": lambda c, s: c["strategy"].update(_args_=[run_it(s)]),
    "partly applied": lambda c, s: c.update(attack={**run_it(s), "_partial_": True}),
    "not recursively": lambda c, s: c.update(attack={**run_it(s), "_recursive_": False}),
    "where nothing is called today": lambda c, s: c.update(model={"kind": run_it(s)}),
    "by way of Hydra": lambda c, s: c["strategy"].update(
        inner={"_target_": "hydra.utils.get_method", "path": "os.system"}
    ),
    "a program of the folder's": lambda c, s: c["strategy"].update(
        chain={"_target_": "bcfl.chain.AnvilChain", "cache": "${run_dir}/anvil"}
    ),
    "an unknown argument": lambda c, s: c["strategy"].update(inner=None),
    "a journal elsewhere": lambda c, s: c["strategy"]["chain"]["journal"].update(_args_=[str(s)]),
    "a journal above": lambda c, s: c["strategy"]["chain"]["journal"].update(
        _args_=["${run_dir}/../elsewhere/sentinel"]
    ),
    "blobs elsewhere": lambda c, s: c["strategy"]["store"].update(folder=str(s)),
    "the folder of a task elsewhere": lambda c, s: c["strategy"].update(run_dir=str(s)),
    "a key and a node": lambda c, s: c["strategy"].update(
        chain={"_target_": "bcfl.chain.RpcChain", "url": "http://x.example", "key_file": "k.json"}
    ),
    "the environment": lambda c, s: c.update(metric="${oc.env:HOME}"),
    "another key": lambda c, s: c["attack"].update(fraction="${seed}"),
    "a zero byte": lambda c, s: c["strategy"]["store"].update(folder="/a\0b"),
}  # fmt: skip


def test_what_makes_the_sentinel_makes_it_when_it_is_called(tmp_path: Path) -> None:
    hydra.utils.instantiate(run_it(tmp_path / "sentinel"))
    assert (tmp_path / "sentinel").exists()


@pytest.mark.parametrize("kind", EVIL)
def test_a_strangers_folder_is_refused_and_nothing_of_it_is_called(
    kind: str, tmp_path: Path, sentinel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = strangers_folder(tmp_path / "run", spoil=lambda config: EVIL[kind](config, sentinel))
    before = sorted(folder.rglob("*"))
    assert resume_run(folder) == 2
    error = capsys.readouterr().err
    assert error.startswith("bcfl: ConfigurationError: ")
    assert "bcfl resume" in error or "not looked up" in error
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("kind", EVIL)
def test_the_audit_of_a_strangers_folder_calls_nothing_of_it(
    kind: str, tmp_path: Path, sentinel: Path
) -> None:
    folder = strangers_folder(tmp_path / "run", spoil=lambda config: EVIL[kind](config, sentinel))
    assert audit_command(folder) == 2


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.mknod [SENTINEL]",
        "a: !!python/object/new:os.mknod [SENTINEL]",
        "- a",
        "a: [",
        "a: \xff",
        "choices: 3",
        "choices: {strategy: x, dataset: digits}",
        "choices: {strategy: x, dataset: digits}\nstrategy: {a: 1}",
        "a: " + 900 * "[",
    ],
)
def test_what_is_no_configuration_is_one_line(
    text: str, tmp_path: Path, sentinel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = text.replace("SENTINEL", str(sentinel)).encode("latin-1")
    (tmp_path / "config.yaml").write_bytes(content)
    assert resume_run(tmp_path) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_file_that_a_link_in_the_folder_leads_to_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = strangers_folder(tmp_path / "run", spoil=lambda _: None)
    theirs = tmp_path / "authorized_keys"
    theirs.write_text("a key without a line break")
    (folder / "rounds.jsonl").symlink_to(theirs)
    assert resume_run(folder) == 2
    assert "rounds.jsonl: expected a file or a folder; found a link" in capsys.readouterr().err
    assert theirs.read_text() == "a key without a line break"


def test_a_pipe_in_the_folder_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rounds.jsonl")
    with pytest.raises(ConfigurationError, match="found a link, or worse"):
        expect_plain_files(tmp_path)


@pytest.mark.parametrize(
    "overrides",
    [
        (), ("strategy=fedavg",), ("strategy=model_fusion",), ("chain=anvil",), ("store=ipfs",),
        ("dataset=mnist",), ("dataset=mnist_test", "partition=shards"), ("strategy=multi_krum",),
        ("attack=lying_reviewer", "partition=dirichlet"), ("strategy=centralised",),
    ],
)  # fmt: skip
def test_what_bcfl_run_writes_is_read_again(overrides: tuple[str, ...], tmp_path: Path) -> None:
    folder = strangers_folder(tmp_path / "run", *overrides, spoil=lambda _: None)
    expected = composed(*overrides)
    expected.run_dir = str(folder)
    assert RunFolder(folder).read_config()[0] == expected


def test_what_is_allowed_by_name_is_let_pass(tmp_path: Path) -> None:
    own = ["chain=rpc", "chain.key_file=k.json", "+chain.password=null"]
    folder = strangers_folder(tmp_path / "run", *own, spoil=lambda _: None)
    with pytest.raises(ConfigurationError) as refused:
        RunFolder(folder).read_config()
    named = re.findall(r"--allow '([^']+)'", str(refused.value))
    assert named == ["bcfl.chain.RpcChain", "k.json"]
    config, _ = RunFolder(folder).read_config(named)
    assert config.strategy.chain.key_file == "k.json"


def test_the_command_takes_what_is_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = strangers_folder(
        tmp_path / "run", spoil=lambda c: c.update(attack={"_target_": "mine.Own", "a": 1})
    )
    command = ["resume", str(folder), "--allow", "mine.Own"]
    with pytest.raises(SystemExit) as ended:
        app(command)
    assert ended.value.code == 2
    assert "attack: " in (error := capsys.readouterr().err)
    assert "mine" in error
    assert "--allow" not in error


def test_a_run_of_before_there_were_scenarios_has_its_strategys(tmp_path: Path) -> None:
    folder = strangers_folder(tmp_path / "run", spoil=lambda c: c["strategy"].pop("scenario"))
    scenario = RunFolder(folder).read_config()[0].strategy.scenario
    assert scenario == {"_target_": "bcfl.experiment.ConsensusScenario"}


def test_every_place_in_conf_is_known_as_one() -> None:
    def look(name: str, value: Any) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from look(key, item)
        elif isinstance(value, list):
            for item in value:
                yield from look(name, item)
        elif isinstance(value, str) and re.search(r"/|run_dir|^~|\?\?\?", value):
            yield name, value

    found = {name for *_, option in shipped_options() for name, _ in look("", option)}
    assert (
        found - {"override /training@_global_.training", "override /model@_global_.model"} <= PLACES
    )
    assert len(found) > 5


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ("attack._target_=os.mknod +attack._args_=[SENTINEL]", "attack._target_: expected"),
        ("+attack._partial_=true", "attack._partial_: expected"),
        ("dataset.test_fraction=${oc.env:BCFL_KEY_PASSWORD}", "was not looked up"),
    ],
)
def test_a_run_config_calls_and_reads_nothing_of_a_supernodes(
    overrides: str, said: str, sentinel: Path
) -> None:
    from bcfl.flower.grid import InProcessGrid

    config = {**APP["config"], "overrides": overrides.replace("SENTINEL", str(sentinel))}
    grid = InProcessGrid(client_app, 2, run_config=config)
    context = next(iter(grid.contexts.values()))
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        client_app(message_to(context), context)
