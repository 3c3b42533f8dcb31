"""What the contracts of peer consensus log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from bcfl.chain.event import Event
from bcfl.consensus.spec.domain import members_in


@dataclass(frozen=True, slots=True)
class RoundEvent(Event):
    """What belongs to a round."""

    round: int


@dataclass(frozen=True, slots=True)
class MemberJoined(Event):
    """An address is a member from the next round on."""

    member: int
    address: str


@dataclass(frozen=True, slots=True)
class MemberLeft(Event):
    """An address is a member no more; somebody else may be given its index later."""

    member: int
    address: str


@dataclass(frozen=True, slots=True)
class Opened(RoundEvent):
    """A round has begun for the model ``base``."""

    base: bytes
    expected: int
    commit_deadline: int
    seal_deadline: int
    ballot_deadline: int


@dataclass(frozen=True, slots=True)
class Committed(RoundEvent):
    """A member has committed to its delta."""

    member: int
    digest: bytes
    signed_at: int  #: the timestamp that the member signed


@dataclass(frozen=True, slots=True)
class Proposed(RoundEvent):
    """A member has proposed whose deltas are to make the next model."""

    member: int
    members: int  #: bit field


@dataclass(frozen=True, slots=True)
class Sealed(RoundEvent):
    """A member has promised a ballot."""

    member: int
    seal: bytes


@dataclass(frozen=True, slots=True)
class BallotCast(RoundEvent):
    """A member has rated the others."""

    member: int
    entries: bytes  #: ``Ballot.encode``


@dataclass(frozen=True, slots=True)
class Abstained(RoundEvent):
    """A reviewer missed more than a quarter of the others' deltas, and did not vote."""

    member: int
    missing: int  #: bit field


class Refusal(IntEnum):
    """Why something in a batch did not count; ``contracts/refusals.vy`` has the same numbers."""

    NOT_A_MEMBER = 1
    NOT_COMMITTED = 2
    SIGNATURE = 3
    TOO_EARLY = 4  #: signed before the round was opened
    TOO_LATE = 5  #: signed in the future
    NOT_SEALED = 6
    SALT = 7  #: does not end in the member's index
    NOT_THE_SEALED = 8
    LENGTH = 9  #: not the bytes that its places call for
    PLACES = 10  #: at one there are not as many as from it to the next
    STRANGER = 11  #: somebody is rated who has not committed, or the author
    UNRATED = 12  #: the sets of the missing and of the invalid are not what they may be
    SET = 13  #: a proposal is empty, or of others than the committed


@dataclass(frozen=True, slots=True)
class Refused(RoundEvent):
    """The contract passed something over that was sent in a member's name, by whomever."""

    member: int  #: as it was sent: of 256 bits
    reason: int  #: ``Refusal``


@dataclass(frozen=True, slots=True)
class Selected(RoundEvent):
    """The contract has chosen."""

    winners: int  #: bit field: whose deltas make the next model
    scores: tuple[int, ...]  #: by member index; Borda totals are doubled
    seed: bytes = bytes(32)  #: a block's hash; decides between equals
    chosen: int = 0  #: bit field: whose proposals won, where members propose


@dataclass(frozen=True, slots=True)
class Voided(RoundEvent):
    """Too few took part: the round counts for nothing."""

    committed: int  #: bit field
    voted: int  #: bit field: whose ballots count
    abstained: int = 0  #: bit field


@dataclass(frozen=True, slots=True)
class Closed(RoundEvent):
    """The coordinator has named the next global model."""

    model: bytes


@dataclass(frozen=True, slots=True)
class Equivocated(RoundEvent):
    """Two deltas that one member signed for one round: proof of cheating, kept for good."""

    member: int
    digest: bytes
    other_digest: bytes


def winning_sets(selected: Selected, proposals: Iterable[Proposed]) -> list[int]:
    """The sets (bit fields) whose steps make the next model: U^O; or the proposals that won.

    Parameters
    ----------
    proposals : iterable of Proposed
        The round's; of ``PeerConsensus.vy`` none.

    Returns
    -------
    list of int
        In the order of their proposers.
    """
    if not selected.chosen:
        return [selected.winners]
    sets = {event.member: event.members for event in proposals}
    return [sets[member] for member in members_in(selected.chosen) if member in sets]


#: In which phase of a round a transaction belongs that logs this first. A refusal is of none:
#: anybody can cause it at any time.
PHASES: Final[Mapping[type[Event], str]] = {
    Opened: "open",
    Committed: "commit",
    Proposed: "propose",
    Sealed: "seal",
    BallotCast: "ballot",
    Abstained: "ballot",
    Selected: "select",
    Voided: "select",
    Closed: "close",
}


def by_phase(events: Iterable[Event]) -> dict[int, dict[str, list[str]]]:
    """The numbers of transactions, by round, and by the phase of what each logs first.

    So the transaction with the last ballots is theirs, although it selects as well; and the one
    that closes a round is of that round, although it opens the next.
    """
    transactions: dict[int, dict[str, list[str]]] = {}
    known: set[str] = set()
    for event in events:
        phase = PHASES.get(type(event))
        if phase is None or not isinstance(event, RoundEvent) or event.transaction in known:
            continue
        of_round = transactions.setdefault(event.round, {})
        of_round.setdefault(phase, []).append(event.transaction)
        known.add(event.transaction)
    return transactions
