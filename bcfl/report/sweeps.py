"""A sweep: the mean over seeds of every point, as curves, and over two knobs as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.models import ColorBar, HoverTool, LinearColorMapper
from bokeh.palettes import Category10, Cividis256
from numpy.typing import NDArray

from bcfl.report.figures import GREY, new_figure
from bcfl.report.sources import Run, Sweep


@dataclass(frozen=True, slots=True)
class Point:
    """The runs that differ in their seed alone."""

    values: dict[str, str]  #: of the knobs that were swept over
    curves: NDArray[np.float64]  #: accuracy, (runs, rounds); NaN where a run was not so far
    runs: int
    loss: float | None
    gas: int
    errors: tuple[str, ...]

    @property
    def accuracy(self) -> float | None:
        """Mean over the runs, after the last round of each."""
        return float(np.mean(self._last)) if self._last else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the same."""
        return float(np.std(self._last)) if self._last else None

    @property
    def _last(self) -> list[float]:
        known = (row[np.isfinite(row)] for row in self.curves)
        return [float(row[-1]) for row in known if row.size]


@dataclass(frozen=True, slots=True)
class Table:
    """All points of a sweep."""

    swept: list[str]  #: the knobs that differ, without the seed
    points: list[Point]
    runs: int

    @property
    def seeds(self) -> str:
        """How many runs a point has, in words."""
        most = max(point.runs for point in self.points)
        return "one seed" if most == 1 else f"{most} seeds"


def summarise(sweep: Sweep) -> Table:
    """Put runs together that differ in their seed alone."""
    said = {name: _overrides(run) for name, run in sweep.runs.items()}
    knobs = dict.fromkeys(knob for each in said.values() for knob in each)
    values = {knob: {each.get(knob, "") for each in said.values()} for knob in knobs}
    swept = [knob for knob in knobs if knob != "seed" and len(values[knob]) > 1]
    groups: dict[tuple[str, ...], list[Run]] = {}
    for name, run in sweep.runs.items():
        groups.setdefault(tuple(said[name].get(knob, "") for knob in swept), []).append(run)
    points = [_point(dict(zip(swept, key, strict=True)), runs) for key, runs in groups.items()]
    return Table(swept, points, len(sweep.runs))


def draw(table: Table) -> dict[str, Any]:
    """``curves``, and ``heat`` where two knobs were swept over."""
    figures: dict[str, Any] = {"curves": _curves(table.points)}
    if len(table.swept) == 2:
        figures["heat"] = _heat(table.points, *table.swept)
    return figures


def _curves(points: Sequence[Point]) -> Any:
    shown = new_figure("Accuracy by round", name="curves", height=360)
    for index, point in enumerate(points):
        colour = Category10[10][index % 10]
        words = ", ".join(f"{knob}={value}" for knob, value in point.values.items()) or "all"
        rounds = np.arange(1, point.curves.shape[1] + 1)
        some = np.isfinite(point.curves).any(0)
        if not some.any():
            continue
        mean = np.nanmean(point.curves[:, some], 0)
        deviation = np.nanstd(point.curves[:, some], 0)
        shown.line(rounds[some], mean, color=colour, line_width=2, legend_label=words)
        shown.scatter(rounds[some], mean, color=colour, size=6, legend_label=words)
        if point.runs > 1:
            low, high = mean - deviation, mean + deviation
            shown.varea(rounds[some], low, high, color=colour, alpha=0.2)
    if shown.legend:
        shown.legend.background_fill_alpha = 0
        shown.legend.label_text_color = GREY
        shown.legend.click_policy = "hide"
        shown.add_layout(shown.legend[0], "right")
    return shown


def _heat(points: Sequence[Point], across: str, down: str) -> Any:
    columns = list(dict.fromkeys(point.values[across] for point in points))
    rows = list(dict.fromkeys(point.values[down] for point in points))
    shown = new_figure(
        "Accuracy after the last round", name="heat", x_range=columns, y_range=rows,
        height=140 + 40 * len(rows),
    )  # fmt: skip
    known = [point for point in points if point.accuracy is not None]
    accuracies = [point.accuracy or 0.0 for point in known]
    mapper = LinearColorMapper(
        palette=Cividis256, low=min(accuracies, default=0), high=max(accuracies, default=1)
    )
    data = {
        "across": [point.values[across] for point in known],
        "down": [point.values[down] for point in known],
        "accuracy": accuracies,
        "text": [f"{point.accuracy:.3f} ± {point.deviation:.3f}" for point in known],
    }
    shown.rect(
        "across", "down", width=1, height=1, source=data, line_color=None,
        fill_color={"field": "accuracy", "transform": mapper},
    )  # fmt: skip
    shown.text(
        "across", "down", text="text", source=data, text_align="center", text_baseline="middle",
        text_color="white", text_outline_color="#000a", text_font_size="13px",
    )  # fmt: skip
    shown.xaxis.axis_label, shown.yaxis.axis_label = across, down
    shown.add_tools(HoverTool(tooltips=[(across, "@across"), (down, "@down"), ("", "@text")]))
    shown.add_layout(
        ColorBar(color_mapper=mapper, background_fill_alpha=0, major_label_text_color=GREY), "right"
    )
    return shown


def _point(values: dict[str, str], runs: Sequence[Run]) -> Point:
    length = max((r.round for run in runs for r in run.result.rounds), default=0)
    curves = np.full((len(runs), length), np.nan)
    for row, run in zip(curves, runs, strict=True):
        for round_ in run.result.rounds:
            if round_.accuracy is not None and round_.round:
                row[round_.round - 1] = round_.accuracy
    losses = [run.result.rounds[-1].loss for run in runs if run.result.rounds]
    known = [loss for loss in losses if loss is not None]
    gas = [sum(sum(r.gas.values()) for r in run.result.rounds) / max(length, 1) for run in runs]
    return Point(
        values,
        curves,
        len(runs),
        float(np.mean(known)) if known else None,
        round(float(np.mean(gas))),
        tuple(run.result.error for run in runs if run.result.error),
    )


def _overrides(run: Run) -> dict[str, str]:
    pairs = (override.partition("=") for override in run.result.overrides)
    return {name: value for name, _, value in pairs}
