"""Rounds of proposals and ballots for Hypothesis, of 1 to 128 members, with ties and gaps."""

from __future__ import annotations

import os
from dataclasses import dataclass

from hypothesis import strategies as st

from bcfl.consensus.spec.coalition import FULL
from bcfl.consensus.spec.domain import MAX_MEMBERS, Ballot

#: Few different values make ties; the ends are where comparing slips.
VALUES = st.one_of(st.integers(0, 3), st.sampled_from([0, 1, 257, 65537, 2**31, 2**32 - 1]))


#: How many members there are at most: all that there can be, where there is time.
MOST = MAX_MEMBERS if os.environ.get("BCFL_FUZZ") else 40


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
def proposed_rounds(draw: st.DrawFn, *, of_oneself: bool, most: int = MOST) -> Proposed:
    """A round of up to ``most`` members.

    Parameters
    ----------
    of_oneself : bool
        Whether a ballot speaks of its author's proposal as well.
    """
    size = draw(st.integers(1, min(most, 12)) | st.integers(1, most))
    random = draw(st.randoms(use_true_random=False))
    indices = draw(st.integers(size, most))

    def mostly(whole: list[int]) -> list[int]:
        """Everybody, or all but a few, or any number of them: too few make a round void."""
        least = random.choice([len(whole), len(whole) * 3 // 4, 0])
        return random.sample(whole, random.randint(least, len(whole)))

    committed = sorted(mostly(random.sample(range(indices), size)) or [0])
    one = sum(1 << j for j in random.sample(committed, random.randint(1, len(committed))))
    proposals = {}
    for proposer in sorted(mostly(committed)):
        some = random.sample(committed, random.randint(1, len(committed)))
        proposals[proposer] = one if random.random() < 0.3 else sum(1 << j for j in some)
    said = draw(st.sampled_from(["r", "rrrrm", "rrri-", "rmi-", "mi-"]))
    pool = draw(st.lists(VALUES, min_size=1, max_size=5))
    ballots = {}
    for voter in mostly(committed):
        about = {j: random.choice(said) for j in proposals if of_oneself or j != voter}
        of = {kind: [j for j, word in about.items() if word == kind] for kind in "rmi"}
        rated = {j: random.choice(pool) for j in of["r"]}
        ballots[voter] = Ballot.from_values(1, rated, of["m"], of["i"])
    standings = {j: random.choice([0, 1, FULL // 3, FULL - 1, FULL]) for j in mostly(committed)}
    cheats = random.choice([0, 0, 1 << random.randrange(indices)])
    return Proposed(size, frozenset(committed), proposals, ballots, standings, cheats)
