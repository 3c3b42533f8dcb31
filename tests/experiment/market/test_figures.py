"""Figures 5 and 6: the experiment runs end to end, and the summary is the trials' means."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from bcfl.core.errors import ConfigurationError
from bcfl.experiment.datasets.digits import load_digits
from bcfl.experiment.market.figures import draw_fig5, draw_fig6, load_images, main, summarise
from bcfl.experiment.market.reproduction import PARTITIONS, Plan, Trial, run_trial
from bcfl.market.fusion.settings import FusionSettings
from bcfl.market.models.training import ContributorTraining

RECORD = Path(__file__).parents[3] / "notebooks" / "figures" / "figures.json"
MNIST = Path(__file__).parents[4] / "shared" / "data" / "mnist"
QUICK = Plan(
    contributors=2,
    seeds=(0,),
    architectures=("mlp", "cnn"),
    training=ContributorTraining(epochs=2),
    fusion=FusionSettings(steps=20),
)
IMAGES = load_digits(1 / 3)
TRIALS = [
    Trial("iid", 0, [8, 9], [0.9, 0.8], [0.7, 0.6], {"I": [0.70, 0.74], "II": [0.7, 0.8]}, 0.5),
    Trial("iid", 1, [9, 8], [0.7, 0.6], [0.3, 0.5], {"I": [0.60, 0.66], "II": [0.5, 0.6]}, 0.3),
]


def test_the_summary_is_the_mean_over_the_seeds():
    assert summarise(TRIALS) == {
        "iid": {
            "own_validation": [0.8, 0.7],
            "best_alone": 0.6,
            "fusion_part_alone": 0.4,
            "I": {
                "mean": [0.65, 0.7],
                "deviation": [0.05, 0.04],
                "least_step": 0.05,
                "above_best_alone": 0.1,
            },
            "II": {
                "mean": [0.6, 0.7],
                "deviation": [0.1, 0.1],
                "least_step": 0.1,
                "above_best_alone": 0.1,
            },
        }
    }


def test_figure_five_shows_each_contributors_mean():
    axes = draw_fig5(TRIALS, "toy").axes[0]
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([0.8, 0.7])


def test_figure_six_shows_both_strategies_against_the_number_of_models():
    axes = draw_fig6(TRIALS, "toy").axes[0]
    curves = {line.get_label(): line for line in axes.lines}
    assert list(curves["strategy I"].get_xdata()) == [1, 2]
    assert list(curves["strategy I"].get_ydata()) == pytest.approx([0.65, 0.7])
    assert list(curves["strategy II"].get_ydata()) == pytest.approx([0.6, 0.7])
    assert curves["best model by itself"].get_ydata()[0] == pytest.approx(0.6)


@pytest.mark.parametrize("partition", PARTITIONS)
def test_a_trial_repeats_itself_and_depends_on_its_seed(partition):
    one, same = (run_trial(IMAGES, partition, 0, QUICK) for _ in range(2))
    assert one == same
    assert run_trial(IMAGES, partition, 1, QUICK) != one
    assert sum(one.samples) <= len(IMAGES.train_labels)
    assert [len(curve) for curve in one.fused.values()] == [2, 2]


def test_the_strategies_share_everything_but_the_strategy():
    one = run_trial(IMAGES, "iid", 0, QUICK)
    other = run_trial(IMAGES, "iid", 0, replace(QUICK, fusion=replace(QUICK.fusion, strategy="I")))
    assert one == other


def test_an_unknown_partition_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationError, match="iid, dirichlet, shards; found 'even'"):
        run_trial(IMAGES, "even", 0, QUICK)


def test_digits_stand_in_where_there_is_no_mnist(tmp_path):
    name, images = load_images(tmp_path)
    assert name == "scikit-learn digits"
    assert (images.shape, len(images.test_labels)) == ((1, 8, 8), 599)


def test_mnist_is_split_into_8000_and_2000():
    if not MNIST.is_dir():
        pytest.skip(f"MNIST's test images are not in {MNIST}")
    name, images = load_images(MNIST)
    assert name == "MNIST test images"
    assert (len(images.train_labels), len(images.test_labels)) == (8_000, 2_000)


def test_the_command_writes_both_figures_and_their_numbers(tmp_path):
    app = Typer()
    app.command()(main)
    arguments = ["--out", str(tmp_path / "new"), "--mnist", str(tmp_path), "--seeds", "1"]
    arguments += ["--contributors", "2", "--partition", "iid", "--partition", "shards"]
    result = CliRunner().invoke(app, [*arguments, "--architecture", "mlp"])
    assert result.exit_code == 0, result.output
    assert "best alone" in result.output
    for name in ("fig5.png", "fig6.png"):
        picture = (tmp_path / "new" / name).read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert 5_000 < len(picture) < 60_000
    record = json.loads((tmp_path / "new" / "figures.json").read_text())
    assert list(record["summary"]) == ["iid", "shards"]
    assert record["plan"]["architectures"] == ["mlp"]
    assert len(record["trials"]) == 2


def test_the_figures_kept_are_of_todays_settings_and_show_what_they_should():
    record = json.loads(RECORD.read_text())
    assert record["plan"] == json.loads(json.dumps(asdict(Plan())))
    assert record["summary"] == summarise([Trial(**trial) for trial in record["trials"]])
    means = {s: [row[s]["mean"] for row in record["summary"].values()] for s in ("I", "II")}
    overall = {s: [sum(at) / 3 for at in zip(*curves, strict=True)] for s, curves in means.items()}
    assert all(curve == sorted(curve) for curve in (*means["II"], *overall.values()))
    assert sum(overall["II"]) > sum(overall["I"])
    assert overall["II"][-1] > overall["I"][-1]
    for partition in ("dirichlet", "shards"):
        for strategy in ("I", "II"):
            assert record["summary"][partition][strategy]["above_best_alone"] > 0.02
