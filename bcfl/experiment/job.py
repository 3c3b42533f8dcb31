"""One job: played here, or in a process of its own beside others; what is wrong comes back."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

from omegaconf import DictConfig

from bcfl.experiment.configuration import register_resolvers
from bcfl.experiment.mistakes import exit_status, explain

#: What is done with a job's configuration, its folder, and what names it for a reader.
Play: TypeAlias = Callable[[DictConfig, Path, dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job came to nothing, or not to its end."""

    words: str
    status: int

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """In one line, with the exit status that it makes."""
        told = error if isinstance(error, Exception) else RuntimeError(str(error))
        return cls(explain(told), exit_status(told))

    def tell(self) -> None:
        """Print it to standard error."""
        print(f"bcfl: {self.words}", file=sys.stderr, flush=True)


def failures_of(
    play: Play,
    config: DictConfig,
    folder: Path,
    choices: dict[str, Any],
    expected: tuple[type[Exception], ...] = (Exception,),
) -> list[Failure]:
    """Play a job; what went wrong, one or none. Raises what is not ``expected``."""
    register_resolvers()  # in a process of its own nobody has yet
    try:
        play(config, folder, choices)
    except expected as error:
        return [Failure.of(error)]
    return []


def become_quiet() -> None:
    """Say nothing on standard output, and leave Ctrl-C to whoever started this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
