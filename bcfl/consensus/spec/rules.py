"""The rules of a task, validated once, and their digest, which the contract keeps.

Whoever holds the digest can tell whether γ, the clipping or the combination were changed between
two rounds.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Literal, TypeAlias, TypedDict, get_args

from bcfl.consensus.spec.aggregation import Combine
from bcfl.consensus.spec.clipping import Clip
from bcfl.consensus.spec.domain import MAX_MEMBERS
from bcfl.consensus.spec.metric import how_to_say, says_direction
from bcfl.core.errors import ConfigurationError, expect
from bcfl.core.model import Arrays, IntegerArrays, ModelSpec

Ballots: TypeAlias = Literal["open", "sealed"]
_PARTS_PER_MILLION = 1_000_000
_CHOICES = {
    "clip": get_args(Clip),
    "combine": get_args(Combine),
    "integer_arrays": get_args(IntegerArrays),
    "ballots": get_args(Ballots),
}
#: The contract's: for how long commitments, and ballots, are taken at least, and at most.
LEAST_WINDOW_S, LONGEST_WINDOW_S = 30, 2**32
_RANGES = {
    "warmup_rounds": (0, 1_000_000),
    "quorum": (1, MAX_MEMBERS),
    "commit_window_s": (LEAST_WINDOW_S, LONGEST_WINDOW_S),
    "ballot_window_s": (LEAST_WINDOW_S, LONGEST_WINDOW_S),
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What every member agrees to by joining: the one place of the rules' names and defaults.

    Parameters
    ----------
    gamma : float
        γ in (0, 1], share of the parameters that a delta keeps.
    warmup_rounds : int
        So many rounds long the share is larger: 1 in the first, then less by equal steps down to
        γ. While a model is far from good every coordinate counts (Lin et al., Deep Gradient
        Compression, ICLR 2018, section 3.3). 0: γ from the first round on.
    kappa : float
        κ in (0, 1), share of the committed deltas that win, in steps of 1e-6.
    metric : str or None
        The name of the metric in the app's evaluate reply that is the value; None chooses
        one whose name says loss, else one whose name says accuracy. Where a name does not say
        whether smaller is better, a sign does: ``"-mape"``. See ``choose_quality``.
    clip, combine, server_learning_rate
        See ``bcfl.consensus.spec.clipping`` and ``bcfl.consensus.spec.aggregation``; η > 0.
    integer_arrays, shared
        See ``ModelSpec.of``; a single pattern may be a string.
    ballots : {"open", "sealed"}
        Sealed ballots are promised by hash before any is shown.
    quorum : int
        Commitments, and ballots, below which a round is void.
    commit_window_s, ballot_window_s : int
        Seconds, chain time, for which commitments, and ballots, are taken at most; 30 to
        2**32, the contract's own bounds.
    inner : str
        Name of the strategy that aggregates the winners instead of ``combine``; empty for none.

    Raises
    ------
    ConfigurationError
        A value out of range; the message names it.
    """

    gamma: float = 0.1
    warmup_rounds: int = 3
    kappa: float = 0.5
    metric: str | None = None
    clip: Clip = "median_norm"
    combine: Combine = "carriers_mean"
    server_learning_rate: float = 1.0
    integer_arrays: IntegerArrays = "keep"
    shared: tuple[str, ...] = ("*",)
    ballots: Ballots = "open"
    quorum: int = 2
    commit_window_s: int = 600
    ballot_window_s: int = 600
    inner: str = ""

    def __post_init__(self) -> None:
        for name in ("gamma", "kappa", "server_learning_rate"):
            # 1 and 1.0 are the same rule, so they must not have two digests.
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        expect(0 < self.gamma <= 1, "gamma", "in (0, 1]", self.gamma)
        expect(0 < self.kappa < 1, "kappa", "in (0, 1)", self.kappa)
        exact = Fraction(str(self.kappa)) * _PARTS_PER_MILLION
        expect(exact.denominator == 1, "kappa", "a multiple of 1e-6", self.kappa)
        named = self.metric is None or (isinstance(self.metric, str) and self.metric.strip("+-"))
        expect(bool(named), "metric", "None, or the name of a metric", repr(self.metric))
        if self.metric is not None and not says_direction(self.metric):
            raise ConfigurationError(
                f"metric={self.metric!r} does not say which way it points: "
                f"{how_to_say(self.metric)}"
            )
        rate = self.server_learning_rate
        expect(math.isfinite(rate) and rate > 0, "server_learning_rate", "finite, above 0", rate)
        object.__setattr__(self, "shared", _patterns(self.shared))
        for name, choices in _CHOICES.items():
            found = getattr(self, name)
            expect(found in choices, name, f"one of {choices}", repr(found))
        for name, (least, most) in _RANGES.items():
            found = getattr(self, name)
            whole = isinstance(found, int) and not isinstance(found, bool)
            inside = whole and least <= found <= most
            expect(inside, name, f"a whole number, {least} to {most}", repr(found))
        inner = self.inner
        expect(isinstance(inner, str), "inner", "the name of a strategy, or empty", repr(inner))

    @property
    def kappa_ppm(self) -> int:
        """κ in parts per million, as the contract keeps it."""
        return int(Fraction(str(self.kappa)) * _PARTS_PER_MILLION)

    def spec_of(self, arrays: Arrays) -> ModelSpec:
        """What these rules make of a task's model; raises ModelError where they take it not."""
        return ModelSpec.of(arrays, self.integer_arrays, self.shared)

    def kept(self, n: int, round: int) -> int:
        """⌈γ_r·n⌉, how many of ``n`` entries a delta of the contract's round r ≥ 1 keeps.

        γ_r = γ + (1 − γ)·max(0, 1 − (r − 1)/``warmup_rounds``), with γ the decimal number that
        was written, not its nearest binary one.
        """
        gamma = Fraction(str(self.gamma))
        left = max(0, self.warmup_rounds - (round - 1))
        warm = Fraction(left, self.warmup_rounds) if left else Fraction(0)
        return math.ceil((gamma + (1 - gamma) * warm) * n)

    def to_json(self) -> dict[str, Any]:
        """The rules as plain JSON values."""
        return asdict(self)

    def digest(self) -> bytes:
        """SHA-256 of the canonical JSON: sorted keys, no spaces, UTF-8."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).digest()


class RuleOptions(TypedDict, total=False):
    """The rules as keyword arguments: those fields of :class:`Rules` that a user chooses."""

    gamma: float
    warmup_rounds: int
    kappa: float
    metric: str | None
    clip: Clip
    combine: Combine
    server_learning_rate: float
    integer_arrays: IntegerArrays
    shared: tuple[str, ...]
    ballots: Ballots
    quorum: int
    commit_window_s: int
    ballot_window_s: int


def _patterns(value: Any) -> tuple[str, ...]:
    try:
        found = (value,) if isinstance(value, str) else tuple(value)
    except TypeError:
        found = ()
    named = bool(found) and all(isinstance(each, str) and each for each in found)
    expect(named, "shared", "patterns of array names, such as 'body.*'", repr(value))
    return found


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigurationError(f"{name}: expected a number; found {value!r}")
    try:
        return float(value)
    except OverflowError:
        return math.inf  # a whole number beyond every float, which the ranges refuse
