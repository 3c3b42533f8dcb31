"""Figures 5 and 6 of the article, drawn from the experiment.

``python -m bcfl.experiment.market.figures --out DIR`` runs it and writes ``fig5.png``, ``fig6.png``
and, with every number in them, ``figures.json``.
PROTOCOL, System B, "Experiment to reproduce"; arXiv 1807.02515, figs. 5 and 6.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import matplotlib as mpl
import numpy as np
import typer
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from rich.console import Console
from rich.table import Table

from bcfl.core.errors import DatasetUnavailable
from bcfl.experiment.datasets.digits import load_digits
from bcfl.experiment.datasets.images import Images
from bcfl.experiment.datasets.mnist_test import load_mnist_test
from bcfl.experiment.market.reproduction import PARTITIONS, Plan, Trial, run_trials

_TITLES = {"iid": "IID", "dirichlet": "Dirichlet, α = 0.5", "shards": "two shards each"}
_INK, _BLUE, _ORANGE, _GREY = "#222222", "#1f6fb4", "#d9730d", "#8a8a8a"
_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GREY,
    "axes.titlesize": 10,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
}


def load_images(folder: Path) -> tuple[str, Images]:
    """MNIST's 10,000 test images, 8,000 to train and 2,000 to verify; else digits.

    Parameters
    ----------
    folder : Path
        With MNIST's two ``t10k-*.gz`` files. Where they are absent, scikit-learn's bundled
        digits stand in, a third of them to verify.

    Returns
    -------
    tuple of str and Images
        The name of the data set, and the data.
    """
    try:
        return "MNIST test images", load_mnist_test(str(folder), 2_000)
    except DatasetUnavailable:
        return "scikit-learn digits", load_digits(1 / 3)


def summarise(trials: Sequence[Trial]) -> dict[str, dict[str, Any]]:
    """Means and deviations over the seeds, by partition; accuracies in [0, 1]."""
    summary: dict[str, dict[str, Any]] = {}
    for partition in dict.fromkeys(trial.partition for trial in trials):
        own = [trial for trial in trials if trial.partition == partition]
        best = [max(trial.alone) for trial in own]
        summary[partition] = {
            "own_validation": _mean([trial.own_validation for trial in own]),
            "best_alone": _mean(best),
            "fusion_part_alone": _mean([trial.without for trial in own]),
        }
        for strategy in own[0].fused:
            curves = np.array([trial.fused[strategy] for trial in own])
            summary[partition][strategy] = {
                "mean": _mean(curves),
                "deviation": curves.std(axis=0).round(4).tolist(),
                "least_step": round(float(np.diff(curves.mean(axis=0)).min(initial=1)), 4),
                "above_best_alone": _mean(curves[:, -1] - np.array(best)),
            }
    return summary


def draw_fig5(trials: Sequence[Trial], dataset: str) -> Figure:
    """Each contributor's accuracy on its own validation data, and on everybody's."""
    figure, panels = _panels(trials, "contributor", dataset)
    for axes, partition in panels:
        own = np.array([t.own_validation for t in trials if t.partition == partition])
        alone = np.array([t.alone for t in trials if t.partition == partition])
        at = np.arange(1, own.shape[1] + 1)
        axes.bar(at, own.mean(0), 0.62, color=_BLUE, alpha=0.85, label="own validation data")
        jitter = np.linspace(-0.16, 0.16, len(own))[:, None]
        axes.scatter(at + jitter, own, 7, _INK, linewidths=0, zorder=3, label="each seed")
        axes.plot(
            at, alone.mean(0), "D", color=_ORANGE, markersize=5, mec="white",
            label="shared verification set",
        )  # fmt: skip
        axes.set_ylim(0, 1.04)
        axes.set_xticks(at)
    figure.axes[0].set_ylabel("accuracy of the model by itself")
    _legend(figure)
    return figure


def draw_fig6(trials: Sequence[Trial], dataset: str) -> Figure:
    """Accuracy of the fused model against the number of models in it, strategies I and II."""
    figure, panels = _panels(trials, "models fused", dataset)
    for axes, partition in panels:
        own = [trial for trial in trials if trial.partition == partition]
        for strategy, colour, marker in (("I", _ORANGE, "s"), ("II", _BLUE, "o")):
            curves = np.array([trial.fused[strategy] for trial in own])
            at, mean, spread = np.arange(1, curves.shape[1] + 1), curves.mean(0), curves.std(0)
            axes.fill_between(at, mean - spread, mean + spread, color=colour, alpha=0.13, lw=0)
            axes.plot(at, mean, marker=marker, color=colour, ms=4, label=f"strategy {strategy}")
        best = float(np.mean([max(trial.alone) for trial in own]))
        if best > axes.get_ylim()[0] - 0.02:
            axes.axhline(best, color=_INK, ls="--", lw=1, label="best model by itself")
        else:  # far below the curves: say it, rather than flatten them
            axes.text(
                0.97, 0.05, f"best model by itself: {best:.1%}", ha="right",
                transform=axes.transAxes, color=_INK,
            )  # fmt: skip
        without = float(np.mean([trial.without for trial in own]))
        axes.axhline(without, color=_GREY, ls=":", lw=1.2, label="trained on the fusion part alone")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.axes[0].set_ylabel("accuracy on the measuring part")
    _legend(figure)
    return figure


def main(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    mnist: Annotated[
        Path, typer.Option(help="Folder with MNIST's t10k-*.gz; digits where it has none.")
    ] = Path("../shared/data/mnist"),
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, from 0.")] = 5,
    contributors: Annotated[int, typer.Option(min=2, help="How many contributors.")] = 5,
    partition: Annotated[
        list[str] | None, typer.Option(help="iid, dirichlet or shards; all of them if not given.")
    ] = None,
    architecture: Annotated[
        list[str] | None, typer.Option(help="Dealt out in turn; several make it heterogeneous.")
    ] = None,
) -> None:
    """Run the experiment and draw figures 5 and 6."""
    plan = Plan(
        contributors=contributors,
        seeds=tuple(range(seeds)),
        partitions=tuple(partition or PARTITIONS),
        architectures=tuple(architecture or ["cnn"]),
    )
    dataset, images = load_images(mnist)
    console = Console()
    trials = []
    with console.status(f"{dataset}: training and fusing"):
        for trial in run_trials(images, plan):
            trials.append(trial)
            last = " ".join(f"{s} {curve[-1]:.4f}" for s, curve in trial.fused.items())
            console.print(f"{trial.partition}, seed {trial.seed}: all fused, {last}")
    summary = summarise(trials)
    out.mkdir(parents=True, exist_ok=True)
    for name, figure in (
        ("fig5.png", draw_fig5(trials, dataset)),
        ("fig6.png", draw_fig6(trials, dataset)),
    ):
        figure.savefig(out / name, dpi=110, metadata={"Software": None})
    record = {
        "dataset": dataset,
        "plan": asdict(plan),
        "summary": summary,
        "trials": [asdict(trial) for trial in trials],
    }
    (out / "figures.json").write_text(json.dumps(record, indent=1) + "\n")
    console.print(_table(summary))
    console.print(f"written: {out / 'fig5.png'}, {out / 'fig6.png'}, {out / 'figures.json'}")


def _panels(
    trials: Sequence[Trial], x_label: str, dataset: str
) -> tuple[Figure, list[tuple[Any, str]]]:
    partitions = list(dict.fromkeys(trial.partition for trial in trials))
    with mpl.rc_context(_STYLE):
        size = (1.2 + 2.6 * len(partitions), 3.1)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(1, len(partitions), squeeze=False)[0]
    seeds = len({trial.seed for trial in trials})
    caption = f"{dataset}, {seeds} seed{'s' if seeds > 1 else ''}"
    figure.suptitle(caption, fontsize=8, color=_GREY, x=0.99, ha="right")
    for axes, partition in zip(grid, partitions, strict=True):
        axes.margins(x=0.06)
        axes.set_title(_TITLES.get(partition, partition))
        axes.set_xlabel(x_label)
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure, list(zip(grid, partitions, strict=True))


def _legend(figure: Figure) -> None:
    pairs = [axes.get_legend_handles_labels() for axes in figure.axes]
    found = {label: handle for pair in pairs for handle, label in zip(*pair, strict=True)}
    labels, handles = list(found), list(found.values())
    figure.legend(
        handles, labels, loc="outside lower left", ncols=min(len(labels), 2 * len(figure.axes)),
        fontsize=8, frameon=False, handlelength=1.6, columnspacing=1.2,
    )  # fmt: skip


def _mean(values: Any) -> Any:
    return np.mean(values, axis=0).round(4).tolist()


def _table(summary: dict[str, dict[str, Any]]) -> Table:
    table = Table("partition", "strategy", "accuracy with 1, 2, … models", "best alone", "gain")
    for partition, row in summary.items():
        for strategy in ("I", "II"):
            curve = row[strategy]
            means = " ".join(f"{mean:.4f}" for mean in curve["mean"])
            gain = f"{100 * curve['above_best_alone']:+.1f} points"
            table.add_row(partition, strategy, means, f"{row['best_alone']:.4f}", gain)
    return table


if __name__ == "__main__":
    typer.run(main)
