"""The rules' names and defaults stand in ``Rules``; the strategy and conf/ agree with it."""

from __future__ import annotations

import inspect
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from flwr.serverapp.strategy import FedAvg
from hydra import compose, initialize_config_module

from bcfl.consensus.server.adoption import FedAvgOptions
from bcfl.consensus.spec.rules import RuleOptions, Rules
from bcfl.core.errors import ConfigurationError
from bcfl.experiment.configuration import register_resolvers
from bcfl.strategies import PeerConsensus

ROOT = Path(__file__).parents[2]
DEFAULTS = asdict(Rules())


def test_without_arguments_the_rules_are_the_defaults() -> None:
    assert PeerConsensus().rules == Rules()


def test_a_rule_goes_before_the_rules_beside_it() -> None:
    strategy = PeerConsensus(rules=Rules(gamma=0.3, kappa=0.25), gamma=0.2)
    assert strategy.rules == Rules(gamma=0.2, kappa=0.25)


def test_the_inner_strategy_is_named_in_the_rules() -> None:
    assert PeerConsensus(rules=Rules(gamma=0.3), inner=FedAvg()).rules == Rules(0.3, inner="FedAvg")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("gama", "gamma"),
        ("commit_window", "commit_window_s"),
        ("fraction_trian", "fraction_train"),
        ("max_attempt", "max_attempts"),
    ],
)
def test_a_misspelt_argument_is_told_the_name_that_was_meant(written: str, meant: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"'{written}'; did you mean {meant}\?$"):
        PeerConsensus(**{written: 0.1})  # type: ignore[arg-type]


def test_an_argument_like_no_other_is_told_the_rules_that_there_are() -> None:
    with pytest.raises(ConfigurationError, match="'xyz'; its rules are gamma, warmup_rounds, "):
        PeerConsensus(xyz=1)  # type: ignore[call-arg]


def test_fedavgs_arguments_are_those_of_this_flower() -> None:
    assert list(FedAvgOptions.__annotations__) == list(inspect.signature(FedAvg).parameters)


def test_the_configuration_states_every_rule_with_its_default() -> None:
    register_resolvers()
    with initialize_config_module("bcfl.conf", version_base="1.3"):
        strategy = compose("config", ["strategy=peer_consensus", "run_dir=somewhere"]).strategy
    stated = {name: strategy[name] for name in RuleOptions.__annotations__ if name in strategy}
    assert DEFAULTS.items() - stated.items() == {
        ("inner", ""),
        ("integer_arrays", "keep"),  # no model of `bcfl run` has any
        ("reference", ""),  # drawn from the train part, where the rule has one
        ("shared", ("*",)),  # no client of `bcfl run` has arrays of its own
        ("update", "delta"),  # and all have models of floats, which whole updates cannot average
    }
    assert stated.items() <= DEFAULTS.items()


def test_the_flower_app_states_the_same_defaults() -> None:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    config = project["tool"]["flwr"]["app"]["config"]
    stated = {name: config[name] for name in RuleOptions.__annotations__ if name in config}
    assert "gamma" in stated
    assert stated.items() <= DEFAULTS.items()
