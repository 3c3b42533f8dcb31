"""What decides a round in the laboratory: the protocol's rules, and what they are compared with.

The protocol's are played by ``bcfl.consensus.spec`` itself: largest entries, clipping, fixed
point, ballots, scores, selection, aggregation. What is left out is signatures, messages and chain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bcfl.consensus.spec import coalition, referee
from bcfl.consensus.spec.aggregation import aggregate, aggregate_sets
from bcfl.consensus.spec.candidates import Candidates, Losses, half
from bcfl.consensus.spec.clipping import clip
from bcfl.consensus.spec.delta import Delta, apply_delta
from bcfl.consensus.spec.domain import Ballot, bits, members_in
from bcfl.consensus.spec.fixed_point import to_value
from bcfl.consensus.spec.scoring import Borda, seen_by_most, tally
from bcfl.consensus.spec.selection import select_winners
from bcfl.core.errors import ModelError, RoundVoid
from bcfl.experiment.attacks.attack import Attack, Vectors
from bcfl.experiment.clients.client_data import ClientData
from bcfl.experiment.laboratory import robust
from bcfl.experiment.laboratory.network import Network
from bcfl.losses import class_balanced

KAPPA_PPM = 500_000


@dataclass(slots=True)
class Play:
    """One round, as a rule sees it."""

    number: int
    base: Vectors  #: θ_g
    changes: dict[int, Vectors]  #: by member: what it sends, dense
    deltas: dict[int, Delta]  #: by member: the largest entries of it
    shares: Sequence[ClientData]  #: by member
    reference: ClientData | None
    network: Network
    attack: Attack | None  #: None while nobody lies
    malicious: frozenset[int]
    root: Vectors  #: for ``NEED_ROOT``: what training on the reference set makes, as a change
    memory: dict[str, Any]  #: the rule's own, from round to round
    winners: set[int] = field(default_factory=set)  #: whose deltas count, where some do

    @property
    def seed(self) -> bytes:
        """What decides between equals, in place of a block's hash."""
        return hashlib.sha256(self.base.tobytes()).digest()

    def ballot(self, member: int, qualities: Mapping[int, float]) -> Ballot:
        """What a member says where it measures this."""
        if self.attack is not None and member in self.malicious:
            qualities = self.attack.ratings(qualities, self.malicious)
        return Ballot.from_values(self.number, {m: to_value(q) for m, q in qualities.items()})


Rule: TypeAlias = Callable[[Play], Vectors]


def borda(play: Play) -> Vectors:
    """Everybody rates everybody's single delta on its validation images."""
    deltas = clip(play.deltas, "median_norm")
    found = {
        member: play.network.validate(apply_delta(play.base, delta), play.shares)
        for member, delta in deltas.items()
    }
    ballots = {
        i: play.ballot(i, {j: -losses[i] for j, losses in found.items() if j != i}) for i in deltas
    }
    totals = tally(Borda(), ballots, deltas.keys(), len(play.shares))
    seen = seen_by_most(ballots, deltas.keys())
    won = select_winners(totals, deltas, seen, KAPPA_PPM, play.seed)
    play.winners |= set(won)
    return aggregate(play.base, {member: deltas[member] for member in won}, "damped_mean")


def by_coalition(play: Play) -> Vectors:
    """Everybody proposes a set by its own data, and rates the others'."""
    candidates = Candidates(play.base, clip(play.deltas, "median_norm"))
    committed = sorted(candidates.deltas)
    own = _OwnData(play)
    own.foresee([candidates.single(member) for member in committed])
    least = half(len(committed))
    proposals = _proposals(
        play, least, lambda i: coalition.propose(candidates, own.losses(i), least)
    )
    steps = {p: candidates.step(members_in(each)) for p, each in proposals.items()}
    own.foresee(list(steps.values()))
    ballots = {}
    for i in committed:
        others = [p for p in steps if p != i]
        losses = own.losses(i)(steps[p] for p in others)
        ballots[i] = play.ballot(i, {p: -x for p, x in zip(others, losses, strict=True)})
    standings = play.memory.setdefault("standings", {})
    decision = coalition.decide(
        proposals,
        ballots,
        standings,
        barred=0,
        kappa_ppm=KAPPA_PPM,
        size=len(play.shares),
        seed=play.seed,
    )
    play.memory["standings"] = coalition.standings_after(
        standings, proposals, set(decision.chosen), set(committed)
    )
    chosen = [members_in(proposals[p]) for p in decision.chosen]
    play.winners |= {member for members in chosen for member in members}
    sets = [{j: candidates.deltas[j] for j in members} for members in chosen]
    return aggregate_sets(play.base, sets, "pair")


def by_referee(play: Play, *, least: Callable[[int], int] = lambda committed: 1) -> Vectors:
    """Everybody proposes a set by the reference set, and reports all proposals' losses on it."""
    candidates = Candidates(play.base, clip(play.deltas, "median_norm"))
    committed = sorted(candidates.deltas)
    known: dict[bytes, float] = {}
    reference = play.reference
    assert reference is not None

    def losses(models: Iterable[NDArray[Any]]) -> list[float]:
        rows = list(models)
        missing = {row.tobytes(): row for row in rows if row.tobytes() not in known}
        if missing:
            found = play.network.judge(np.stack(list(missing.values())), reference)
            known.update(zip(missing, found, strict=True))
        return [known[row.tobytes()] for row in rows]

    fewest = least(len(committed))
    honest = referee.propose(candidates, losses, fewest)  # all who are honest find the same
    proposals = _proposals(play, fewest, lambda _: honest)
    reports = losses(candidates.step(members_in(each)) for each in proposals.values())
    qualities = {p: -loss for p, loss in zip(proposals, reports, strict=True)}
    ballots = {i: play.ballot(i, qualities) for i in committed}
    decision = referee.decide(proposals, ballots, barred=0)
    if not decision.chosen:
        raise RoundVoid("half of the reports say nothing of any proposal, or the worst there is")
    won = members_in(proposals[decision.chosen[0]])
    play.winners |= set(won)
    return aggregate(play.base, {j: candidates.deltas[j] for j in won}, "pair")


