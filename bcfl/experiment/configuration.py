"""From Hydra's configuration to checked values and built objects.

Whatever is wrong with it comes out as one ConfigurationError that names the knob.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import MISSING, dataclass, fields
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bcfl.consensus.spec.domain import MAX_MEMBERS
from bcfl.core.errors import BcflError, ConfigurationError, expect

__all__ = ["RunSettings", "build", "construct", "read_settings", "register_resolvers"]

_ETHER_WEI = 10**18
_Settings = TypeVar("_Settings")
_Built = TypeVar("_Built")


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The knobs of a run that belong to no group. See ``conf/config.yaml``.

    Those of peer consensus are checked for their types here, and for their ranges by
    ``bcfl.consensus.spec.rules.Rules``.
    """

    clients: int
    rounds: int
    seed: int
    gamma: float
    kappa: float
    metric: str | None
    clip: str
    combine: str
    server_learning_rate: float
    ballots: str
    transactions: str
    membership: str
    stake_wei: int
    quorum: int
    commit_window_s: int
    ballot_window_s: int
    max_attempts: int
    log_level: str

    def __post_init__(self) -> None:
        expect(2 <= self.clients <= MAX_MEMBERS, "clients", f"2 to {MAX_MEMBERS}", self.clients)
        expect(self.rounds >= 1, "rounds", "at least 1", self.rounds)
        expect(0 <= self.seed < 2**63, "seed", "0 to 2^63 − 1", self.seed)
        expect(
            self.quorum <= self.clients, "quorum", f"at most clients={self.clients}", self.quorum
        )
        levels = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
        expect(self.log_level in levels, "log_level", f"one of {levels}", self.log_level)


def register_resolvers() -> None:
    """Teach OmegaConf what ``conf/strategy/`` computes from other knobs."""

    def malicious(fraction: float, clients: int) -> int:
        return int(fraction * clients + 0.5)

    def honest(fraction: float, clients: int) -> int:
        return clients - malicious(fraction, clients)

    def allowance(transactions: str, stake_wei: int) -> int:
        needs_ether = transactions == "direct" or stake_wei > 0
        return stake_wei + _ETHER_WEI if needs_ether else 0

    def without(group: DictConfig, name: str) -> DictConfig:
        return OmegaConf.create({key: group[key] for key in group if key != name})

    OmegaConf.register_new_resolver("allowance", allowance, replace=True)
    OmegaConf.register_new_resolver("without", without, replace=True)
    OmegaConf.register_new_resolver("malicious", malicious, replace=True)
    OmegaConf.register_new_resolver("honest", honest, replace=True)


def read_settings(kind: type[_Settings], config: DictConfig, group: str, **known: Any) -> _Settings:
    """Make a settings dataclass from one group of the configuration.

    Parameters
    ----------
    kind : type
        A dataclass; its fields are looked up by name, and checked for their types.
    config : DictConfig
        The group.
    group : str
        Its name, for messages; empty at the top level.
    **known
        Fields that do not come from the configuration.

    Raises
    ------
    ConfigurationError
        A value is missing, or is not of its field's type, or out of its range.
    """
    hints = get_type_hints(kind)
    values = dict(known)
    for field in fields(kind):  # type: ignore[arg-type]
        name = f"{group}.{field.name}" if group else field.name
        if field.name in known or (field.name not in config and field.default is not MISSING):
            continue
        expect(field.name in config, name, "a value", "none")
        values[field.name] = _typed(hints[field.name], _resolved(config, field.name), name)
    return kind(**values)


def build(config: DictConfig, group: str, **arguments: Any) -> Any:
    """Call what the group's ``_target_`` names with the group's values.

    Raises
    ------
    BcflError
        Whatever of ours the target raised.
    ConfigurationError
        The target refused a value, or does not know it.
    """
    try:
        # A copy: Hydra resolves in place what other groups refer to.
        return hydra.utils.instantiate(deepcopy(config)[group], **arguments)
    except InstantiationException as error:
        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, BcflError):
                raise cause from error
        raise ConfigurationError(f"{group}: {_in_one_line(str(causes[-1]))}") from error
    except OmegaConfBaseException as error:
        raise ConfigurationError(f"{group}: {_first_line(error)}") from error


def construct(make: Callable[..., _Built], group: str, **arguments: Any) -> _Built:
    """Call what :func:`build` gave for a partial group; raises as that does."""
    try:
        return make(**arguments)
    except (TypeError, ValueError) as error:  # how other people's classes refuse a value
        raise ConfigurationError(f"{group}: {_in_one_line(str(error))}") from error


def _resolved(config: DictConfig, name: str) -> Any:
    try:
        return config[name]
    except OmegaConfBaseException as error:
        raise ConfigurationError(f"{name}: {_first_line(error)}") from error


def _typed(hint: Any, value: Any, name: str) -> Any:
    """``value`` as a ``hint``; an integer does for a float, and nothing else for anything else."""
    if get_origin(hint) in (UnionType, Union):
        if value is None and NoneType in get_args(hint):
            return None
        hint = next(option for option in get_args(hint) if option is not NoneType)
    if get_origin(hint) is tuple:
        expect(isinstance(value, ListConfig), name, "a list", value)
        return tuple(_typed(get_args(hint)[0], item, name) for item in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    right = isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    expect(right, name, f"a value of type {hint.__name__}", repr(value))
    return value


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _first_line(error: OmegaConfBaseException) -> str:
    """What OmegaConf says; the lines after it are about its own data structures."""
    return str(error).partition("\n")[0]


def _in_one_line(text: str) -> str:
    return " ".join(text.split())
