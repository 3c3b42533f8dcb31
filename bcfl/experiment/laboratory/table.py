"""What came out of a laboratory: every cell, a table of the rules, a heat map."""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bcfl.files import write_atomically

_ORACLE = "oracle"
#: Told apart: it attacks what some rules are given, and others are not.
_AT_THE_REFERENCE = "poisoned_reference"


@dataclass(frozen=True, slots=True)
class Point:
    """The runs that differ in their seed alone."""

    mean: float  #: accuracy
    error: float  #: its standard error; NaN of one run
    backdoor: float | None
    runs: int
    stopped: int  #: how many of them ended before their last round
    by_seed: Mapping[int, float]  #: accuracy


#: By rule, partition, attack and ballots.
Points = Mapping[tuple[str, str, str, str], Point]


def summarise(lines: Iterable[Mapping[str, Any]]) -> Points:
    """Put the runs together that differ in their seed alone."""
    groups: dict[tuple[str, str, str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        cell = line["cell"]
        groups[cell["rule"], cell["partition"], cell["attack"], cell["ballots"]].append(line)
    return {key: _point(runs) for key, runs in groups.items()}


def _point(runs: Sequence[Mapping[str, Any]]) -> Point:
    found = np.array([run["accuracy"] for run in runs])
    error = float(found.std(ddof=1)) / math.sqrt(len(found)) if len(found) > 1 else math.nan
    doors = [run["backdoor"] for run in runs if run["backdoor"] is not None]
    return Point(
        mean=float(found.mean()),
        error=error,
        backdoor=float(np.mean(doors)) if doors else None,
        runs=len(runs),
        stopped=sum(bool(run.get("error")) for run in runs),
        by_seed={run["cell"]["seed"]: run["accuracy"] for run in runs},
    )


def rows(points: Points) -> list[dict[str, str]]:
    """One row a rule and split: accuracy in percent, the worst cell, the gap to the oracle.

    The gap is to the oracle's runs with the same seeds.
    ``backdoor`` is the highest rate of all cells at which marked images become class 0;
    ``stopped``, how many runs ended before their last round, at the accuracy that counts here.
    """
    found = []
    for rule, partition in dict.fromkeys((key[0], key[1]) for key in points):
        own = {key[2:]: p for key, p in points.items() if key[:2] == (rule, partition)}
        apart = {"none", _AT_THE_REFERENCE}
        attacked = {key: p for key, p in own.items() if key[0] not in apart} or own
        worst, point = min(attacked.items(), key=lambda item: item[1].mean)
        best = [p.by_seed for key, p in points.items() if key[:2] == (_ORACLE, partition)]
        clean = own.get(("none", "honest"))
        spoilt = [p.mean for key, p in own.items() if key[0] == _AT_THE_REFERENCE]
        doors = [p.backdoor for p in own.values() if p.backdoor is not None]
        mean = float(np.mean([p.mean for p in attacked.values()]))
        found.append(
            {
                "split": partition,
                "rule": rule,
                "no attack": _percent(clean.mean if clean else None),
                "mean of the attacks": _percent(mean),
                "worst cell": f"{_percent(point.mean)} ± {_percent(point.error)}",
                "gap to the oracle": _percent(_gap(point.by_seed, best[0])) if best else "–",
                "which": "" if rule == _ORACLE else " / ".join(worst),
                "poisoned reference": _percent(min(spoilt, default=None)),
                "backdoor": _percent(max(doors)) if doors else "–",
                "cells": str(len(attacked)),
                "stopped": str(sum(p.stopped for p in own.values())),
            }
        )
    return found


def _gap(found: Mapping[int, float], best: Mapping[int, float]) -> float:
    """The mean difference, over the seeds that both were played with; NaN of none."""
    gaps = [found[seed] - best[seed] for seed in found.keys() & best.keys()]
    return float(np.mean(gaps)) if gaps else math.nan


def write_tables(lines: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write ``cells.csv``, ``table.md`` and ``heat.png`` and ``heat.svg`` to ``folder``."""
    points = summarise(lines)
    text = io.StringIO()
    writer = csv.writer(text)
    names = ["rule", "partition", "attack", "ballots", "accuracy", "error", "backdoor", "runs"]
    writer.writerow([*names, "stopped"])
    for key, p in sorted(points.items()):
        writer.writerow([*key, f"{p.mean:.4f}", f"{p.error:.4f}", p.backdoor, p.runs, p.stopped])
    write_atomically(folder / "cells.csv", text.getvalue().encode())
    write_atomically(folder / "table.md", markdown(rows(points)).encode())
    _draw(points, folder)


def markdown(table: Sequence[Mapping[str, str]]) -> str:
    """The rows as a table of Markdown."""
    names = list(table[0]) if table else []
    lines = [names, ["---"] * len(names), *(list(row.values()) for row in table)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _draw(points: Points, folder: Path) -> None:
    """A heat map a split: attacks down, rules across, the worst of all ballots in a field.

    With its standard error, where several seeds were played.
    """
    import matplotlib as mpl  # noqa: PLC0415 - an extra
    from matplotlib.figure import Figure  # noqa: PLC0415

    partitions = list(dict.fromkeys(key[1] for key in points))
    rules = [r for r in dict.fromkeys(key[0] for key in points) if r != _ORACLE]
    attacks = list(dict.fromkeys(key[2] for key in points if key[0] != _ORACLE))
    if not rules:
        return
    size = (1 + 0.62 * len(rules) * len(partitions) + 1.6, 1.4 + 0.24 * len(attacks))
    with mpl.rc_context({"svg.hashsalt": "bcfl", "font.size": 7}):
        figure = Figure(figsize=size, layout="constrained")
        for axes, partition in zip(
            np.ravel(figure.subplots(1, len(partitions), sharey=True)), partitions, strict=True
        ):
            worst = np.full((len(attacks), len(rules)), np.nan)
            errors = worst.copy()
            for (rule, split, attack, _), point in points.items():
                if split == partition and rule in rules:
                    at = attacks.index(attack), rules.index(rule)
                    if not 100 * point.mean >= worst[at]:
                        worst[at], errors[at] = 100 * point.mean, 100 * point.error
            image = axes.imshow(worst, vmin=0, vmax=100, cmap="cividis", aspect="auto")
            for (row, column), value in np.ndenumerate(worst):
                if np.isfinite(value):
                    error = errors[row, column]
                    text = f"{value:.0f}" + (f"±{error:.1f}" if np.isfinite(error) else "")
                    colour = "white" if value < 55 else "black"
                    axes.text(column, row, text, ha="center", va="center", color=colour)
            axes.set_xticks(range(len(rules)), rules, rotation=60, ha="right")
            axes.set_yticks(range(len(attacks)), attacks)
            axes.set_title(partition)
        figure.colorbar(image, label="test accuracy, worst of the ballots (%)")
        for kind in ("png", "svg"):
            metadata = {"Date": None} if kind == "svg" else None
            figure.savefig(folder / f"heat.{kind}", dpi=200, metadata=metadata)


def _percent(share: float | None) -> str:
    return "–" if share is None or math.isnan(share) else f"{100 * share:.1f}"
