"""``bcfl resume FOLDER``: go on with a run, or a sweep, that was cut off.

With the configuration that it had; a sweep also begins the runs that it had not come to.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bcfl.core.errors import BcflError, ConfigurationError
from bcfl.experiment.configuration import check_run, register_resolvers
from bcfl.experiment.hydra_entry import run_with_hydra
from bcfl.experiment.mistakes import complain, exit_status, interrupt
from bcfl.experiment.run_folder import RunFolder
from bcfl.experiment.trust import expect_harmless, expect_plain_files

_SWEEP = "multirun.yaml"  # Hydra's: what the sweep was told


def resume_run(folder: Path, allowed: Collection[str] = (), at_once: int = 1) -> int:
    """Go on where the chain says the run is; return the exit status, as ``bcfl run`` does.

    Nothing that the folder names is called, read or written but what ``bcfl.experiment.trust``
    lets pass, and what ``allowed`` says. Of a sweep's runs ``at_once`` go on at a time.
    """
    register_resolvers()
    try:
        expect_plain_files(folder)
        if (folder / _SWEEP).exists():
            told = [*_overrides(folder / _SWEEP), f"hydra.sweep.dir={folder.absolute()}"]
            return run_with_hydra(["-m", *told], partial(_play_job, allowed), at_once)
        _go_on(folder, allowed)
    except (BcflError, OmegaConfBaseException, OSError, ModuleNotFoundError) as error:
        complain(error)
        return exit_status(error)
    except KeyboardInterrupt:
        interrupt(folder)
    return 0


def _go_on(folder: Path, allowed: Collection[str]) -> None:
    """Go on with one run, unless it has finished."""
    run_folder = RunFolder(folder)
    config, choices = run_folder.read_config(allowed)
    check_run(config)
    if _finished(run_folder, config):
        print(f"{folder} has finished: there is nothing to go on with, and nothing was changed")
        return
    from bcfl.experiment.run import run_experiment  # noqa: PLC0415 - torch, Flower: seconds

    run_experiment(config, folder, choices, resume=True)


def _play_job(
    allowed: Collection[str], config: DictConfig, folder: Path, choices: dict[str, Any]
) -> None:
    """One job of a sweep: begun before, or not yet."""
    if (folder / "config.yaml").exists():
        _go_on(folder, allowed)
        return
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    expect_harmless(values, folder, allowed)
    check_run(config)
    from bcfl.experiment.run import run_experiment  # noqa: PLC0415 - torch, Flower: seconds

    run_experiment(config, folder, choices)


def _finished(folder: RunFolder, config: DictConfig) -> bool:
    """Whether its result is that of its last round."""
    try:
        result = folder.read_result() or {"error": "none yet"}
        if result["error"] or result.get("asked", config.rounds) != config.rounds:
            return False
        return bool(result["final"]["round"] >= result.get("planned", config.rounds))
    except (ValueError, KeyError, TypeError, AttributeError):
        return False  # whatever it is, a result is written anew


def _overrides(path: Path) -> list[str]:
    """What a sweep was told, as words of the command line, if they are values of knobs alone."""
    try:
        told = yaml.safe_load(path.read_text("utf-8"))["hydra"]["overrides"]["task"]
        words = [str(word) for word in told]
    except (yaml.YAMLError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigurationError(f"{path}: not what a sweep leaves: {reason}") from error
    for word in words:
        if "hydra" in word.partition("=")[0] or "${" in word:
            raise ConfigurationError(
                f"{path}: expected values of knobs; found {word!r}, which was not looked up"
            )
    return words
