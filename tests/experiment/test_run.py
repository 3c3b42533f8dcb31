"""``bcfl run``: what it leaves behind, that seeds hold, what it says to mistakes."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy
from omegaconf import OmegaConf

from bcfl.core.model import model_digest
from bcfl.experiment.hydra_entry import run_with_hydra
from bcfl.experiment.resume import resume_run
from bcfl.store.local import LocalStore

QUICK = (
    "engine=in_process model=logistic training.local_epochs=1 clients=4 rounds=2 warmup_rounds=0"
)
ROUND_FIELDS = {
    "round", "accuracy", "loss", "model", "committed", "rejected", "ballots", "scores", "winners",
    "transactions", "gas", "seconds", "bytes_up", "bytes_up_dense", "bytes_down",
    "bytes_down_dense", "left_out", "expected", "voted", "void",
}  # fmt: skip


def play(folder: Path, arguments: str = "") -> dict[str, Any]:
    """Run; the result."""
    assert run_with_hydra([*shlex.split(f"{QUICK} {arguments}"), f"hydra.run.dir={folder}"]) == 0
    return result_in(folder)


def result_in(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


def digests(result: dict[str, Any]) -> list[str]:
    return [entry["model"] for entry in result["rounds"]]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one run of peer consensus, with the defaults."""
    folder = tmp_path_factory.mktemp("honest") / "run"
    play(folder)
    return folder


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """The result of a run with these arguments, which is played once."""

    @cache
    def result(arguments: str) -> dict[str, Any]:
        return play(tmp_path_factory.mktemp("played") / "run", arguments)

    return result


def test_a_result_says_everything_of_every_round(honest: Path) -> None:
    result = result_in(honest)
    assert [entry["round"] for entry in result["rounds"]] == [1, 2]
    for entry in result["rounds"]:
        assert set(entry) >= ROUND_FIELDS
        assert entry["committed"] == [0, 1, 2, 3]
        assert len(entry["winners"]) == 2
        assert set(entry["ballots"]) == {"0", "1", "2", "3"}
        assert "1" not in entry["ballots"]["1"]
        opened = {"open"} if entry["round"] == 1 else set()  # else with the end of the one before
        assert set(entry["gas"]) == {"commit", "ballot", "close"} | opened
        assert all(hashes[0].startswith("0x") for hashes in entry["transactions"].values())
        assert 0 < entry["bytes_up"] < entry["bytes_up_dense"]
    assert result["initial"]["accuracy"] < 0.3 < result["final"]["accuracy"]
    assert result["final"]["round"] == 2
    assert result["error"] == ""
    gas = [sum(entry["gas"].values()) for entry in result["rounds"]]
    assert result["totals"]["gas"] == sum(gas)
    assert result["totals"]["gas_per_round"] == round(sum(gas) / 2)


