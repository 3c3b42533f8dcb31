"""Trackers, by what each library finds on disk afterwards."""

from __future__ import annotations

import io
import os
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ArrayRecord, MetricRecord
from omegaconf import OmegaConf
from PIL import Image

from bcfl.consensus.spec.record import RoundRecord
from bcfl.core.errors import StorageFailed
from bcfl.experiment.run import _tracker
from bcfl.experiment.trust import shipped_options
from bcfl.extras import how_to_get
from bcfl.report.sources import Round
from bcfl.trackers import MlflowTracker, TensorboardTracker, Tracker, TrackioTracker, WandbTracker
from bcfl.trackers.picture import ballots_image
from bcfl.trackers.tracker import round_numbers

LIBRARIES = {  # what each imports first
    "tensorboard": "tensorboard.compat.proto.event_pb2",
    "mlflow": "mlflow",
    "wandb": "wandb",
    "trackio": "trackio",
}


def rating(value: float) -> int:
    return 2**31 + round(value * 2**16)


def record(round_: int) -> RoundRecord:
    losses = {0: rating(-0.5), 1: rating(-1.0), 2: rating(-2.0)}
    return RoundRecord(
        round=round_,
        chain_round=round_ + 1,
        void=False,
        base="",
        model="",
        expected=(0, 1, 2, 3),
        committed=(0, 1, 2),
        voted=(0, 1, 2),
        winners=(0, 2),
        ballots={i: {j: v for j, v in losses.items() if j != i} for i in range(3)},
        rejected={0: {1: "late"}, 2: {1: "late"}},
        gas={"open": 1000, "close": 234},
        seconds={"train": 1.5, "ballot": 0.5},
        bytes_up=10,
    )


def play(tracker: Tracker) -> None:
    """Two rounds of somebody's own app."""

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        return MetricRecord({"accuracy": 0.25 * server_round, "loss": 2.0 - server_round})

    with tracker:
        measure = tracker.evaluating(evaluate)
        measure(0, ArrayRecord())
        for round_ in (1, 2):
            tracker(record(round_))
            assert measure(round_, ArrayRecord()) == evaluate(round_, ArrayRecord())


def test_a_round_is_told_in_numbers() -> None:
    entry = record(3).to_json() | {"accuracy": 0.5, "loss": 1.25}
    told = round_numbers(Round.model_validate(entry))
    assert told == {
        "accuracy": 0.5, "loss": 1.25, "expected": 4, "committed": 3, "voted": 3, "winners": 2,
        "rejected": 1, "void": 1, "gas": 1234, "gas_by_phase/open": 1000, "gas_by_phase/close": 234,
        "seconds": 2.0, "seconds_by_phase/train": 1.5, "seconds_by_phase/ballot": 0.5,
        "bytes_up": 10, "bytes_up_dense": 0, "bytes_down": 0, "bytes_down_dense": 0,
    }  # fmt: skip
    plain = {"round": 1, "accuracy": 0.5, "seconds": {}}
    assert round_numbers(Round.model_validate(plain)) == {"accuracy": 0.5}


def test_the_picture_has_a_square_a_rating_and_green_above_the_winners() -> None:
    image = ballots_image(Round.model_validate(record(1).to_json()))
    assert image is not None
    cell = image.shape[1] // 4
    assert image.shape == (5 * cell, 4 * cell, 3)
    squares = image[cell // 2 :: cell, cell // 2 :: cell].astype(int)
    won, lost = squares[0, 0], squares[0, 1]
    assert won.tolist() == squares[0, 2].tolist() == [46, 160, 67]
    assert lost.tolist() == squares[0, 3].tolist() == [255, 255, 255]
    assert squares[1, 0].tolist() == squares[4, 1].tolist() == [150, 150, 150]  # nobody rated
    assert squares[2, 0].sum() > squares[1, 1].sum() > squares[1, 2].sum()  # a small loss is light
    assert ballots_image(Round(round=1)) is None


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    play(TensorboardTracker(tmp_path))
    found = accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in found.Scalars("accuracy")] == [(0, 0), (1, 0.25), (2, 0.5)]
    assert [(e.step, e.value) for e in found.Scalars("gas")] == [(1, 1234), (2, 1234)]
    assert [e.value for e in found.Scalars("winners")] == [2, 2]
    assert [e.value for e in found.Scalars("seconds_by_phase/train")] == [1.5, 1.5]
    assert [e.step for e in found.Images("ballots")] == [1, 2]
    picture = Image.open(io.BytesIO(found.Images("ballots")[0].encoded_image_string))
    drawn = ballots_image(Round.model_validate(record(1).to_json()))
    assert drawn is not None
    np.testing.assert_array_equal(np.asarray(picture), drawn)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageFailed, match="TensorboardTracker could not write the run mine"):
        TensorboardTracker(tmp_path / "file", "mine")(record(1))


