"""What a coordinator says of a round that it settles, and what follows from what was signed.

PROTOCOL, System A, *Settlement*: ``settlement="optimistic"``. The reference of
``contracts/settlement_court.vy``; signatures and hashes are not in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Final

from bcfl.consensus.spec.contract import Terms
from bcfl.consensus.spec.domain import Ballot, bits, members_in
from bcfl.consensus.spec.rules import LEAST_WINDOW_S
from bcfl.consensus.spec.scoring import Borda, seen_by_most, tally
from bcfl.consensus.spec.selection import select_winners, takes_part

#: At how many rounds that were settled a member looks, at most, when it is asked again.
LOOKED_BACK: Final = 8


@dataclass(frozen=True, slots=True)
class Record:
    """A round as its coordinator settled it. Sets of members are bit fields, times are seconds."""

    round: int
    root: bytes  #: of all that was signed
    base: bytes  #: digest of θ_g
    model: bytes  #: of the next one
    winners: int  #: none: the round is void, and the model stays
    members: int  #: who was one when it was opened
    expected: int
    forced: int  #: came past the coordinator: commitments in the lower half, ballots in the upper
    opened_at: int
    settled_at: int

    @property
    def forced_commitments(self) -> int:
        """Whose commitment was brought to the contract by itself."""
        return self.forced & (1 << 128) - 1

    @property
    def forced_ballots(self) -> int:
        """Whose ballot was."""
        return self.forced >> 128


@dataclass(frozen=True, slots=True)
class Signed:
    """What counts of all that was signed in a round, by member index."""

    digests: Mapping[int, bytes]  #: of those who committed
    ballots: Mapping[int, Ballot]
    abstained: Set[int]
    brought: Set[int]  #: whose ballot is there, whether it counts or not
    seed: bytes  #: decides between equals

    @property
    def spoken(self) -> frozenset[int]:
        """Who voted or abstained."""
        return frozenset(self.ballots) | frozenset(self.abstained)


def ends(record: Record, terms: Terms, signed: Signed) -> int:
    """The last second in which somebody may still commit or vote; a round is settled after it.

    As in a round that is settled in full: 0 where all have done what they can, the least window
    where all who were waited for have, and else the windows.
    """
    committed = signed.digests.keys()
    for_commitments = record.opened_at + terms.commit_window_s
    if not committed <= signed.spoken and len(committed) >= terms.quorum:
        return for_commitments + terms.ballot_window_s
    if not record.members & ~bits(committed):
        return 0
    if not record.expected & ~bits(committed):
        return record.opened_at + LEAST_WINDOW_S
    return for_commitments


def winners_of(record: Record, terms: Terms, signed: Signed) -> int:
    """U^O as a bit field; nobody where too few took part."""
    committed = signed.digests.keys()
    counts = len(committed), len(signed.ballots), len(committed)
    seen = seen_by_most(signed.ballots, committed)
    if not takes_part(*counts, terms.quorum) or not seen:
        return 0
    totals = tally(Borda(), signed.ballots, committed, record.members.bit_count())
    return bits(select_winners(totals, signed.digests, seen, terms.kappa_ppm, signed.seed))


def disagreement(record: Record, terms: Terms, signed: Signed) -> str:
    """Why what was settled does not follow from what was signed; empty if it does.

    Parameters
    ----------
    signed : Signed
        All that the record's root is of.
    """
    left_out = record.forced_commitments & ~bits(signed.digests)
    unheard = record.forced_ballots & bits(signed.digests) & ~bits(signed.brought)
    if left_out | unheard:
        return f"members {members_in(left_out | unheard)}, who came to the chain, are left out"
    if record.settled_at <= (end := ends(record, terms, signed)):
        return f"it was settled at {record.settled_at}, while there was time until {end}"
    if (winners := winners_of(record, terms, signed)) != record.winners:
        return f"{members_in(winners)} have won, and not {members_in(record.winners)}"
    return ""
