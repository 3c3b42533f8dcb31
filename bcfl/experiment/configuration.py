"""From Hydra's configuration to checked values and built objects.

Whatever is wrong with it comes out as one ConfigurationError that names the knob.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, TypeVar

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import Field, TypeAdapter, ValidationError

from bcfl.consensus.spec.domain import MAX_MEMBERS
from bcfl.consensus.spec.rules import Rules
from bcfl.core.errors import BcflError, ConfigurationError, expect
from bcfl.extras import how_to_get

_ETHER_WEI = 10**18
_Settings = TypeVar("_Settings")


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The knobs of a run that are in no group and not the strategy's. See ``conf/config.yaml``."""

    clients: Annotated[int, Field(ge=2, le=MAX_MEMBERS)]
    rounds: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


def register_resolvers() -> None:
    """Teach OmegaConf what ``conf/strategy/`` computes from other knobs."""

    def malicious(attack: DictConfig, clients: int) -> int:
        nobody = str(attack["_target_"]).endswith(".NoAttack")
        return 0 if nobody else int(attack["fraction"] * clients + 0.5)

    def honest(attack: DictConfig, clients: int) -> int:
        return clients - malicious(attack, clients)

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
        A dataclass, whose annotations say what is valid, as pydantic understands them.
    config : DictConfig
        The group; what is no field of ``kind`` is not looked at.
    group : str
        Its name, for messages; empty at the top level.
    **known
        Fields that do not come from the configuration.

    Raises
    ------
    ConfigurationError
        A value is missing, or is not of its field's type, or out of its range.
    """
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    expect(OmegaConf.is_dict(config), group, "a group of values", repr(config))
    try:
        found = {name: _plain(config[name]) for name in names if name in config}
        # JSON: a list does for a tuple, an integer for a float, and nothing for anything else
        return TypeAdapter(kind).validate_json(json.dumps(found | known), strict=True)
    except OmegaConfBaseException as error:
        raise ConfigurationError(f"{group}: {_first_line(error)}") from error
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in (group, *wrong["loc"]) if part != "")
        expected = wrong["msg"].removeprefix("Input should be ")
        if wrong["type"] == "missing":
            expected, wrong["input"] = "a value", None
        raise ConfigurationError(
            f"{place}: expected {expected}; found {wrong['input']!r}"
        ) from error


def check_run(config: DictConfig) -> None:
    """Check the run's own knobs and the rules of peer consensus, before anything slow.

    Raises
    ------
    ConfigurationError
        As :func:`read_settings`; or a value that is no rule.
    """
    read_settings(RunSettings, config, "")
    names = {field.name for field in fields(Rules) if field.name in config} - {"reference"}
    try:
        rules = {name: config[name] for name in names}
        if rules.get("rule") == "referee":
            rules["reference"] = "0" * 64  # of the samples that are drawn once data are loaded
        Rules(**rules)
    except OmegaConfBaseException as error:
        raise ConfigurationError(_first_line(error)) from error


def build(config: DictConfig, group: str, **arguments: Any) -> Any:
    """Call what the group's ``_target_`` names with the group's values.

    Raises
    ------
    BcflError
        Whatever of ours the target raised.
    ConfigurationError
        The target refused a value, or does not know it.
    """
    read_group(config, group)
    try:
        # A copy: Hydra resolves in place what other groups refer to.
        return hydra.utils.instantiate(deepcopy(config)[group], **arguments)
    except InstantiationException as error:
        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, BcflError):
                raise cause from error
            if isinstance(cause, ModuleNotFoundError) and how_to_get(cause):
                raise cause from error
        raise ConfigurationError(f"{group}: {in_one_line(causes[-1])}") from error
    except OmegaConfBaseException as error:
        raise ConfigurationError(f"{group}: {_first_line(error)}") from error


def read_group(config: DictConfig, name: str) -> DictConfig:
    """One group of the configuration; raises ConfigurationError where it is something else."""
    try:
        found = config.get(name)
    except OmegaConfBaseException as error:
        raise ConfigurationError(f"{name}: {_first_line(error)}") from error
    expect(OmegaConf.is_dict(found), name, "a group of values", repr(found))
    group: DictConfig = found
    return group


def in_one_line(error: BaseException) -> str:
    """What the error says, without line breaks."""
    return " ".join(str(error).split())


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _first_line(error: OmegaConfBaseException) -> str:
    """What OmegaConf says; the lines after it are about its own data structures."""
    return str(error).partition("\n")[0]
