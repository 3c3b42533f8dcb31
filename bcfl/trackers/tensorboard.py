"""TensorBoard: an event file, which ``tensorboard --logdir FOLDER`` shows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bcfl.trackers.picture import as_png
from bcfl.trackers.tracker import Tracker


class TensorboardTracker(Tracker):
    """Writes TensorBoard's event files; no TensorFlow, no PyTorch.

    Parameters
    ----------
    folder : path
        Where they go; made where it is not there yet.
    name, values
        As ``Tracker``'s; TensorBoard calls a run by its folder.
    """

    def __init__(
        self, folder: Path | str, name: str = "", values: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(name, values)
        from tensorboard.compat.proto.event_pb2 import Event  # noqa: PLC0415 - an extra
        from tensorboard.compat.proto.summary_pb2 import Summary  # noqa: PLC0415
        from tensorboard.summary.writer.event_file_writer import (  # noqa: PLC0415
            EventFileWriter,
        )

        self._folder = Path(folder)
        self._event, self._summary, self._open = Event, Summary, EventFileWriter

    def _begin(self) -> None:
        self._writer = self._open(str(self._folder))

    def _log(
        self, round_: int, numbers: Mapping[str, float], image: NDArray[np.uint8] | None
    ) -> None:
        value = self._summary.Value
        told = [value(tag=name, simple_value=number) for name, number in numbers.items()]
        if image is not None:
            height, width, channels = image.shape
            picture = self._summary.Image(
                height=height,
                width=width,
                colorspace=channels,
                encoded_image_string=as_png(image),
            )
            told.append(value(tag="ballots", image=picture))
        summary = self._summary(value=told)
        self._writer.add_event(self._event(wall_time=time.time(), step=round_, summary=summary))
        self._writer.flush()

    def _close(self) -> None:
        self._writer.close()
