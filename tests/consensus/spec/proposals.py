"""Rounds of proposals and ballots for Hypothesis, of 1 to 128 members, with ties and gaps."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from bcfl.consensus.spec.coalition import FULL
from bcfl.consensus.spec.domain import MAX_MEMBERS, Ballot

#: Few different values make ties; the ends are where comparing slips.
VALUES = st.one_of(st.integers(0, 3), st.sampled_from([0, 1, 2**31, 2**32 - 1]))


@dataclass(frozen=True)
class Proposed:
    """What a contract knows when it is to decide."""

    size: int  #: m, when the round was opened
    committed: frozenset[int]
    proposals: dict[int, int]  #: bit fields
    ballots: dict[int, Ballot]
    standings: dict[int, int]
    barred: int


@st.composite
def proposed_rounds(
    draw: st.DrawFn, *, of_oneself: bool, most: int = MAX_MEMBERS, ballots_most: int = MAX_MEMBERS
) -> Proposed:
    """A round of up to ``most`` members, of whom up to ``ballots_most`` vote.

    Parameters
    ----------
    of_oneself : bool
        Whether a ballot speaks of its author's proposal as well.
    """
    size = draw(st.integers(1, most))
    random = draw(st.randoms(use_true_random=False))
    indices = draw(st.integers(size, most))
    committed = sorted(random.sample(range(indices), draw(st.integers(1, size))))
    proposers = random.sample(committed, draw(st.integers(0, len(committed))))
    alike = draw(st.booleans())
    one = sum(1 << j for j in random.sample(committed, draw(st.integers(1, len(committed)))))
    proposals = {}
    for proposer in sorted(proposers):
        some = random.sample(committed, random.randint(1, len(committed)))
        proposals[proposer] = one if alike and random.random() < 0.5 else sum(1 << j for j in some)
    said = draw(st.sampled_from(["r", "rmi-", "mi-"]))
    pool = draw(st.lists(VALUES, min_size=1, max_size=5))
    voters = random.sample(committed, draw(st.integers(0, min(len(committed), ballots_most))))
    ballots = {}
    for voter in voters:
        about = {j: random.choice(said) for j in proposals if of_oneself or j != voter}
        of = {kind: [j for j, word in about.items() if word == kind] for kind in "rmi"}
        rated = {j: random.choice(pool) for j in of["r"]}
        ballots[voter] = Ballot.from_values(1, rated, of["m"], of["i"])
    known = random.sample(committed, draw(st.integers(0, len(committed))))
    standings = {j: random.choice([0, 1, FULL // 3, FULL - 1, FULL]) for j in known}
    cheats = random.sample(range(indices), draw(st.integers(0, min(2, indices))))
    return Proposed(
        size, frozenset(committed), proposals, ballots, standings, sum(1 << j for j in cheats)
    )
