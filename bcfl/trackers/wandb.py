"""Weights & Biases: a run on disk, which ``wandb sync FOLDER/wandb/offline-run-…`` uploads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bcfl.trackers.tracker import Tracker


class WandbTracker(Tracker):
    """Writes a run of Weights & Biases; nothing leaves this machine unless ``WANDB_MODE=online``.

    Parameters
    ----------
    folder : path
        Its ``wandb`` folder is where the run is written.
    project : str
    name, values
        As ``Tracker``'s.
    """

    def __init__(
        self,
        folder: Path | str = ".",
        project: str = "bcfl",
        name: str = "",
        values: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(name, values)
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb  # noqa: PLC0415 - an extra

        self._wandb = wandb
        self._folder, self._project = Path(folder).absolute(), project

    def _begin(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        quiet = self._wandb.Settings(
            console="off", silent=True, x_disable_stats=True, disable_git=True, save_code=False
        )
        self._run = self._wandb.init(
            project=self._project,
            name=self.name,
            id=hashlib.sha256(f"{self._folder} {self.name}".encode()).hexdigest()[:16],
            resume="allow",
            dir=str(self._folder),
            mode=None if "WANDB_MODE" in os.environ else "offline",
            config=self.values,
            settings=quiet,
        )

    def _log(
        self, round_: int, numbers: Mapping[str, float], image: NDArray[np.uint8] | None
    ) -> None:
        pictures = {} if image is None else {"ballots": self._wandb.Image(image)}
        self._run.log({**numbers, **pictures}, step=round_)

    def _close(self) -> None:
        self._run.finish()
