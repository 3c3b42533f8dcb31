"""MLflow: a run in a tracking server or a database, which ``mlflow ui`` shows."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bcfl.trackers.tracker import Tracker, flat

_MOST_PARAMETERS: Final = 100  # of one request
_LONGEST: Final = 500


class MlflowTracker(Tracker):
    """Writes to MLflow, by its client.

    Parameters
    ----------
    url : str, optional
        A tracking server, ``http://…``, or a database, ``sqlite:///FILE``. Left out: what MLflow
        takes, ``MLFLOW_TRACKING_URI``, else ``mlflow.db`` where the process runs.
    project : str
        MLflow's experiment.
    name, values
        As ``Tracker``'s.
    """

    def __init__(
        self,
        url: str | None = None,
        project: str = "bcfl",
        name: str = "",
        values: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(name, values)
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read on import
        from mlflow import MlflowClient, entities  # noqa: PLC0415 - an extra

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # that it makes tables: in our own
        self._entities, self._connect = entities, MlflowClient
        self._url, self._project = url, project

    def _begin(self) -> None:
        self._client = self._connect(tracking_uri=self._url)
        known = self._client.get_experiment_by_name(self._project)
        experiment = known.experiment_id if known else self._client.create_experiment(self._project)
        named = self._entities.RunTag("mlflow.runName", self.name)
        same = [
            run
            for run in self._client.search_runs([experiment])
            if run.data.tags.get(named.key) == self.name
        ]
        run = same[0] if same else self._client.create_run(experiment, run_name=self.name)
        self._run: str = run.info.run_id
        self._client.update_run(self._run, status="RUNNING")
        if not same:
            parameters = [
                self._entities.Param(key, str(value)[:_LONGEST]) for key, value in flat(self.values)
            ]
            for first in range(0, len(parameters), _MOST_PARAMETERS):
                some = parameters[first : first + _MOST_PARAMETERS]
                self._client.log_batch(self._run, params=some)

    def _log(
        self, round_: int, numbers: Mapping[str, float], image: NDArray[np.uint8] | None
    ) -> None:
        now = int(time.time() * 1000)
        metrics = [self._entities.Metric(key, value, now, round_) for key, value in numbers.items()]
        self._client.log_batch(self._run, metrics=metrics)
        if image is not None:
            self._client.log_image(self._run, image, key="ballots", step=round_)

    def _close(self) -> None:
        self._client.set_terminated(self._run)
