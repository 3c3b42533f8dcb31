"""``bcfl run``: Hydra composes the configuration and sweeps; errors are one line."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any, Final, NoReturn

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
from bcfl.experiment.job import Failure, Play, become_quiet, failures_of
from bcfl.experiment.knobs import print_help
from bcfl.experiment.mistakes import MISTAKEN, complain, interrupt
from bcfl.experiment.sweep import Sweep
from bcfl.experiment.terminal import make_console

#: What ends in one line; anything else is a fault of ours, and is shown whole.
_EXPECTED = BcflError, OSError, ModuleNotFoundError

#: Hydra's own; before a word that is no knob stands one of them.
_OPTION: Final = re.compile(
    "--(cfg|config-(dir|name|path)|experimental-rerun|hydra-help|info|multirun|package|resolve|run"
    "|shell-completion|version)|-(c|cd|cn|cp|i|p|sc)"
)


class _Jobs:
    """What Hydra calls for each job, and what became of them."""

    def __init__(self, play: Play, at_once: int = 1) -> None:
        self._play, self._at_once = play, at_once
        self._pool: ProcessPoolExecutor | None = None
        self._abandoned = False
        self.failures: list[Failure] = []
        self.folder: Path | None = None  #: of the newest job
        self.sweep: Sweep | None = None
        self.count = 0  #: of a sweep's jobs; 0 where another sweeper than Hydra's own decides

    def run_job(self, config: DictConfig) -> None:
        """Run one job. Its error is kept, for Hydra would print it in its own way."""
        job = HydraConfig.get()
        choices = {name: job.runtime.choices[name] for name in ("strategy", "dataset", "attack")}
        choices["overrides"] = list(job.overrides.task)
        folder = self.folder = Path(config.run_dir)
        config.run_dir = str(folder)  # which Hydra knows in this process alone
        asked = self._play, config, folder, choices
        if job.mode != RunMode.MULTIRUN:
            self.failures += failures_of(*asked, expected=_EXPECTED)
            return
        self.sweep = self.sweep or Sweep(Path(job.sweep.dir), self.count)
        title = self.sweep.add(folder, choices["overrides"])
        if self._at_once == 1:
            self.sweep.say(title)
            self._ended(folder, failures_of(*asked))
            return
        self._pool = self._pool or ProcessPoolExecutor(
            self._at_once, get_context("spawn"), initializer=become_quiet
        )
        running = self._pool.submit(failures_of, *asked)
        running.add_done_callback(partial(self._ended_apart, title, folder))

    def conclude(self) -> int:
        """Wait for what is running, print what is left to say; return the exit status.

        It is that of the first error, if there was any.
        """
        if self._pool is not None:
            self._pool.shutdown()
        if self.sweep is not None:
            self.sweep.show()
        elif self.failures:
            self.failures[0].tell()
        return self.failures[0].status if self.failures else 0

    def abandon(self) -> NoReturn:
        """End what is running, say how to go on, and leave."""
        self._abandoned = True
        for process in active_children():
            process.terminate()
        interrupt(self.sweep.path if self.sweep else self.folder, apart=self._pool is not None)

    def _ended_apart(self, title: str, folder: Path, running: Future[list[Failure]]) -> None:
        assert self.sweep is not None
        if self._abandoned:
            return
        self.sweep.say(f"ended: {title}")
        error = running.exception()  # its process was killed, as where memory is short
        self._ended(folder, [Failure.of(error)] if error else running.result())

    def _ended(self, folder: Path, failures: list[Failure]) -> None:
        assert self.sweep is not None
        for failure in failures:
            failure.tell()  # now, beside the job that it belongs to
            self.sweep.fail(folder, failure.words)
        self.failures += failures
        self.sweep.write()


def _play_anew(config: DictConfig, folder: Path, choices: dict[str, Any]) -> None:
    check_run(config)
    # torch, Flower, Ray: seconds, which whoever asks for help or mistypes is spared
    from bcfl.experiment.run import run_experiment  # noqa: PLC0415

    run_experiment(config, folder, choices)


def run_with_hydra(arguments: Sequence[str], play: Play = _play_anew, at_once: int = 1) -> int:
    """Run, or sweep, as the arguments say; print what went wrong; return the exit status.

    Of a sweep's jobs ``at_once`` run at a time, each in a process of its own.
    """
    if asked := [word for word in arguments if word in ("--help", "-h")]:
        return _help([word for word in arguments if word not in asked])
    if (word := _mistyped(arguments)) is not None:
        complain(ConfigurationError(f"expected NAME=VALUE, as in gamma=0.1; found {word}"))
        return MISTAKEN
    register_resolvers()
    jobs = _Jobs(play, at_once)
    # Without it Hydra prints exceptions itself, in many lines, and exits.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = ["bcfl run", *arguments]
    main = hydra.main(version_base="1.3", config_path="pkg://bcfl.conf", config_name="config")
    try:
        jobs.count = _count(arguments)
        main(jobs.run_job)()
        return jobs.conclude()
    except (HydraException, OmegaConfBaseException, OSError) as error:
        complain(error)
        return MISTAKEN
    except KeyboardInterrupt:
        jobs.abandon()


def _count(arguments: Sequence[str]) -> int:
    """How many jobs Hydra makes of these arguments; 0 where that is not for Hydra to say."""
    words = [word for word in arguments if "=" in word and not word.startswith("-")]
    if any(word.startswith("hydra/sweeper") for word in words):
        return 0
    overrides = OverridesParser.create().parse_overrides(words)
    swept = (each for each in overrides if each.is_discrete_sweep())
    return math.prod(len(list(each.sweep_string_iterator())) for each in swept)


def _mistyped(arguments: Sequence[str]) -> str | None:
    """The first word that is neither a knob and its value nor an option of Hydra's."""
    for before, word in pairwise(("", *arguments)):
        if word.startswith("--"):
            if not _OPTION.fullmatch(word.partition("=")[0]):
                return word
        elif word[:1] not in ("-", "~") and "=" not in word and not _OPTION.fullmatch(before):
            return word
    return None


def _help(groups: Sequence[str]) -> int:
    try:
        # of several, and of strategy=krum, the group that comes first
        print_help(make_console(), next(iter(groups), "").partition("=")[0])
    except ConfigurationError as error:
        complain(error)
        return MISTAKEN
    return 0