def test_without_an_evm_and_as_one_batch_the_models_are_the_same(
    honest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = play(tmp_path / "run", "engine=stacked chain=memory")
    slow = result_in(honest)
    assert digests(quick) == digests(slow)
    assert [entry["ballots"] for entry in quick["rounds"]] == [
        entry["ballots"] for entry in slow["rounds"]
    ]
    told = [*shlex.split(QUICK), "chain=memory", "engine=ray", f"hydra.run.dir={tmp_path}/ray"]
    assert run_with_hydra(told) != 0
    assert "in_process or stacked" in capsys.readouterr().err


@pytest.mark.parametrize("rule", ["coalition", "referee"])
def test_without_an_evm_sets_are_proposed_and_decided_as_with_one(
    rule: str, tmp_path: Path
) -> None:
    more = f"clients=5 rounds=1 rule={rule} reference.size=30 reference.patched=true"
    more += " partition=dirichlet"
    (quick,) = play(tmp_path / "quick", f"engine=stacked chain=memory {more}")["rounds"]
    (slow,) = play(tmp_path / "slow", more)["rounds"]
    for name in ("model", "proposals", "ballots", "scores", "winners"):
        assert quick[name] == slow[name], name


def test_the_model_in_the_folder_is_the_last_one_on_chain(honest: Path) -> None:
    path = honest / "model.safetensors"
    with safetensors.safe_open(path, framework="numpy") as file:
        order = json.loads(file.metadata()["order"])
    arrays = safetensors.numpy.load_file(path)
    digest = model_digest({key: arrays[key] for key in order}).hex()
    assert digest == result_in(honest)["final"]["model"] == digests(result_in(honest))[-1]


def test_the_deltas_are_in_the_folder_by_digest(honest: Path) -> None:
    task = json.loads((honest / "task.json").read_text())
    store = LocalStore(honest / "blobs")
    assert store.has(bytes.fromhex(task["genesis"]))
    assert sum(path.is_file() for path in (honest / "blobs").rglob("*")) >= 2 * 4 + 1


def test_the_configuration_is_resolved_but_for_the_folders_place(honest: Path) -> None:
    text = (honest / "config.yaml").read_text()
    assert str(honest) not in text
    config = OmegaConf.create(text)
    assert "run_dir" not in config
    assert config.clients == config.strategy.min_available_nodes == 4
    assert OmegaConf.to_container(config, resolve=False)["store"]["folder"] == "${run_dir}/blobs"


def test_a_line_is_written_for_each_round_and_each_measurement(honest: Path) -> None:
    lines = [json.loads(line) for line in (honest / "rounds.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["round"]) for line in lines] == [
        ("evaluation", 0), ("round", 1), ("evaluation", 1), ("round", 2), ("evaluation", 2),
    ]  # fmt: skip


def test_the_same_seed_gives_the_same_models_and_transactions(honest: Path, tmp_path: Path) -> None:
    one, again = result_in(honest), play(tmp_path / "again")
    assert digests(again) == digests(one)
    for a, b in zip(one["rounds"], again["rounds"], strict=True):
        assert a["transactions"] == b["transactions"]
        assert a["gas"] == b["gas"]


def test_another_seed_gives_another_model(honest: Path, tmp_path: Path) -> None:
    (other,) = digests(play(tmp_path / "run", "seed=2 rounds=1 chain=memory"))
    assert other != digests(result_in(honest))[0]


def test_an_edited_accuracy_does_not_pass_the_audit(honest: Path, tmp_path: Path) -> None:
    from bcfl.audit.audit import audit_run
    from bcfl.experiment.measure import measure_of

    run = Path(shutil.copytree(honest, tmp_path / "run"))
    audit = audit_run(run, measure=measure_of(run))
    assert audit.holds
    assert "losses and accuracies of 3 models, measured anew" in audit.checked
    result = result_in(run)
    result["final"]["accuracy"] = result["rounds"][-1]["accuracy"] = 0.9999
    (run / "result.json").write_text(json.dumps(result))
    audit = audit_run(run, measure=measure_of(run))
    assert {(finding.kind, finding.found) for finding in audit.findings} == {
        ("result.json", "0.9999")
    }
    unmeasured = audit_run(run)
    assert unmeasured.holds
    assert any("accuracies in result.json" in what for what in unmeasured.unchecked)


def test_a_finished_run_is_not_gone_on_with(
    honest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in honest.rglob("*") if path.is_file()}

    before = contents()
    assert resume_run(honest) == 0
    assert "has finished" in capsys.readouterr().out
    assert contents() == before


def test_a_folder_with_a_run_is_not_written_over(
    honest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (honest / "result.json").read_bytes()
    assert run_with_hydra([*shlex.split(QUICK), f"hydra.run.dir={honest}"]) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert (honest / "result.json").read_bytes() == before


@pytest.mark.parametrize(
    "strategy", ["fedavg", "krum", "multi_krum", "fed_trimmed_avg", "fed_median", "centralised"]
)
def test_every_baseline_learns_and_repeats_to_the_bit(
    strategy: str, played: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    one, again = played(f"strategy={strategy}"), play(tmp_path / "again", f"strategy={strategy}")
    assert one["final"]["accuracy"] > one["initial"]["accuracy"]
    assert digests(one) == digests(again)
    sent = 0 if strategy == "centralised" else 4 * 650 * 4
    assert [entry["bytes_up"] >= sent for entry in one["rounds"]] == [True, True]


def test_all_strategies_begin_with_the_same_model(
    honest: Path, played: Callable[[str], dict[str, Any]]
) -> None:
    fedavg, central = played("strategy=fedavg"), played("strategy=centralised")
    assert fedavg["initial"] == central["initial"] == result_in(honest)["initial"]


@pytest.mark.parametrize("attack", ["sign_flip", "gaussian", "label_flip", "lying_reviewer"])
@pytest.mark.parametrize("strategy", ["peer_consensus", "fedavg"])
def test_every_attack_is_felt_under_every_kind_of_strategy(
    attack: str,
    strategy: str,
    honest: Path,
    played: Callable[[str], dict[str, Any]],
    tmp_path: Path,
) -> None:
    attacked = f"attack={attack} attack.fraction=0.25 rounds=1"
    if strategy == "fedavg":
        result, clean = play(tmp_path, f"strategy=fedavg {attacked}"), played("strategy=fedavg")
    else:
        result, clean = play(tmp_path, f"chain=memory {attacked}"), result_in(honest)
    assert result["malicious"] == [3]
    if strategy == "fedavg":
        assert digests(result)[0] != digests(clean)[0]
    else:  # the attacker may lose: it shows in the ballots, whoever wins
        assert result["rounds"][0]["ballots"] != clean["rounds"][0]["ballots"]


def test_a_lying_reviewer_ranks_the_honest_in_reverse(tmp_path: Path) -> None:
    def ranking(attack: str) -> list[str]:
        arguments = f"attack={attack} attack.fraction=0.25 attack.scale=1 clip=none"
        arguments += " rounds=1 chain=memory"
        ballot = play(tmp_path / attack, arguments)["rounds"][0]["ballots"]["3"]
        return sorted(ballot, key=lambda member: -ballot[member])

    assert ranking("lying_reviewer") == ranking("sign_flip")[::-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("gama=0.1", "ConfigurationError: no knob is called gama; did you mean gamma?"),
        ("gamma=0", "ConfigurationError: gamma: expected in (0, 1]; found 0.0"),
        ("kappa=1", "ConfigurationError: kappa: expected in (0, 1); found 1.0"),
        ("clients=1", "ConfigurationError: clients: expected greater than or equal to 2; found 1"),
        ("attack=sign_flip attack.fraction=2", "attack.fraction: expected in [0, 1); found 2"),
        ("strategy=foo", "ConfigurationError: strategy: expected one of centered_clipping, "),
        ("gamma", "ConfigurationError: expected NAME=VALUE, as in gamma=0.1; found gamma"),
        ("--gamma 0.1", "ConfigurationError: expected NAME=VALUE, as in gamma=0.1; found --gamma"),
        ("dataset=mnist_test dataset.folder=nowhere", "DatasetUnavailable: mnist_test:"),
        ("partition.validation_fraction=1", "partition.validation_fraction: expected in (0, 1)"),
        ("model.kind=cnn", "model.pool: expected"),
        ("chain=rpc", "Missing mandatory value: strategy.chain.key_file"),
        ("strategy=fed_trimmed_avg strategy.beta=0.7", "`beta` must be in the range"),
        ("clients=128 partition=dirichlet", "partition: 1438 images cannot be shared out"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(
    arguments: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(f"{QUICK} {arguments}")
    assert run_with_hydra([*words, f"hydra.run.dir={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("bcfl: ")
    assert said in error


def test_a_run_that_fails_says_why_and_keeps_what_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*shlex.split(QUICK), "metric=+beauty", "rounds=1", f"hydra.run.dir={tmp_path}"]
    assert run_with_hydra(words) == 1
    error = capsys.readouterr().err
    assert "eval_acc" in error
    assert "eval_loss" in error
    result = result_in(tmp_path)
    assert result["final"]["round"] == 0
    assert "beauty" in result["error"]


def test_a_run_that_diverges_still_has_a_result(tmp_path: Path) -> None:
    result = play(tmp_path, "strategy=fedavg training.learning_rate=1e38 training.momentum=0.9")
    assert result["final"]["loss"] is None
    assert result["final"]["accuracy"] < 0.3


def test_a_strategy_whose_clients_all_fail_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no disk")

    monkeypatch.setattr("bcfl.experiment.clients.client_app.train_model", fail)
    words = [*shlex.split(QUICK), "strategy=fedavg", f"hydra.run.dir={tmp_path}"]
    assert run_with_hydra(words) == 1
    assert "NobodyLeft: none of 4 clients replied: OSError: no disk" in capsys.readouterr().err


def test_a_sweep_sums_itself_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"-m {QUICK} strategy=fedavg,centralised seed=1,2 rounds=1 hydra.sweep.dir={tmp_path}"
    assert run_with_hydra(shlex.split(words)) == 0
    rows = (tmp_path / "summary.csv").read_text().splitlines()
    assert rows[0].startswith("job,")
    assert len(rows) == 1 + 4
    printed = capsys.readouterr().out
    assert "summary.csv" in printed
    assert printed.count("centralised on digits: test accuracy") == 2
    # as if it had been killed in its third job
    before = [digests(result_in(tmp_path / job)) for job in "0123"]
    (tmp_path / "2" / "result.json").unlink()
    shutil.rmtree(tmp_path / "3")
    assert resume_run(tmp_path) == 0
    assert [digests(result_in(tmp_path / job)) for job in "0123"] == before
    printed = capsys.readouterr().out
    assert printed.count("has finished: there is nothing to go on with") == 2
    assert printed.count("playing again from the first one") == 1
    assert len((tmp_path / "summary.csv").read_text().splitlines()) == 1 + 4


def test_a_sweep_goes_on_after_a_bad_point(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"-m {QUICK} strategy=fedavg clients=1,4 rounds=1 hydra.sweep.dir={tmp_path}"
    assert run_with_hydra(shlex.split(words)) == 2
    failed, done = (tmp_path / "summary.csv").read_text().splitlines()[1:]
    assert "clients: expected greater than or equal to 2" in failed
    assert done.startswith("1,")
    assert capsys.readouterr().err.count("clients: expected greater than or equal to 2") == 1


@pytest.mark.timeout(600)
def test_flowers_own_engine_gives_the_same_models_and_says_no_more(
    honest: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert digests(play(tmp_path / "ray", "engine=ray")) == digests(result_in(honest))
    said = capfd.readouterr()
    assert "after 2 rounds" in said.out
    assert "raylet" not in said.out + said.err
