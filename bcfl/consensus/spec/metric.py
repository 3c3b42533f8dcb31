"""Which of an app's metrics is the value of S3, and which way it points.

PROTOCOL, System A, S3 **[reading]**: the validation loss, turned so that larger is better;
accuracy, or any metric by name, can be chosen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bcfl.core.errors import MetricError

__all__ = ["choose_quality"]

_SMALLER_IS_BETTER = ("loss", "error", "perplexity", "mse", "mae", "nll")
_SAYS_ACCURACY = ("accuracy", "acc")
#: ``eval_acc``, ``valAcc``, ``acc@5``; not ``acceleration``.
_ACC = re.compile(r"(?<![A-Za-z])(?i:acc)(?![A-Za-z])|(?<=[a-z])Acc(?![a-z])")


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
        ``-`` says that smaller is better, ``+`` that larger is. Without either, smaller is
        better where the name says loss or error, unless it begins with ``neg_``, as
        scikit-learn's do. None takes one whose name says loss, else one whose name says
        accuracy. A whole name goes before those that it is a part of.

    Raises
    ------
    MetricError
        Nothing fits, or several do; the message lists the names found.
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
        raise MetricError(
            f"expected the app's evaluate to report exactly one metric for {asked}; "
            f"found {sorted(scalars) or 'none'}. Set metric= to one of the names"
        )
    name = names[0]
    return name, -scalars[name] if _smaller_is_better(name, wanted or "") else scalars[name]


def _smaller_is_better(name: str, wanted: str) -> bool:
    if wanted.startswith(("-", "+")):
        return wanted.startswith("-")
    says = any(word in name.lower() for word in _SMALLER_IS_BETTER)
    return says and not name.lower().startswith("neg_")


def _saying(scalars: Mapping[str, float], words: Sequence[str]) -> list[str]:
    """The names that are one of ``words``; if there are none, those that hold one."""
    if exact := [name for name in scalars if name.lower() in words]:
        return exact
    return [name for name in scalars if any(_holds(name, word) for word in words)]


def _holds(name: str, word: str) -> bool:
    return bool(_ACC.search(name)) if word == "acc" else word in name.lower()
