"""How often something is asked again: with longer and longer pauses, and within a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 2.0


def tries(
    budget_s: float, sleep: Callable[[float], None], clock: Callable[[], float]
) -> Iterator[float]:
    """One step a try; each is the seconds that have passed since the first.

    There is one try at least, and none begins after ``budget_s``.
    """
    began, pause = clock(), _FIRST_PAUSE_S
    while True:
        yield clock() - began
        if clock() + pause > began + budget_s:
            return
        sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)
