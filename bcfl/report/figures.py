"""Bokeh figures of one run. Colours that are read on white and on black alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from bokeh.models import (
    BasicTicker,
    ColorBar,
    ColumnDataSource,
    HoverTool,
    LinearColorMapper,
    NumeralTickFormatter,
)
from bokeh.palettes import Category10, Cividis256
from bokeh.plotting import figure

from bcfl.report.matrices import Ratings, places
from bcfl.report.sources import Round

GREY: Final = "#7d828a"  # 3.9:1 on white, 4.5:1 on the dark page
_BLUE, _ORANGE, _GREEN, _RED = Category10[10][:4]
_HEIGHT: Final = 260
#: More cells than this have no number in them.
_MOST_NUMBERS: Final = 12


def new_figure(title: str, **options: Any) -> figure:
    """An empty figure, as wide as the page lets it be."""
    options = {"height": _HEIGHT, "sizing_mode": "stretch_width"} | options
    shown: figure = figure(
        title=title,
        tools="pan,xwheel_zoom,box_zoom,reset,save",
        active_drag=None,
        active_scroll=None,
        background_fill_alpha=0,
        border_fill_alpha=0,
        outline_line_color=None,
        **options,
    )
    shown.toolbar.logo = None
    shown.toolbar.autohide = True
    shown.title.text_color = GREY
    for axis in shown.axis:
        axis.axis_line_color = axis.major_tick_line_color = axis.axis_label_text_color = GREY
        axis.major_label_text_color, axis.minor_tick_line_color = GREY, None
    if not options.keys() & {"x_range"}:
        shown.xaxis.ticker = BasicTicker(min_interval=1)  # rounds, or members
    shown.grid.grid_line_alpha = 0.25
    return shown


def curve(rounds: Sequence[Round], name: str) -> figure:
    """Accuracy, or loss, after each round, on the central test part."""
    measured = [(r.round, value) for r in rounds if (value := getattr(r, name)) is not None]
    source = ColumnDataSource({"round": [r for r, _ in measured], name: [v for _, v in measured]})
    shown = new_figure(f"{name.capitalize()} of the global model, by round", name=name)
    shown.line("round", name, source=source, color=_BLUE, line_width=2)
    shown.scatter("round", name, source=source, color=_BLUE, size=6)
    shown.add_tools(HoverTool(tooltips=[("round", "@round"), (name, f"@{name}{{0.0000}}")]))
    if name == "accuracy":
        shown.yaxis.formatter = NumeralTickFormatter(format="0 %")
    return shown


def stacked(rounds: Sequence[Round], name: str, unit: str) -> figure | None:
    """Gas, or seconds, of each round by phase; None where there are none."""
    per_round: list[Mapping[str, float]] = [getattr(r, name) for r in rounds]
    phases = list(dict.fromkeys(phase for entry in per_round for phase in entry))
    if not phases:
        return None
    data: dict[str, Iterable[Any]] = {
        phase: [e.get(phase, 0) for e in per_round] for phase in phases
    }
    numbers = [r.chain_round or r.round for r in rounds]
    source = ColumnDataSource({**data, "round": numbers})
    shown = new_figure(f"{name.capitalize()} by phase ({unit})", name=name)
    colours = [Category10[10][index % 10] for index in range(len(phases))]
    shown.vbar_stack(
        phases, x="round", width=0.8, color=colours, source=source, legend_label=phases
    )
    shown.add_tools(HoverTool(tooltips=[("round", "@round"), ("$name", "@$name{0,0.[00]}")]))
    shown.yaxis.formatter = NumeralTickFormatter(format="0,0.[0]")
    outside_legend(shown)
    return shown


def bytes_sent(rounds: Sequence[Round]) -> figure:
    """What clients sent and were sent, and what whole models would have taken."""
    shown = new_figure("Bytes by round", name="bytes")
    numbers = [r.chain_round or r.round for r in rounds]
    for name, words, colour, dash in (
        ("bytes_up", "sent by clients", _BLUE, "solid"),
        ("bytes_up_dense", "as whole models", _BLUE, "dotted"),
        ("bytes_down", "sent to clients", _ORANGE, "solid"),
        ("bytes_down_dense", "the global model alone", _ORANGE, "dotted"),
    ):
        values = [getattr(r, name) for r in rounds]
        shown.line(numbers, values, color=colour, line_dash=dash, line_width=2, legend_label=words)
    shown.yaxis.formatter = NumeralTickFormatter(format="0.[0] d")
    outside_legend(shown)
    return shown


def participation(rounds: Sequence[Round], members: int, malicious: Iterable[int]) -> figure:
    """A row a member, a column a round: absent, committed, won, or void."""
    height = min(640, max(_HEIGHT, 120 + 12 * members))
    shown = new_figure("Who took part, and who won", name="participation", height=height)
    palette = ["#8884", "#9ecae1", "#2ca02c", "#fdae6b"]
    mapper = LinearColorMapper(palette=palette, low=0, high=3)
    shown.image(
        [places(rounds, members)], x=0.5, y=-0.5, dw=len(rounds), dh=members, color_mapper=mapper
    )
    shown.xaxis.axis_label, shown.yaxis.axis_label = "round of the chain", "member"
    shown.yaxis.ticker = BasicTicker(min_interval=1)
    _mark(shown, malicious, members)
    return shown


def matrix(ratings: Ratings, members: int, malicious: Iterable[int]) -> figure:
    """The ratings of the first round; those of all rounds are the tags of its data source.

    The page's slider puts others into the sources ``shown``, ``marks``, ``winners``, ``numbers``,
    and the round's range into ``colours``.
    """
    title = f"{ratings.name.capitalize()} of each delta (column), by each reviewer (row)"
    side = min(720, 180 + 44 * members)
    size = {"width": side + 120, "height": side, "sizing_mode": "fixed"}
    drawn = new_figure(title, name="matrix", **size)
    mapper = LinearColorMapper(
        palette=Cividis256 if ratings.name == "rating" else Cividis256[::-1],
        low=ratings.low,
        high=ratings.high,
        nan_color="#8883",
        name="colours",
    )
    place = {"x": [-0.5], "y": [-0.5], "dw": [members], "dh": [members]}
    shown = ColumnDataSource({"image": [ratings.values[0]], **place}, name="shown")
    image = drawn.image("image", x="x", y="y", dw="dw", dh="dh", source=shown, color_mapper=mapper)
    marks = ColumnDataSource({"x": [], "y": [], "why": []}, name="marks")
    crosses = drawn.scatter(
        "x", "y", source=marks, marker="x", size=max(4, 120 // members), color=_RED, line_width=2
    )
    winners = ColumnDataSource({"x": [], "y": []}, name="winners")
    drawn.scatter(
        "x", "y", source=winners, marker="star", size=max(6, 160 // members), color=_GREEN
    )
    if members <= _MOST_NUMBERS:
        colours = ("white", "black") if ratings.name == "rating" else ("black", "white")
        columns: dict[str, list[Any]] = {"x": [], "y": [], "text": [], "colour": []}
        numbers = ColumnDataSource(columns, name="numbers", tags=[*colours])
        drawn.text(
            "x", "y", text="text", source=numbers, text_align="center", text_baseline="middle",
            text_font_size="12px", text_color="colour",
        )  # fmt: skip
    who = [("reviewer", "$y{0}"), ("author", "$x{0}")]
    drawn.add_tools(
        HoverTool(tooltips=[*who, (ratings.name, "@image{0.0000}")], renderers=[image]),
        HoverTool(tooltips=[*who, ("not rated", "@why")], renderers=[crosses]),
    )
    bar = ColorBar(color_mapper=mapper, background_fill_alpha=0, major_label_text_color=GREY)
    drawn.add_layout(bar, "right")
    drawn.xaxis.axis_label, drawn.yaxis.axis_label = "author", "reviewer"
    drawn.yaxis.ticker = BasicTicker(min_interval=1)
    drawn.grid.visible = False
    _mark(drawn, malicious, members)
    shown.tags = list(ratings.values)
    return drawn


def _mark(shown: figure, malicious: Iterable[int], members: int) -> None:
    """A red bar beside each row of an attacker."""
    rows = [member for member in malicious if member < members]
    if rows:
        shown.scatter(
            np.full(len(rows), -0.9 if shown.name == "matrix" else 0.3), rows, marker="triangle",
            angle=-np.pi / 2, size=9, color=_RED,
        )  # fmt: skip


def outside_legend(shown: figure) -> None:
    """Put the legend beside the figure."""
    shown.legend.background_fill_alpha = 0
    shown.legend.label_text_color = GREY
    shown.legend.border_line_color = None
    shown.add_layout(shown.legend[0], "right")
