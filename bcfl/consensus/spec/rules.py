"""The rules of a task, validated once, and their digest, which the contract keeps.

Whoever holds the digest can tell whether γ, the clipping or the combination were changed between
two rounds.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal, TypeAlias, TypedDict, get_args

from bcfl.consensus.spec.aggregation import Combine
from bcfl.consensus.spec.candidates import half
from bcfl.consensus.spec.clipping import Clip
from bcfl.consensus.spec.delta import Part
from bcfl.consensus.spec.domain import MAX_MEMBERS
from bcfl.consensus.spec.metric import how_to_say, says_direction
from bcfl.consensus.spec.values import Values
from bcfl.consensus.spec.whole import Choice
from bcfl.core.errors import ConfigurationError, expect
from bcfl.core.model import IntegerArrays

Rule: TypeAlias = Literal["borda", "coalition", "referee"]
CoalitionSize: TypeAlias = Literal["any", "half"]
GammaWithin: TypeAlias = Literal["model", "array"]
Ballots: TypeAlias = Literal["open", "sealed"]
Update: TypeAlias = Literal["delta", "whole"]
Settlement: TypeAlias = Literal["full", "optimistic"]
_PARTS_PER_MILLION = 1_000_000
_CHOICES = {
    "rule": get_args(Rule),
    "coalition_size": get_args(CoalitionSize),
    "gamma_within": get_args(GammaWithin),
    "clip": get_args(Clip),
    "combine": (None, *get_args(Combine), *get_args(Choice)),
    "update": get_args(Update),
    "values": get_args(Values),
    "integer_arrays": get_args(IntegerArrays),
    "ballots": get_args(Ballots),
    "settlement": get_args(Settlement),
}
#: Rules that only those have whose members propose.
_OF_PROPOSALS = ("rule", "coalition_size", "reference")
#: Rules that only deltas have.
OF_DELTAS = (
    "gamma",
    "warmup_rounds",
    "gamma_within",
    "values",
    "error_feedback",
    "clip",
    "server_learning_rate",
    "integer_arrays",
    "shared",
)
#: Rules that are only named where they are not the default: older tasks had no others.
_LATER = {"gamma_within", "values", "error_feedback"}
#: Rules that only a task has that is settled optimistically.
_OF_SETTLEMENT = ("settlement", "challenge_window_s", "deposit_wei", "bond_wei")
_DIGEST = re.compile("[0-9a-f]{64}")
#: The contract's: for how long commitments, and ballots, are taken at least, and at most.
LEAST_WINDOW_S, LONGEST_WINDOW_S = 30, 2**32
_RANGES = {
    "warmup_rounds": (0, 1_000_000),
    "quorum": (1, MAX_MEMBERS),
    "commit_window_s": (LEAST_WINDOW_S, LONGEST_WINDOW_S),
    "ballot_window_s": (LEAST_WINDOW_S, LONGEST_WINDOW_S),
    "challenge_window_s": (LEAST_WINDOW_S, LONGEST_WINDOW_S),
    "deposit_wei": (1, 2**63 - 1),
    "bond_wei": (1, 2**63 - 1),
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
    gamma_within : {"model", "array"}
        Of what γ is the share. The model: the largest changes of all, as published. **[beyond]**
        Each array, as Deep Gradient Compression has it: at least one change of each. It costs
        nothing where all arrays are alike, and pays where a small γ would go to a few arrays of
        large numbers, such as batch norm's statistics.
    values : {"float32", "float16", "int8", "ternary"}
        How a delta's values are sent: as they are, in the model's own floats; or in fewer bits,
        rounded by lot. See ``bcfl.consensus.spec.values``.
    error_feedback : float
        In [0, 1]: the share of what its delta leaves out that a member adds to its next one. See
        ``bcfl.consensus.member.unsent``.
    rule : {"borda", "coalition", "referee"}
        What is rated, and how it decides: single deltas, as published; sets of members, by
        everybody's own data; sets of members, by a reference set. See
        ``bcfl.consensus.spec.coalition`` and ``bcfl.consensus.spec.referee``.
    coalition_size : {"any", "half"}
        How many members a proposal of ``referee`` holds at least: one, or half of the committed.
        Those of ``coalition`` always hold half.
    reference : str
        Hex SHA-256 of the reference set of ``referee``; empty with every other rule.
    kappa : float
        κ in (0, 1), share of the committed deltas that win, in steps of 1e-6.
    metric : str or None
        The name of the metric in the app's evaluate reply that is the value; None chooses
        one whose name says loss, else one whose name says accuracy. Where a name does not say
        whether smaller is better, a sign does: ``"-mape"``. See ``choose_quality``.
    clip, combine, server_learning_rate
        See ``bcfl.consensus.spec.clipping`` and ``bcfl.consensus.spec.aggregation``; η > 0.
        ``combine=None`` is ``"pair"`` where members propose, which nothing else is then, and
        else ``"damped_mean"``. Of whole updates it is ``"best"``, the best winner's as it is, or
        ``"bagging"``, the trees of all winners added to the model: see
        ``bcfl.consensus.spec.whole``.
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
        Of whole updates, ``combine`` still says what members rate: what it makes of one alone.
    update : {"delta", "whole"}
        What a member commits to: the largest changes of its model's floats; or its reply as it is,
        whatever the arrays are, such as trees, for which γ, its warm-up, clipping and η mean
        nothing. See ``bcfl.consensus.spec.update``.
    settlement : {"full", "optimistic"}
        Full: every commitment and ballot goes on chain, and the contract counts. Optimistic: one
        transaction a round says what came of it, and whoever doubts that within the window makes
        the coordinator bring the round in full. See ``bcfl.consensus.contract.optimistic``.
    challenge_window_s : int
        Seconds, chain time, for which a settled round can be challenged, and a challenge answered.
    deposit_wei, bond_wei : int
        What the coordinator loses that cannot answer; and what a challenger puts down, of which
        the gas of a good answer is paid.

    Raises
    ------
    ConfigurationError
        A value out of range; the message names it.
    """

    gamma: float = 0.1
    warmup_rounds: int = 3
    gamma_within: GammaWithin = "model"
    values: Values = "float32"
    error_feedback: float = 0.0
    kappa: float = 0.5
    rule: Rule = "borda"
    coalition_size: CoalitionSize = "any"
    reference: str = ""
    metric: str | None = None
    clip: Clip = "median_norm"
    combine: Combine | Choice | None = None
    server_learning_rate: float = 1.0
    integer_arrays: IntegerArrays = "keep"
    shared: tuple[str, ...] = ("*",)
    ballots: Ballots = "open"
    quorum: int = 2
    commit_window_s: int = 600
    ballot_window_s: int = 600
    inner: str = ""
    update: Update = "delta"
    settlement: Settlement = "full"
    challenge_window_s: int = 600
    deposit_wei: int = 10**17
    bond_wei: int = 10**16

    def __post_init__(self) -> None:
        for name in ("gamma", "error_feedback", "kappa", "server_learning_rate"):
            # 1 and 1.0 are the same rule, so they must not have two digests.
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        expect(0 < self.gamma <= 1, "gamma", "in (0, 1]", self.gamma)
        expect(0 <= self.error_feedback <= 1, "error_feedback", "in [0, 1]", self.error_feedback)
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
        self._expect_fitting()

    def _expect_fitting(self) -> None:
        """What the rule needs is there, and nothing that it has no use for."""
        choices = get_args(Choice if self.update == "whole" else Combine)
        words = f"None, or one of {choices}, with update={self.update}"
        expect(self.combine in (None, *choices), "combine", words, repr(self.combine))
        if self.update == "whole":
            expect_none_of_deltas(set(OF_DELTAS) - self._at_default)
            expect(not self.proposes, "rule", "borda with update=whole", self.rule)
        if self.proposes:
            words = f'None, or "pair", which rule={self.rule} rates'
            expect(self.combine in (None, "pair"), "combine", words, repr(self.combine))
        if self.settlement == "optimistic":
            words = "with settlement=optimistic"
            expect(
                not self.proposes, "rule", f"borda {words}, whose court knows no other", self.rule
            )
            open_ = f"open {words}: only the coordinator sees them before all are in"
            expect(self.ballots == "open", "ballots", open_, self.ballots)
        elif idle := [name for name in _OF_SETTLEMENT[1:] if name not in self._at_default]:
            raise ConfigurationError(
                f"{', '.join(idle)}: expected nothing with settlement=full, where nothing waits "
                "for a challenge; leave it out, or say settlement=optimistic"
            )
        if self.rule == "coalition" and self.inner:
            raise ConfigurationError(
                f"rule=coalition makes a step of several sets, which {self.inner} cannot "
                "aggregate: leave the inner strategy out, or choose another rule"
            )
        known = isinstance(self.reference, str) and _DIGEST.fullmatch(self.reference)
        if self.rule == "referee" and not known:
            raise ConfigurationError(
                f"reference: expected the digest of a reference set, which rule=referee rates on; "
                f"found {self.reference!r}. PeerConsensus(reference=…) takes the samples: name to "
                "array; without any that all members may hold, choose rule=coalition"
            )
        if self.rule != "referee":
            words = f"none with rule={self.rule}, which rates on no reference set"
            expect(self.reference == "", "reference", words, repr(self.reference))

    @property
    def kappa_ppm(self) -> int:
        """κ in parts per million, as the contract keeps it."""
        return int(Fraction(str(self.kappa)) * _PARTS_PER_MILLION)

    def kept(self, n: int, round: int) -> int:
        """⌈γ_r·n⌉, how many of ``n`` entries a delta of the contract's round r ≥ 1 keeps.

        γ_r = γ + (1 − γ)·max(0, 1 − (r − 1)/``warmup_rounds``), with γ the decimal number that
        was written, not its nearest binary one.
        """
        return _kept(self.gamma, self.warmup_rounds, n, round)

    def parts(self, sizes: Sequence[int], round: int) -> list[Part]:
        """Of the changes of arrays of these sizes: stretches in order, and what is kept of each.

        One stretch, or one an array that has entries, each with its ⌈γ_r·size⌉.
        """
        of = sizes if self.gamma_within == "array" else [sum(sizes)]
        return [(size, self.kept(size, round)) for size in of if size]

    @property
    def proposes(self) -> bool:
        """Whether members propose sets, which are rated instead of single deltas."""
        return self.rule != "borda"

    @property
    def combination(self) -> Combine | Choice:
        """``combine``, or what it is where nothing is said."""
        if self.update == "whole":
            return self.combine or "best"
        return self.combine or ("pair" if self.proposes else "damped_mean")

    def least(self, committed: int) -> int:
        """The fewest members of a proposal, where so many have committed."""
        whole = self.rule == "coalition" or self.coalition_size == "half"
        return half(committed) if whole else 1

    @property
    def _at_default(self) -> set[str]:
        return {each.name for each in fields(self) if getattr(self, each.name) == each.default}

    def to_json(self) -> dict[str, Any]:
        """The rules as plain JSON values; as ever, where members rate single deltas."""
        values = {**asdict(self), "combine": self.combination}
        idle = OF_DELTAS if self.update == "whole" else ("update",)
        later = self._at_default & _LATER
        later |= set(() if self.settlement == "optimistic" else _OF_SETTLEMENT)
        for name in {*idle, *later, *(() if self.proposes else _OF_PROPOSALS)}:
            del values[name]
        return values

    def digest(self) -> bytes:
        """SHA-256 of the canonical JSON: sorted keys, no spaces, UTF-8."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).digest()


class RuleOptions(TypedDict, total=False):
    """The rules as keyword arguments: those fields of :class:`Rules` that a user chooses."""

    gamma: float
    warmup_rounds: int
    gamma_within: GammaWithin
    values: Values
    error_feedback: float
    kappa: float
    rule: Rule
    coalition_size: CoalitionSize
    metric: str | None
    clip: Clip
    combine: Combine | Choice | None
    server_learning_rate: float
    integer_arrays: IntegerArrays
    shared: tuple[str, ...]
    ballots: Ballots
    quorum: int
    commit_window_s: int
    ballot_window_s: int
    update: Update
    settlement: Settlement
    challenge_window_s: int
    deposit_wei: int
    bond_wei: int


def expect_none_of_deltas(stated: Collection[str]) -> None:
    """Raise ConfigurationError where rules are stated that whole updates have no use for."""
    if idle := [name for name in OF_DELTAS if name in stated]:
        raise ConfigurationError(
            f"{', '.join(idle)}: expected nothing with update='whole', where a member's reply is "
            "taken as it is: there is no change to cut, to clip or to scale. Leave it out"
        )


def _patterns(value: Any) -> tuple[str, ...]:
    try:
        found = (value,) if isinstance(value, str) else tuple(value)
    except TypeError:
        found = ()
    named = bool(found) and all(isinstance(each, str) and each for each in found)
    expect(named, "shared", "patterns of array names, such as 'body.*'", repr(value))
    return found


@lru_cache(maxsize=256)
def _kept(written: float, warmup_rounds: int, n: int, round: int) -> int:
    gamma = Fraction(str(written))
    left = max(0, warmup_rounds - (round - 1))
    warm = Fraction(left, warmup_rounds) if left else Fraction(0)
    return math.ceil((gamma + (1 - gamma) * warm) * n)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigurationError(f"{name}: expected a number; found {value!r}")
    try:
        return float(value)
    except OverflowError:
        return math.inf  # a whole number beyond every float, which the ranges refuse
