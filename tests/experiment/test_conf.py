"""conf/: every option composes, fits the code that reads it, and says what its knobs mean."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from inspect import signature
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf, open_dict

from bcfl.consensus.spec.rules import Rules
from bcfl.core.errors import ConfigurationError
from bcfl.experiment.attacks import Attack
from bcfl.experiment.clients.engine import EngineSettings
from bcfl.experiment.clients.models import build_model
from bcfl.experiment.clients.settings import ModelSettings, TrainingSettings
from bcfl.experiment.configuration import RunSettings, build, read_settings, register_resolvers
from bcfl.experiment.scenario import read_plan
from bcfl.market.models.training import ContributorTraining
from bcfl.strategies import ModelFusion, PeerConsensus

ROOT = Path(__file__).parents[2]
CONF = Path(str(files("bcfl.conf")))
OPTIONS = sorted(path.relative_to(CONF) for path in CONF.glob("*/*.yaml"))
SHAPES = {"cnn_mnist": (1, 28, 28), "cnn_cifar10": (3, 32, 32)}


def composed(*overrides: str) -> DictConfig:
    return copy.deepcopy(_composed(overrides))


@cache
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    register_resolvers()
    with initialize_config_module("bcfl.conf", version_base="1.3"):
        return compose("config", [*overrides, "run_dir=somewhere"])


def changed(config: DictConfig, *overrides: str) -> DictConfig:
    """The configuration with other values; no option of a group, which is composed."""
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        group, _, name = override.key_or_group.rpartition(".")
        with open_dict(config):
            if override.is_delete():
                del config[group][name]
            else:
                OmegaConf.update(config, override.key_or_group, override.value())
    return config


def options(group: str) -> list[str]:
    return [path.stem for path in OPTIONS if path.parent.name == group]


def one_of_each() -> list[list[str]]:
    """An option of every group, until each has been chosen once."""
    by_group = groupby(OPTIONS, lambda path: path.parent.name)
    rows = zip_longest(*([f"{group}={path.stem}" for path in paths] for group, paths in by_group))
    return [[option for option in row if option is not None] for row in rows]


def having(option: str) -> DictConfig:
    """A configuration with this option, among others."""
    return composed(*next(row for row in one_of_each() if option in row))


def test_there_are_options_of_every_kind() -> None:
    groups = {"attack", "chain", "contributor", "dataset", "engine", "model", "partition", "store"}
    assert {path.parent.name for path in OPTIONS} == groups | {"strategy", "tracker", "training"}


@pytest.mark.parametrize("chosen", one_of_each(), ids=" ".join)
def test_every_option_composes_and_names_what_exists(chosen: list[str]) -> None:
    config = composed(*chosen)
    if "chain=rpc" in chosen:
        config.chain.key_file = "key.json"
    resolved = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    targets = list(targets_in(resolved))
    assert targets
    for target in targets:
        assert callable(get_object(target)), target


def targets_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "_target_" in value:
            yield value["_target_"]
        for item in value.values():
            yield from targets_in(item)


def test_the_defaults_pass_their_own_checks() -> None:
    settings = read_settings(RunSettings, composed(), "")
    assert (settings.clients, settings.rounds, settings.seed) == (10, 20, 1)


def defaults_of(kind: Callable[..., object]) -> dict[str, Any]:
    named = signature(kind).parameters.items()
    return {name: each.default for name, each in named if each.default is not each.empty}


@pytest.mark.parametrize(
    ("group", "option", "kinds"),
    [
        ("strategy", "peer_consensus", (PeerConsensus, Rules)),
        ("strategy", "model_fusion", (ModelFusion,)),
        ("contributor", "mixed", (ContributorTraining,)),
        ("contributor", "cnn", (ContributorTraining,)),
    ],
)
def test_a_value_that_the_code_has_a_default_for_is_that_default(
    group: str, option: str, kinds: tuple[Callable[..., object], ...]
) -> None:
    config = OmegaConf.to_container(composed(f"{group}={option}")[group], resolve=True)
    assert isinstance(config, dict)
    of_a_run = {"chain", "store", "run_dir", "seed", "min_available_nodes", "allowance_wei"}
    defaults = {name: value for kind in kinds for name, value in defaults_of(kind).items()}
    both = defaults.keys() & config.keys() - of_a_run
    assert len(both) > 3
    assert {name: config[name] for name in both} == {name: defaults[name] for name in both}


def test_the_run_config_of_flwr_run_is_the_same_configuration() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    own = {"clients", "overrides", "run-dir", "log-level"}  # where the two differ on purpose
    overrides = [f"{key}={value}" for key, value in told.items() if key not in own]
    assert len(overrides) > 8
    assert composed(*overrides) == composed()


def test_the_readme_names_the_defaults() -> None:
    text, rules = (ROOT / "README.md").read_text(), Rules()
    assert f"PeerConsensus(gamma={rules.gamma}, kappa={rules.kappa})" in text
    assert f"γ = {rules.gamma}, κ = {rules.kappa}" in text


@pytest.mark.parametrize("name", options("model"))
def test_every_model_can_be_built(name: str) -> None:
    config = having(f"model={name}")
    shape = SHAPES.get(name, (1, 8, 8))
    settings = read_settings(ModelSettings, config.model, "model", shape=shape, classes=10)
    parameters = build_model(settings, seed=0).parameters()
    assert 500 < sum(tensor.numel() for tensor in parameters) < 500_000


@pytest.mark.parametrize("name", options("training"))
def test_every_training_is_in_range(name: str) -> None:
    assert read_settings(TrainingSettings, having(f"training={name}").training, "training")


@pytest.mark.parametrize("name", options("engine"))
def test_every_engine_is_one(name: str) -> None:
    engine = read_settings(EngineSettings, having(f"engine={name}").engine, "engine")
    assert engine.kind == name


@pytest.mark.parametrize("name", options("attack"))
def test_every_attack_can_be_made_and_is_called_by_its_class(name: str) -> None:
    attack = build(having(f"attack={name}"), "attack")
    assert isinstance(attack, Attack)
    expected = {"none": "no_attack", "lying_reviewer": "sign_flip"}.get(name, name)
    assert re.sub(r"(?<!^)(?=[A-Z])", "_", type(attack).__name__).lower() == expected


def test_nobody_attacks_where_there_is_no_attack() -> None:
    """A sweep over attacks sets the fraction for all of them."""
    config = composed("attack=none", "attack.fraction=0.3", "strategy=multi_krum")
    assert build(config, "attack").malicious(10) == frozenset()
    assert (config.strategy.num_malicious_nodes, config.strategy.num_nodes_to_select) == (0, 10)


@pytest.mark.parametrize("name", options("partition"))
def test_every_partition_counts_the_clients(name: str) -> None:
    config = composed(f"partition={name}", "clients=7")
    assert config.partition.partitioner.num_partitions == 7


@pytest.mark.parametrize(
    ("dataset", "model", "epochs"),
    [("digits", "cnn", 3), ("mnist_test", "cnn_mnist", 1), ("cifar10", "cnn_cifar10", 1)],
)
def test_a_data_set_brings_its_model_and_training(dataset: str, model: str, epochs: int) -> None:
    config = composed(f"dataset={dataset}")
    assert config.model == composed(f"model={model}").model
    assert config.training.local_epochs == epochs


def test_a_model_on_the_command_line_has_the_last_word() -> None:
    assert composed("dataset=mnist", "model=logistic").model.kind == "logistic"


def test_the_robust_baselines_are_told_how_many_attack() -> None:
    config = composed("strategy=multi_krum", "attack=sign_flip", "attack.fraction=0.25")
    assert config.strategy.num_malicious_nodes == 3
    assert config.strategy.num_nodes_to_select == 7


def test_direct_transactions_bring_ether_along() -> None:
    assert composed().strategy.allowance_wei == 0
    assert composed("transactions=direct").strategy.allowance_wei == 10**18
    assert composed("membership=open", "stake_wei=7").strategy.allowance_wei == 10**18 + 7


@pytest.mark.parametrize("store", options("store"))
def test_a_store_does_not_hear_that_it_is_for_members_only(store: str) -> None:
    config = composed(f"store={store}", "store.encrypt=true")
    assert config.strategy.encrypt is True
    assert "encrypt" not in config.strategy.store
    assert config.strategy.store._target_ == config.store._target_


def test_membership_and_stake_are_the_strategys_to_check() -> None:
    for overrides, said in (
        (["membership=open"], "stake_wei: expected at least 1 where membership='open'; found 0"),
        (["stake_wei=5"], "stake_wei: expected 0, or membership='open'; found 5"),
        (
            ["membership=closed"],
            "membership: expected one of ('allow_list', 'open'); found 'closed'",
        ),
    ):
        with pytest.raises(ConfigurationError, match=re.escape(said)):
            read_plan(changed(composed(), *overrides))


@pytest.mark.parametrize("option", [Path("config.yaml"), *OPTIONS], ids=str)
def test_every_knob_says_what_it_means(option: Path) -> None:
    lines = (CONF / option).read_text().split("\nhydra:")[0].splitlines()
    assert lines[0].startswith("# ")
    for line in lines:
        knob = re.match(r"\s*(\w+):\s*(\S.*)?$", line)
        if knob is None or knob[1] in ("_target_", "_args_", "kind", "defaults"):
            continue
        heading, copied = knob[2] is None, "${" in line and "${allowance" not in line
        assert heading or copied or "#" in line, f"{option}: {line!r} has no comment"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["gamma=abc"], "gamma: expected a number; found 'abc'"),
        (["clients=true"], "clients: expected a valid integer; found True"),
        (["clients=1"], "clients: expected greater than or equal to 2; found 1"),
        (["clients=129"], "clients: expected less than or equal to 128; found 129"),
        (["rounds=0"], "rounds: expected greater than or equal to 1; found 0"),
        (["seed=-1"], "seed: expected greater than or equal to 0; found -1"),
        (["quorum=11"], "quorum: expected at most clients=10; found 11"),
        (["metric=3"], "metric: expected None, or the name of a metric; found 3"),
        (["log_level=LOUD"], "log_level: expected 'DEBUG', 'INFO', 'WARNING'"),
    ],
)
def test_a_wrong_value_is_named(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        read_plan(changed(composed(), *overrides))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.local_epochs=2.5", "training.local_epochs: expected a valid integer; found 2.5"),
        ("training.local_epochs=0", "training.local_epochs: expected greater than or equal to 1"),
        ("training.batch_size=0", "training.batch_size: expected greater than or equal to 1"),
        ("training.learning_rate=0", "training.learning_rate: expected greater than 0; found 0"),
        ("training.learning_rate=inf", "training.learning_rate: expected a finite number"),
        ("training.momentum=-0.1", "training.momentum: expected greater than or equal to 0"),
        ("training.momentum=1", "training.momentum: expected less than 1; found 1"),
        ("training.weight_decay=-1", "training.weight_decay: expected greater than or equal to 0"),
        ("~training.momentum", "training.momentum: expected a value; found None"),
    ],
)
def test_a_wrong_training_is_named(override: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        read_settings(TrainingSettings, changed(composed(), override).training, "training")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.widths=[16]", "model.pool: expected one true or false for each"),
        ("model.widths=abc", "model.widths: expected a valid array; found 'abc'"),
        ("model.widths=[0,32]", "model.widths.0: expected greater than 0; found 0"),
        ("model.kind=rnn", "model.kind: expected 'cnn', 'mlp' or 'logistic'; found 'rnn'"),
        ("model={kind: cnn, widths: [8,8,8,8], pool: [true,true,true,true]}", "few enough"),
    ],
)
def test_a_wrong_model_is_named(override: str, said: str) -> None:
    config = changed(composed("model.widths=[8,8]", "model.pool=[true,true]"), override)
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        read_settings(ModelSettings, config.model, "model", shape=(1, 8, 8), classes=10)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["attack=sign_flip", "attack.fraction=2"], "attack.fraction: expected in [0, 1)"),
        (["attack=gaussian", "attack.scale=0"], "attack.scale: expected a positive number"),
    ],
)
def test_a_wrong_attack_is_named(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        build(composed(*overrides), "attack")


def test_what_other_peoples_classes_refuse_is_a_configuration_error() -> None:
    config = composed("strategy=fed_trimmed_avg", "strategy.beta=0.7")
    with pytest.raises(ConfigurationError, match="beta"):
        build(config, "strategy")


def test_a_missing_value_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"Missing mandatory value: chain\.key_file$"):
        build(composed("chain=rpc"), "chain")
