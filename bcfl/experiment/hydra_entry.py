"""``bcfl run``: Hydra composes the configuration and sweeps; errors are one line."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

# Both are read when their libraries are imported. A run tells nobody about itself.
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from bcfl.core.errors import BcflError, ConfigurationError
from bcfl.experiment.configuration import check_run, register_resolvers
from bcfl.experiment.knobs import print_help
from bcfl.experiment.mistakes import MISTAKEN, complain, exit_status, explain, interrupt
from bcfl.experiment.sweep import Sweep
from bcfl.experiment.terminal import make_console

#: What ends in one line; anything else is a fault of ours, and is shown whole.
_EXPECTED = BcflError, OSError, ModuleNotFoundError
#: What is done with a job's configuration, its folder, and what names it for a reader.
Play: TypeAlias = Callable[[DictConfig, Path, dict[str, Any]], None]


class _Jobs:
    """What Hydra calls for each job, and what became of them."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self.errors: list[Exception] = []
        self.folder: Path | None = None  #: of the newest job
        self.sweep: Sweep | None = None
        self.count = 0  #: of a sweep's jobs; 0 where another sweeper than Hydra's own decides

    def run_job(self, config: DictConfig) -> None:
        """Run one job. Its error is kept, for Hydra would print it in its own way."""
        job = HydraConfig.get()
        choices = {name: job.runtime.choices[name] for name in ("strategy", "dataset", "attack")}
        choices["overrides"] = list(job.overrides.task)
        if job.mode == RunMode.MULTIRUN:
            self.sweep = self.sweep or Sweep(Path(job.sweep.dir), self.count)
            self.sweep.announce(Path(config.run_dir), choices["overrides"])
        self.folder = Path(config.run_dir)
        try:
            self._play(config, self.folder, choices)
        except Exception as error:
            if self.sweep is None and not isinstance(error, _EXPECTED):
                raise
            self.errors.append(error)
            if self.sweep is not None:
                complain(error)  # now, beside the job that it belongs to
                self.sweep.fail(self.folder, explain(error))
        if self.sweep is not None:
            self.sweep.write()

    def conclude(self) -> int:
        """Print what is left to say; return the exit status, that of the first error if any."""
        if self.sweep is not None:
            self.sweep.show()
        elif self.errors:
            complain(self.errors[0])
        return exit_status(self.errors[0]) if self.errors else 0


def _play_anew(config: DictConfig, folder: Path, choices: dict[str, Any]) -> None:
    check_run(config)
    # torch, Flower, Ray: seconds, which whoever asks for help or mistypes is spared
    from bcfl.experiment.run import run_experiment  # noqa: PLC0415

    run_experiment(config, folder, choices)


def run_with_hydra(arguments: Sequence[str], play: Play = _play_anew) -> int:
    """Run, or sweep, as the arguments say; print what went wrong; return the exit status."""
    if asked := [word for word in arguments if word in ("--help", "-h")]:
        return _help([word for word in arguments if word not in asked])
    register_resolvers()
    jobs = _Jobs(play)
    # Without it Hydra prints exceptions itself, in many lines, and exits.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = ["bcfl run", *arguments]
    main = hydra.main(version_base="1.3", config_path="pkg://bcfl.conf", config_name="config")
    try:
        jobs.count = _count(arguments)
        main(jobs.run_job)()
    except (HydraException, OmegaConfBaseException, OSError) as error:
        complain(error)
        return MISTAKEN
    except KeyboardInterrupt:
        interrupt(jobs.sweep.path if jobs.sweep else jobs.folder)
    return jobs.conclude()


def _count(arguments: Sequence[str]) -> int:
    """How many jobs Hydra makes of these arguments; 0 where that is not for Hydra to say."""
    words = [word for word in arguments if "=" in word and not word.startswith("-")]
    if any(word.startswith("hydra/sweeper") for word in words):
        return 0
    overrides = OverridesParser.create().parse_overrides(words)
    swept = (each for each in overrides if each.is_discrete_sweep())
    return math.prod(len(list(each.sweep_string_iterator())) for each in swept)


def _help(groups: Sequence[str]) -> int:
    try:
        # of several, and of strategy=krum, the group that comes first
        print_help(make_console(), next(iter(groups), "").partition("=")[0])
    except ConfigurationError as error:
        complain(error)
        return MISTAKEN
    return 0
