"""``bcfl run``: Hydra composes the configuration and sweeps; errors are one line.

Exit status: 0 done, 1 the run failed, 2 the configuration was wrong, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

# Both are read when their libraries are imported. A run tells nobody about itself.
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from bcfl.core.errors import BcflError, ConfigurationError, DatasetUnavailable
from bcfl.experiment.configuration import check_run, register_resolvers
from bcfl.experiment.mistakes import explain
from bcfl.experiment.sweep import Sweep

__all__ = ["run_with_hydra"]

FAILED, MISTAKEN, INTERRUPTED = 1, 2, 130


class _Jobs:
    """What Hydra calls for each job, and what became of them."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.sweep: Sweep | None = None

    def run_job(self, config: DictConfig) -> None:
        """Run one job. Its error is kept, for Hydra would print it in its own way."""
        job = HydraConfig.get()
        choices = {name: job.runtime.choices[name] for name in ("strategy", "dataset", "attack")}
        choices["overrides"] = list(job.overrides.task)
        if job.mode == RunMode.MULTIRUN:
            self.sweep = self.sweep or Sweep(Path(job.sweep.dir))
            self.sweep.announce(Path(config.run_dir), choices["overrides"])
        try:
            check_run(config)
            # torch, Flower, Ray: seconds, which whoever asks for help or mistypes is spared
            from bcfl.experiment.run import run_experiment  # noqa: PLC0415

            run_experiment(config, Path(config.run_dir), choices)
        except Exception as error:
            if self.sweep is None and not isinstance(error, BcflError):
                raise
            self.errors.append(error)
            if self.sweep is not None:
                complain(error)  # now, beside the job that it belongs to
                self.sweep.fail(Path(config.run_dir), explain(error))
        if self.sweep is not None:
            self.sweep.write()

    def conclude(self) -> int:
        """Print what is left to say; return the exit status, that of the first error if any."""
        if self.sweep is not None:
            self.sweep.show()
        elif self.errors:
            complain(self.errors[0])
        return exit_status(self.errors[0]) if self.errors else 0


def run_with_hydra(arguments: Sequence[str]) -> int:
    """Run, or sweep, as the arguments say; print what went wrong; return the exit status."""
    register_resolvers()
    jobs = _Jobs()
    # Without it Hydra prints exceptions itself, in many lines, and exits.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = ["bcfl run", *arguments]
    main = hydra.main(version_base="1.3", config_path="pkg://bcfl.conf", config_name="config")
    try:
        main(jobs.run_job)()
    except (HydraException, OmegaConfBaseException) as error:
        complain(error)
        return MISTAKEN
    except KeyboardInterrupt:
        _interrupt()
    return jobs.conclude()


def exit_status(error: Exception) -> int:
    """2 where whoever started the run can put it right, 1 where the run failed."""
    return MISTAKEN if isinstance(error, (ConfigurationError, DatasetUnavailable)) else FAILED


def complain(error: Exception) -> None:
    """Print one line to standard error."""
    print(f"bcfl: {explain(error)}", file=sys.stderr, flush=True)


def _interrupt() -> NoReturn:
    """Leave at once: Flower's server thread would go on waiting for replies, an hour at most."""
    print("bcfl: interrupted; the rounds that are over are on disk", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(INTERRUPTED)
