"""Which of an app's metrics is the value of S3, and which way it points.

PROTOCOL, System A, S3 **[reading]**: the validation loss, turned so that larger is better;
accuracy, or any metric by name, can be chosen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bcfl.core.errors import MetricError

_SMALLER_IS_BETTER = ("loss", "error", "err", "perplexity", "mse", "rmse", "mae", "nll")
_LARGER_IS_BETTER = ("accuracy", "acc", "f1", "auc", "auroc", "precision", "recall", "iou", "r2")
_SAYS_ACCURACY = ("accuracy", "acc")
_WORD = re.compile(r"[A-Z]?[a-z]+\d*|[A-Z]+\d*(?![a-z])")


def choose_quality(
    metrics: Mapping[str, float | int | Sequence[float | int]], wanted: str | None
) -> tuple[str, float]:
    """The metric's name and its value, turned so that larger is better.

    Parameters
    ----------
    metrics : mapping
        What the app's evaluate reported; lists are passed over.
    wanted : str or None
        A metric's whole name, or a part of it (``"accuracy"`` finds ``eval_acc``). A leading
        ``-`` says that smaller is better, ``+`` that larger is; without either, the name must
        say so itself, see :func:`says_direction`. None takes one whose name says loss, else
        one whose name says accuracy. A whole name goes before those that it is a part of.

    Raises
    ------
    MetricError
        Nothing fits, or several do, the message lists the names found; or which way the
        metric points is not known.
    """
    scalars = {name: float(v) for name, v in metrics.items() if isinstance(v, (int, float))}
    if wanted is None:
        names = _saying(scalars, ("loss",)) or _saying(scalars, _SAYS_ACCURACY)
        asked = "one whose name says loss or accuracy"
    else:
        bare = wanted.removeprefix("-").removeprefix("+")
        parts = _SAYS_ACCURACY if bare.lower() in _SAYS_ACCURACY else (bare.lower(),)
        names = [bare] if bare in scalars else _saying(scalars, parts)
        asked = repr(bare)
    if len(names) != 1:
        lists = (
            f" (lists are none: {sorted(others)})" if (others := {*metrics} - {*scalars}) else ""
        )
        raise MetricError(
            f"expected the app's evaluate to report exactly one metric for {asked}; "
            f"found {sorted(scalars) or 'none'}{lists}. Set metric= to one of the names"
        )
    name = names[0]
    sign = _sign(wanted or "", name)
    if sign is None:
        raise MetricError(f"{name!r} does not say whether smaller is better: {how_to_say(name)}")
    return name, sign * scalars[name]


def says_direction(name: str) -> bool:
    """Whether a metric's name, or its sign, says which way the metric points.

    A word of the name does: loss, error, mse, accuracy, f1, auc, … ``neg_`` before it, as
    scikit-learn's scorers have it, turns it round.
    """
    return _sign(name, name) is not None


def how_to_say(name: str) -> str:
    """What to write where a name does not say it."""
    return f'write metric="-{name}" if smaller is better, metric="+{name}" if larger is'


def _sign(wanted: str, name: str) -> int | None:
    """1 where larger is better, −1 where smaller is; None where that is not known."""
    if wanted.startswith(("-", "+")):
        return -1 if wanted.startswith("-") else 1
    for said in (name, wanted):  # the name found says more than the part that was asked for
        smaller = any(_says(said, word) for word in _SMALLER_IS_BETTER)
        larger = any(_says(said, word) for word in _LARGER_IS_BETTER)
        if smaller != larger:
            return 1 if larger or said.lower().startswith("neg_") else -1
    return None


def _saying(scalars: Mapping[str, float], words: Sequence[str]) -> list[str]:
    """The names that are one of ``words``; if there are none, those that say one."""
    if exact := [name for name in scalars if name.lower() in words]:
        return exact
    known = {*_SMALLER_IS_BETTER, *_LARGER_IS_BETTER}
    return [
        name
        for name in scalars
        if any(_says(name, word) if word in known else word in name.lower() for word in words)
    ]


def _says(name: str, word: str) -> bool:
    """``eval_acc``, ``valAcc``, ``acc5`` say acc, ``logloss`` says loss; not ``acceleration``."""
    found = [each.lower() for each in _WORD.findall(name)]
    if word in ("loss", "error", "accuracy"):
        return any(each.rstrip("0123456789").endswith(word) for each in found)
    return any(word in (each, each.rstrip("0123456789")) for each in found)