def test_a_run_brings_its_name_and_its_knobs_and_older_ones_none(tmp_path: Path) -> None:
    named = {"_target_": "bcfl.trackers.TensorboardTracker", "folder": str(tmp_path)}
    config = OmegaConf.create({"gamma": 0.1, "api_token": "x", "tracker": named})
    found = _tracker(config, Path("outputs/3"))
    assert isinstance(found, TensorboardTracker)
    assert found.name == "outputs/3"
    assert found.values == {"gamma": 0.1, "api_token": "***", "tracker": named}
    assert _tracker(OmegaConf.create({"tracker": {}}), tmp_path) is None
    assert _tracker(OmegaConf.create({}), tmp_path) is None


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_that_is_not_there_is_named_with_what_brings_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, LIBRARIES[name], None)
    [option] = [o for *_, o in shipped_options() if name in o.get("_target_", "").lower()]
    config = OmegaConf.create({"run_dir": str(tmp_path), "tracker": option})
    with pytest.raises(ModuleNotFoundError) as raised:
        _tracker(config, tmp_path)
    assert how_to_get(raised.value) == (
        f"{name} is not installed, and this needs it: pip install 'bcfl[{name}]'"
    )


def test_trackio_has_it_in_its_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))  # read on import
    pytest.importorskip("trackio")
    play(TrackioTracker(name="mine", values={"gamma": 0.1}))
    with sqlite3.connect(tmp_path / "bcfl.db") as database:
        rows = database.execute("SELECT step, metrics FROM metrics ORDER BY id").fetchall()
    database.close()
    assert {step for step, _ in rows} == {0, 1, 2}
    told = " ".join(str(metrics) for _, metrics in rows)
    assert '"gas": 1234' in told or '"gas":1234' in told
    assert '"accuracy": 0.5' in told or '"accuracy":0.5' in told
    assert len(list(tmp_path.rglob("*.png"))) == 2


@pytest.mark.parametrize(
    "url",
    [
        "file://{}/runs",
        pytest.param(
            "sqlite:///{}/mlflow.db",
            marks=pytest.mark.skipif(
                not os.environ.get("BCFL_FUZZ"), reason="makes its tables for 3 s: BCFL_FUZZ=1"
            ),
        ),
    ],
)
def test_mlflow_has_it_in_its_store(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    url = url.format(tmp_path)
    for _ in range(2):  # the second goes on with the first
        play(MlflowTracker(url, name="mine", values={"strategy": {"gamma": 0.1}}))
    client = mlflow.MlflowClient(tracking_uri=url)
    [run] = client.search_runs([client.get_experiment_by_name("bcfl").experiment_id])
    assert run.data.params == {"strategy.gamma": "0.1"}
    assert (run.data.metrics["accuracy"], run.data.metrics["gas"]) == (0.5, 1234)
    assert run.info.status == "FINISHED"
    assert [x for x in client.list_artifacts(run.info.run_id, "images") if "png" in x.path]


def test_wandb_leaves_a_run_to_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    play(WandbTracker(tmp_path, name="mine", values={"gamma": 0.1}))
    wandb.teardown()  # its process, which writes; it would end with this one
    [path] = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    log = path.read_bytes()  # of protobufs; wandb has nothing in Python any more that reads it
    assert log.count(b"gas_by_phase/open") >= 2
    assert log.count(b"1234") >= 2
    assert b"accuracy" in log
    assert len(list(tmp_path.rglob("*.png"))) == 2
