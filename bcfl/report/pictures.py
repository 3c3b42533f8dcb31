"""The same as PNG and SVG, for a paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bcfl.report.matrices import read_ratings
from bcfl.report.sources import Run, Sweep

if TYPE_CHECKING:
    from bcfl.report.sales import Sales


def write_pictures(found: Run | Sweep, folder: Path) -> list[Path]:
    """Write every picture twice, ``NAME.png`` and ``NAME.svg``; where they are.

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed.
    OSError
        They cannot be written.
    """
    import matplotlib as mpl  # noqa: PLC0415 - an extra
    from matplotlib.figure import Figure  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    drawn = _of_run(found, Figure) if isinstance(found, Run) else _of_sweep(found, Figure)
    with mpl.rc_context({"svg.hashsalt": "bcfl", "font.size": 9, "axes.spines.top": False}):
        for name, figure in drawn:
            for kind in ("png", "svg"):
                path = folder / f"{name}.{kind}"
                metadata = {"Date": None} if kind == "svg" else None
                figure.savefig(path, dpi=200, metadata=metadata)
                written.append(path)
    return written


def _of_run(run: Run, make: Any) -> Iterator[tuple[str, Any]]:
    rounds = run.result.rounds
    for name in ("accuracy", "loss"):
        measured = [(r.round, v) for r in rounds if (v := getattr(r, name)) is not None]
        if not measured:
            continue  # of a market's role, or of nobody's evaluation
        figure, axes = _by_number(make)
        axes.plot([r for r, _ in measured], [v for _, v in measured], marker=".")
        axes.set(xlabel="round", ylabel=f"test {name}")
        yield name, figure
    phases = dict.fromkeys(phase for r in rounds for phase in r.gas)
    if phases:
        figure, axes = _by_number(make)
        base = np.zeros(len(rounds))
        numbers = [r.chain_round or r.round for r in rounds]
        for phase in phases:
            values = np.array([r.gas.get(phase, 0) for r in rounds], float)
            axes.bar(numbers, values, bottom=base, label=phase)
            base += values
        axes.set(xlabel="round", ylabel="gas")
        figure.legend(loc="outside right upper", frameon=False)
        yield "gas", figure
    voting = [r for r in rounds if r.ballots]
    if voting:
        ratings = read_ratings(voting[-1:], run.members)
        figure = make(figsize=(4, 3.4), layout="constrained")
        axes = figure.subplots()
        colours = "cividis" if ratings.name == "rating" else "cividis_r"  # as on the page
        limits = {"vmin": ratings.low, "vmax": ratings.high}
        image = axes.imshow(ratings.values[0], cmap=colours, origin="lower", **limits)
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_major_locator().set_params(integer=True)
        axes.set(xlabel="author", ylabel="reviewer", title=f"round {voting[-1].round}")
        figure.colorbar(image, label=ratings.name)
        yield "matrix", figure

    from bcfl.report.sales import read_sales  # noqa: PLC0415 - Bokeh, an extra

    if (sales := read_sales(run)) is not None and sales.statement.panels:
        yield "money", _money(sales, make)
        yield "panels", _panels(sales, make)


def _by_number(make: Any, size: tuple[float, float] = (4, 2.6)) -> tuple[Any, Any]:
    """A figure and its axes, over whole numbers: rounds, or submissions."""
    figure = make(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.xaxis.get_major_locator().set_params(integer=True)
    return figure, axes


def _money(sales: Sales, make: Any) -> Any:
    """What each submission cost, and what for."""
    from bcfl.report.sales import MONEY_COLOURS, money_of  # noqa: PLC0415

    figure, axes = _by_number(make)
    panels = sales.statement.panels
    numbers, base = [panel.number for panel in panels], np.zeros(len(panels))
    for name, ether in money_of(sales.statement).items():
        axes.bar(numbers, ether, bottom=base, label=name, color=MONEY_COLOURS[name])
        base += ether
    axes.set(xlabel="submission", ylabel="paid (ether)")
    figure.legend(loc="outside upper right", frameon=False, ncols=3)
    return figure


def _panels(sales: Sales, make: Any) -> Any:
    """What each panel reported, the rate to exceed (MAFR), and the fused model that came of it."""
    from bcfl.report.sales import fused_of, reports_of  # noqa: PLC0415

    told, reports = sales.statement, reports_of(sales.statement)
    figure, axes = _by_number(make)
    axes.plot([x for x, _, _ in reports], [y for _, y, _ in reports], "o", ms=4, label="reported")
    if points := fused_of(sales):
        axes.plot(*zip(*points, strict=True), "s-", ms=4, label="fused model")
    if (least := told.least_fitness) is not None:
        axes.axhline(least, color="grey", ls="--", lw=1, label="MAFR")
    axes.set(xlabel="submission", ylabel="fitness", ylim=(-0.02, 1.02))
    figure.legend(loc="outside upper center", frameon=False, ncols=3)
    return figure


def _of_sweep(sweep: Sweep, make: Any) -> Iterator[tuple[str, Any]]:
    from bcfl.report.sweeps import summarise  # noqa: PLC0415 - Bokeh, an extra

    figure, axes = _by_number(make, (6, 3.4))
    for point in summarise(sweep).points:
        some = np.flatnonzero(np.isfinite(point.curves).any(0))
        rounds = some + 1
        mean, deviation = np.nanmean(point.curves[:, some], 0), np.nanstd(point.curves[:, some], 0)
        words = ", ".join(f"{knob}={value}" for knob, value in point.values.items()) or "all"
        axes.plot(rounds, mean, label=words)
        axes.fill_between(rounds, mean - deviation, mean + deviation, alpha=0.2)
    axes.set(xlabel="round", ylabel="test accuracy")
    figure.legend(loc="outside lower center", frameon=False, ncols=2)
    yield "accuracy", figure
