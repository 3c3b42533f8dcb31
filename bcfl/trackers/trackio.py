"""Trackio: a local database, which ``trackio show`` shows."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bcfl.trackers.tracker import Tracker


class TrackioTracker(Tracker):
    """Writes to Trackio's database, in ``TRACKIO_DIR`` or where Trackio puts it by itself.

    Parameters
    ----------
    project : str
    name, values
        As ``Tracker``'s.
    """

    def __init__(
        self, project: str = "bcfl", name: str = "", values: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(name, values)
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read on import
        import trackio  # noqa: PLC0415 - an extra

        self._trackio, self._project = trackio, project

    def _begin(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()):  # how to show it: the guide says so
            self._run = self._trackio.init(
                project=self._project,
                name=self.name,
                config=self.values,
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def _log(
        self, round_: int, numbers: Mapping[str, float], image: NDArray[np.uint8] | None
    ) -> None:
        pictures = {} if image is None else {"ballots": self._trackio.Image(image)}
        self._run.log({**numbers, **pictures}, step=round_)

    def _close(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self._trackio.finish()
