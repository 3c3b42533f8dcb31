"""The row of verifiers that a task's panels are drawn from.

The reference of the row in ``contracts/market_verifiers.vy``, which says why it is one: a place
is never used twice, who enters gets the next one, who goes leaves a hole, and holes are removed
by moving whoever stands first to the end. So nobody can change a draw once it is armed, but by
taking itself out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from bcfl.market.spec.draw import draw

_TIDIED = 2  # holes taken out when one enters or goes


class Pool:
    """Who may be drawn for one task; verifiers are named by their addresses."""

    def __init__(self) -> None:
        self.first = self.next = 1  #: the places in use are [first, next)
        self.busy: Counter[str] = Counter()  #: by verifier: panels that wait for its report
        self._places: dict[int, str] = {}  # who got, or gets, each; a hole has none
        self._positions: dict[str, int] = {}

    def __contains__(self, verifier: str) -> bool:
        return verifier in self._positions

    @property
    def entered(self) -> int:
        """How many are in it."""
        return len(self._positions)

    @property
    def length(self) -> int:
        """How many places are in use, holes included."""
        return self.next - self.first

    def enter(self, verifier: str) -> None:
        """Come in, behind everybody."""
        self._append(verifier)
        self._tidy()

    def remove(self, verifier: str) -> None:
        """Go, leaving a hole."""
        del self._places[self._positions.pop(verifier)]
        self._tidy()

    def draw(
        self, seed: bytes, first: int, length: int, vacant: int, unwanted: Collection[str]
    ) -> list[str]:
        """Who is drawn for the vacant seats.

        Parameters
        ----------
        seed : bytes
            See ``draw_seed``.
        first, length : int
            Where the row began when the draw was armed, and how many places it had.
        vacant : int
            How many seats are to be filled.
        unwanted : collection of str
            The contributor, and whoever sits on the panel already.
        """
        standing = (self._places.get(first + place) for place in range(length))
        row = [who if who in self._positions and who not in unwanted else None for who in standing]
        return draw(seed, row, vacant)

    def _append(self, verifier: str) -> None:
        self._places[self.next] = verifier
        self._positions[verifier] = self.next
        self.next += 1

    def _tidy(self) -> None:
        for _ in range(_TIDIED):
            if self.length == self.entered:
                return
            if (verifier := self._places.get(self.first)) is not None:
                self._append(verifier)
            self.first += 1
