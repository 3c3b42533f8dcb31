"""What users of FedAvg take for granted: its arguments, timeouts, a start() of their own.

What cannot be had is refused here, with what to write instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import wraps
from inspect import signature
from typing import Any, NoReturn, TypedDict

from flwr.app import MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg, FedXgbBagging, FedXgbCyclic, Result, Strategy

from bcfl.consensus.server.inner_strategy import fedavg_within
from bcfl.consensus.spec.rules import (
    LONGEST_WINDOW_S,
    RuleOptions,
    Rules,
    expect_none_of_deltas,
)
from bcfl.core.errors import ConfigurationError

_FLOWERS_TIMEOUT_S = 3600.0  # the default of ``Strategy.start``


class FedAvgOptions(TypedDict, total=False):
    """``FedAvg``'s arguments."""

    fraction_train: float
    fraction_evaluate: float
    min_train_nodes: int
    min_evaluate_nodes: int
    min_available_nodes: int
    weighted_by_key: str
    arrayrecord_key: str
    configrecord_key: str
    train_metrics_aggr_fn: Callable[[list[RecordDict], str], MetricRecord] | None
    evaluate_metrics_aggr_fn: Callable[[list[RecordDict], str], MetricRecord] | None


def sort_out(
    options: Mapping[str, Any], own: Collection[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The rules, and FedAvg's arguments. Raises ConfigurationError for what is neither.

    Parameters
    ----------
    options : mapping
        As they were given.
    own : collection of str
        The strategy's own arguments, which a misspelt one may have meant.
    """
    of_rules, of_fedavg = RuleOptions.__annotations__.keys(), signature(FedAvg).parameters.keys()
    for name in options.keys() - of_rules - of_fedavg:
        close = get_close_matches(name, sorted({*own} | of_rules | of_fedavg), n=1)
        hint = f"did you mean {close[0]}?" if close else f"its rules are {', '.join(of_rules)}"
        raise ConfigurationError(f"PeerConsensus takes no argument {name!r}; {hint}")
    rules = {name: value for name, value in options.items() if name in of_rules}
    if rules.get("update") == "whole":
        expect_none_of_deltas(rules)
    return rules, {name: value for name, value in options.items() if name in of_fedavg}


def rules_within(inner: Strategy | None, given: Mapping[str, Any], rules: Rules | None) -> Rules:
    """The rules as ``given`` one by one, or all, and what follows from the inner strategy.

    Raises
    ------
    ConfigurationError
        They do not fit each other, or it.
    """
    name = type(inner).__name__ if inner else ""
    found = replace(rules or Rules(), **given, inner=name)
    idle = sorted(given.keys() & {"combine", "server_learning_rate"})
    if inner is not None and idle and found.update == "delta":
        raise ConfigurationError(
            f"{', '.join(idle)}: expected nothing beside inner={name}(…), which makes the next "
            f"model by itself; give {name} what it takes, or leave inner out"
        )
    if isinstance(inner, FedXgbCyclic):
        raise ConfigurationError(
            f"{name} asks one node a round, and nobody is there to rate it: leave inner out; "
            'PeerConsensus(update="whole") hands the best reply of a round on to the next'
        )
    if isinstance(inner, FedXgbBagging):
        if found.update != "whole":
            raise ConfigurationError(
                f"{name} aggregates trees, of which there are no deltas: write "
                f'PeerConsensus(update="whole", inner={name}(…))'
            )
        found = replace(found, combine=found.combine or "bagging")
    return found


def expect_fitting(inner: Strategy | None, sampling: Collection[str]) -> None:
    """An inner strategy is one whose methods are called, and the only one that samples.

    Raises
    ------
    ConfigurationError
        It is no strategy; it has a start() of its own, which would not be called; or it is a
        FedAvg, or around one, and ``sampling`` names arguments of a FedAvg beside it.
    """
    if inner is None:
        return
    if not isinstance(inner, Strategy):
        raise ConfigurationError(
            "inner: expected a strategy of Flower's Message API, such as "
            f"flwr.serverapp.strategy.FedAdam(); found {inner!r}"
        )
    name = type(inner).__name__
    if type(inner).start is not Strategy.start:
        raise ConfigurationError(
            f"{name} has a start() of its own, which nobody calls where it is the inner strategy: "
            f"derive {name} from PeerConsensus instead of {type(inner).__mro__[1].__name__}"
        )
    if sampling and fedavg_within(inner) is not None:
        raise ConfigurationError(f"give {sorted(sampling)} to the inner strategy instead")


def agree_on_time(
    rules: Rules, stated: Collection[str], timeout: float | None
) -> tuple[Rules, float]:
    """Rules under which nobody is late who answers in time, and how long to wait for replies.

    Parameters
    ----------
    rules : Rules
    stated : collection of str
        The names of the windows that the user chose; the others follow ``timeout``.
    timeout : float or None
        Seconds, as ``start`` was given them. None: a stated commit window, else Flower's hour.

    Raises
    ------
    ConfigurationError
        A stated window is shorter than ``timeout``: replies after its end would be left out.
    """
    wait = _FLOWERS_TIMEOUT_S if timeout is None else timeout
    if timeout is None and "commit_window_s" in stated:
        wait = min(wait, float(rules.commit_window_s))
    names = ["commit_window_s", "ballot_window_s"]
    if rules.settlement == "optimistic":
        names.append("challenge_window_s")
    for name in names:
        window = getattr(rules, name)
        if name not in stated:
            # while it waits for replies the server answers no challenge
            least = math.ceil(wait) * (2 if name == "challenge_window_s" else 1)
            longest = min(max(window, least), LONGEST_WINDOW_S)
            rules = replace(rules, **{name: longest})
        elif timeout is not None and window < timeout:
            raise ConfigurationError(
                f"start(timeout={timeout:g}) is longer than {name}={window}: the contract takes "
                f"nothing after that; leave {name} out, and it follows the timeout"
            )
    return rules, wait


def within_its_task(start: Callable[..., Result]) -> Callable[..., Result]:
    """A start() that a derived class has of its own, as Flower's advanced example does.

    It may call ours, or loop by itself over ``configure_train`` and ``aggregate_train``: the
    task is begun before it, and ended after it.
    """
    expected = signature(start)

    @wraps(start)
    def begun(self: Any, *args: Any, **kwargs: Any) -> Result:
        bound = expected.bind(self, *args, **kwargs)
        bound.apply_defaults()
        given = {**bound.arguments, **bound.arguments.get("kwargs", {})}
        timeout, evaluate_config = given.get("timeout"), given.get("evaluate_config")
        with self.task_of(given["grid"], given["initial_arrays"], timeout, evaluate_config):
            return start(self, *args, **kwargs)

    return begun


class MessageApiOnly:
    """Says what to write where Flower's older ``ServerAppComponents`` is given our strategy."""

    def initialize_parameters(self, client_manager: object) -> NoReturn:
        """Raise ConfigurationError."""
        name = type(self).__name__
        raise ConfigurationError(
            f"{name} is a strategy of Flower's Message API, and not for ServerAppComponents: write "
            "app = ServerApp(), and under @app.main() def main(grid, context): "
            f"{name}().start(grid, initial_arrays, num_rounds=3)"
        )


def count_from(result: Result, done: int) -> Result:
    """The result of a task that was gone on with: its rounds counted from the task's first."""
    for history in (
        result.train_metrics_clientapp,
        result.evaluate_metrics_clientapp,
        result.evaluate_metrics_serverapp,
    ):
        shifted = {number + done: metrics for number, metrics in history.items()}
        history.clear()
        history.update(shifted)
    return result