def oracle(play: Play) -> Vectors:
    """Exactly the honest deltas."""
    honest = {m: delta for m, delta in play.deltas.items() if m not in play.malicious}
    return aggregate(play.base, clip(honest, "median_norm"), "pair")


def _proposals(play: Play, least: int, honest: Callable[[int], frozenset[int]]) -> dict[int, int]:
    """By proposer, bit fields; who lies knows what the honest propose."""
    lying = play.attack is not None and play.attack.ballots != "honest"
    liars = play.malicious if lying else frozenset()
    committed = set(play.deltas)
    found = {member: honest(member) for member in sorted(committed - liars)}
    if play.attack is not None:
        for member in sorted(committed & liars):
            told = [each for other, each in found.items() if other not in liars]
            found[member] = play.attack.proposal(told, committed, play.malicious, least)
    return {member: bits(each) for member, each in sorted(found.items())}


class _OwnData:
    """Each member's class-balanced bounded loss, over all its data."""

    def __init__(self, play: Play) -> None:
        self._play = play
        shares = play.shares
        self._images = [np.concatenate([s.train_images, s.validation_images]) for s in shares]
        self._labels = [np.concatenate([s.train_labels, s.validation_labels]) for s in shares]
        self._cuts = np.cumsum([len(labels) for labels in self._labels])[:-1]
        self._known: dict[bytes, list[NDArray[np.float32]]] = {}

    def foresee(self, models: Sequence[Vectors]) -> None:
        """Measure on everybody's data at once what everybody is going to ask for."""
        rows = np.stack(list({row.tobytes(): row for row in models}.values()))
        images, labels = np.concatenate(self._images), np.concatenate(self._labels)
        for row, losses in zip(rows, self._play.network.bounded(rows, images, labels), strict=True):
            self._known[row.tobytes()] = np.split(losses, self._cuts)

    def losses(self, member: int) -> Losses:
        """The member's own."""
        labels = self._labels[member]

        def measure(models: Iterable[NDArray[Any]]) -> list[float]:
            rows = list(models)
            if all(row.tobytes() in self._known for row in rows):
                found = [self._known[row.tobytes()][member] for row in rows]
            else:
                images = self._images[member]
                found = list(self._play.network.bounded(np.stack(rows), images, labels))
            return [class_balanced(losses, labels) for losses in found]

        return measure


def averaged(play: Play, step: Callable[[Vectors, int], Vectors]) -> Vectors:
    """θ_g moved by what an aggregator, told f, makes of all dense changes."""
    rows = np.stack([change for _, change in sorted(play.changes.items())])
    moved: Vectors = (play.base + step(rows, len(play.malicious))).astype(play.base.dtype)
    if not np.isfinite(moved).all():
        raise ModelError("the aggregated parameters are not finite")
    return moved


def fedavg(play: Play) -> Vectors:
    """The mean, weighted by the number of training images."""
    counts = np.array([len(play.shares[m].train_labels) for m in sorted(play.changes)], float)
    return averaged(play, lambda rows, _: counts @ rows / counts.sum())


def centered_clipping(play: Play, *, radius: float) -> Vectors:
    """See ``robust.centered_clipping``; it remembers its last step."""
    before = play.memory.get("step", np.zeros_like(play.base))

    def step(rows: Vectors, f: int) -> Vectors:
        play.memory["step"] = robust.centered_clipping(rows, before, radius)
        return np.asarray(play.memory["step"])

    return averaged(play, step)


#: Under which members vote, so that the malicious can lie.
VOTING = ("borda", "coalition", "referee", "referee_half")
#: To which the server's own training is given, on the reference set.
NEED_ROOT = ("fltrust", "fltrust:2")
#: Which cannot do without a reference set.
NEED_REFERENCE = ("referee", "referee_half", *NEED_ROOT)
#: Those with a number after a colon are another tuning of the same.
RULES: dict[str, Rule] = {
    "oracle": oracle,
    "borda": borda,
    "coalition": by_coalition,
    "referee": by_referee,
    "referee_half": partial(by_referee, least=half),
    "fedavg": fedavg,
    "multi_krum": partial(averaged, step=robust.multi_krum),
    "trimmed_mean": partial(averaged, step=robust.trimmed_mean),
    "nnm_trimmed_mean": partial(averaged, step=robust.nnm_trimmed_mean),
    "geometric_median": partial(averaged, step=robust.geometric_median),
    "centered_clipping": partial(centered_clipping, radius=1.0),
    "centered_clipping:10": partial(centered_clipping, radius=10.0),
    "fltrust": lambda play: averaged(play, lambda rows, _: robust.fltrust(rows, play.root)),
    "fltrust:2": lambda play: averaged(play, lambda rows, _: 2 * robust.fltrust(rows, play.root)),
}
