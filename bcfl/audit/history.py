"""The contract's events as the rounds that they tell of, in order and in the right phases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bcfl.audit.evidence import Evidence
from bcfl.audit.findings import CHAIN, Finding, author
from bcfl.audit.phases import Progress, phase_at
from bcfl.chain.event import Event
from bcfl.consensus.contract.events import (
    Abstained,
    BallotCast,
    Closed,
    Committed,
    Equivocated,
    MemberJoined,
    MemberLeft,
    Opened,
    Proposed,
    Refused,
    RoundEvent,
    Sealed,
    Selected,
    Voided,
)
from bcfl.consensus.spec.coalition import standings_after
from bcfl.consensus.spec.domain import MAX_MEMBERS, Phase, bits, members_in
from bcfl.consensus.spec.rules import Rule
from bcfl.consensus.spec.scoring import rated_by

_PHASES: Final[Mapping[type[Event], tuple[Phase, ...]]] = {
    MemberJoined: (Phase.IDLE,),
    MemberLeft: (Phase.IDLE, Phase.SELECTED),
    Opened: (Phase.IDLE,),
    Committed: (Phase.COMMIT,),
    Proposed: (Phase.PROPOSE,),
    Sealed: (Phase.SEAL,),
    BallotCast: (Phase.BALLOT,),
    Abstained: (Phase.BALLOT,),
    Refused: (Phase.COMMIT, Phase.PROPOSE, Phase.SEAL, Phase.BALLOT),
    Selected: (Phase.SELECT,),
    Voided: (Phase.SELECT,),
    Closed: (Phase.SELECTED,),
    Equivocated: tuple(Phase),
}
#: Of these, one log can say several.
_IN_BATCHES: Final = (Committed, BallotCast)


def _of_one_batch(one: Event, other: Event) -> bool:
    places = {(each.transaction, each.block, each.log_index) for each in (one, other)}
    return len(places) == 1 and type(one) is type(other) and isinstance(one, _IN_BATCHES)


@dataclass(slots=True)
class Round:
    """One round as the events tell it."""

    opened: Opened
    number: int  #: the server's: void rounds do not count
    size: int  #: m, the number of members when it was opened
    members: tuple[str, ...] = ()  #: whose each index was then: a seat may be another's later
    active: int = 0  #: bit field: who was a member then
    #: By member: what its ballot weighs, where members propose coalitions.
    standings: Mapping[int, int] = field(default_factory=dict)
    commitments: dict[int, Committed] = field(default_factory=dict)  #: by member
    proposals: dict[int, Proposed] = field(default_factory=dict)
    seals: dict[int, Sealed] = field(default_factory=dict)
    ballots: dict[int, BallotCast] = field(default_factory=dict)
    abstained: dict[int, Abstained] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    outcome: Selected | Voided | None = None
    barred: int = 0  #: proven equivocators when the outcome was found
    closed: Closed | None = None
    events: list[Event] = field(default_factory=list)

    @property
    def chain_round(self) -> int:
        """The contract's number."""
        return self.opened.round

    def rated_by(self, member: int, rule: Rule) -> frozenset[int]:
        """Whom that member's ballot may rate."""
        return rated_by(rule, member, bits(self.commitments), bits(self.proposals))

    def standings_after(self) -> Mapping[int, int]:
        """What ballots weigh in the next round."""
        if not (isinstance(self.outcome, Selected) and self.outcome.chosen):
            return self.standings
        sets = {member: event.members for member, event in self.proposals.items()}
        chosen = {*members_in(self.outcome.chosen)} & sets.keys()
        return standings_after(self.standings, sets, chosen, self.commitments.keys())

    @property
    def spoken(self) -> dict[int, BallotCast | Abstained]:
        """By member: the ballots that count, and those that gave no points."""
        return {**self.ballots, **self.abstained}

    def name(self, member: int) -> str:
        """Who it was, for people."""
        return author(member).words(self.members)

    @property
    def winners(self) -> tuple[int, ...]:
        """U^O, as the contract selected it."""
        return members_in(self.outcome.winners) if isinstance(self.outcome, Selected) else ()


@dataclass(slots=True)
class History:
    """All rounds, the members by index, and what does not fit together."""

    rounds: list[Round] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
    active: int = 0
    barred: int = 0
    model: bytes = b""  #: digest of θ_g
    proven: list[tuple[Equivocated, str]] = field(default_factory=list)  #: and against whom
    findings: list[Finding] = field(default_factory=list)


def read_history(evidence: Evidence) -> History:
    """Read the events in order; whatever the contract's code could not have logged is found."""
    return _Reader(evidence).read()


class _Reader:
    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._terms = evidence.terms
        opened = (event.base for event in evidence.events if isinstance(event, Opened))
        self._history = History(model=next(opened, evidence.state.model))
        self._progress: Progress | None = None
        self._transaction = ""
        self._phase = Phase.IDLE  # before the transaction that is being read

    def read(self) -> History:
        before = Event("", -1, -1, 0)
        for event in self._evidence.events:
            last, at = (before.block, before.log_index), (event.block, event.log_index)
            if at <= last and not _of_one_batch(before, event):
                self._complain(event, f"an event after block {last[0]}, log {last[1]}", str(at))
            before = event
            self._expect_phase(event)
            self._take(event)
        self._expect_views()
        return self._history

    def _expect_phase(self, event: Event) -> None:
        # The last ballot may decide its round, and its end open the next, in one transaction.
        within = isinstance(event, (Selected, Voided, Opened))
        if event.transaction != self._transaction or within:
            self._transaction = event.transaction
            self._phase = phase_at(self._progress, event.timestamp, self._terms)
        if self._phase not in _PHASES[type(event)]:
            wanted = " or ".join(phase.name for phase in _PHASES[type(event)])
            name, phase = type(event).__name__, self._phase.name
            self._complain(event, f"{name} in phase {wanted}", f"{name} in phase {phase}")

    def _take(self, event: Event) -> None:
        match event:
            case MemberJoined():
                self._join(event)
            case MemberLeft():
                self._leave(event)
            case Opened():
                self._open(event)
            case Equivocated():
                address = dict(enumerate(self._history.members)).get(event.member, "")
                self._history.proven.append((event, address))
                self._history.barred |= 1 << event.member
                self._history.active &= ~(1 << event.member)
                if self._history.rounds:
                    self._history.rounds[-1].events.append(event)
            case _:
                self._take_in_round(event)

    def _take_in_round(self, event: Event) -> None:
        round_, progress = self._current(event)
        if round_ is None or progress is None:
            return
        round_.events.append(event)
        match event:
            case Committed():
                progress.committed |= self._once(event, event.member, progress.committed)
                round_.commitments.setdefault(event.member, event)
                progress.everybody |= not self._history.active & ~progress.committed
            case Proposed():
                progress.proposed |= self._once(event, event.member, progress.proposed)
                round_.proposals.setdefault(event.member, event)
            case Sealed():
                progress.sealed |= self._once(event, event.member, progress.sealed)
                round_.seals.setdefault(event.member, event)
            case BallotCast():
                progress.voted |= self._once(event, event.member, progress.voted)
                round_.ballots.setdefault(event.member, event)
            case Abstained():
                progress.voted |= self._once(event, event.member, progress.voted)
                round_.abstained.setdefault(event.member, event)
            case Refused():
                round_.refused.append(event)
            case Selected() | Voided():
                round_.outcome, round_.barred = event, self._history.barred
                progress.selected = isinstance(event, Selected)
                progress.ended = isinstance(event, Voided)
            case Closed():
                round_.closed, progress.ended = event, True
                self._history.model = event.model

    def _join(self, event: MemberJoined) -> None:
        history, bit = self._history, 1 << event.member
        known = event.address in history.members
        index = history.members.index(event.address) if known else len(history.members)
        if index == MAX_MEMBERS:  # all seats were given: the first whose member left
            index = next(i for i in range(129) if not history.active >> i & 1)
            history.barred &= ~(1 << index)
        if event.member != index or (history.active | history.barred) & bit:
            self._complain(event, f"{event.address} to join as {index}", f"as {event.member}")
        history.members[index : index + 1] = [event.address]
        history.active |= bit

    def _leave(self, event: MemberLeft) -> None:
        history, bit = self._history, 1 << event.member
        if not history.active & bit or event.address not in history.members[event.member :][:1]:
            self._complain(event, "a member to leave", f"{event.member}, {event.address}")
        history.active &= ~bit

    def _open(self, event: Opened) -> None:
        history = self._history
        number = len(history.rounds) + 1
        closed = [round_.closed for round_ in history.rounds if round_.closed is not None]
        self._progress = Progress(event.timestamp, event.expected)
        size, seats = history.active.bit_count(), tuple(history.members)
        standings = history.rounds[-1].standings_after() if history.rounds else {}
        round_ = Round(event, len(closed) + 1, size, seats, history.active, standings)
        history.rounds.append(round_)
        if not closed or event.transaction != closed[-1].transaction:
            round_.events.append(event)  # else the transaction is of the round that it closes
        if event.round != number:
            self._complain(event, f"round {number} to be opened", f"round {event.round}")
        if event.base != history.model:
            self._complain(event, f"model {history.model.hex()[:16]}…", event.base.hex()[:16] + "…")
        if not event.expected or event.expected & ~history.active:
            self._complain(event, "members to be expected", str(members_in(event.expected)))
        deadlines = (event.commit_deadline, event.seal_deadline, event.ballot_deadline)
        if deadlines != (wanted := self._progress.deadlines(self._terms)):
            self._complain(event, f"deadlines {wanted}", str(deadlines))

    def _current(self, event: Event) -> tuple[Round | None, Progress | None]:
        number = event.round if isinstance(event, RoundEvent) else 0
        if not self._history.rounds or self._history.rounds[-1].chain_round != number:
            self._complain(event, "an event of the round that is open", f"one of round {number}")
            return None, None
        return self._history.rounds[-1], self._progress

    def _once(self, event: Event, member: int, done: int) -> int:
        bit, name = 1 << member, type(event).__name__
        if done & bit:
            self._complain(event, f"{name} once for member {member}", "it twice")
        allowed = self._history.active
        if self._progress is not None and not isinstance(event, Committed):
            allowed = self._progress.committed
            if self._terms.sealed and isinstance(event, (BallotCast, Abstained)):
                allowed = self._progress.sealed
        if not allowed & bit:
            self._complain(event, f"{name} of a member who may", f"of member {member}")
        return bit

    def _expect_views(self) -> None:
        """What the contract says of itself now follows from its events, or some are missing."""
        history, state, evidence = self._history, self._evidence.state, self._evidence
        last = history.rounds[-1] if history.rounds else None
        told: dict[str, tuple[object, object]] = {
            "members": (tuple(history.members), evidence.members),
            "active members": (members_in(history.active), members_in(evidence.active)),
            "equivocators": (members_in(history.barred), members_in(state.equivocators)),
            "round": (last.chain_round if last else 0, state.round),
            "model": (history.model.hex(), state.model.hex()),
        }
        if last is not None:
            told["committed"] = (tuple(sorted(last.commitments)), members_in(state.committed))
            told["proposed"] = (tuple(sorted(last.proposals)), members_in(state.proposed))
            told["sealed"] = (tuple(sorted(last.seals)), members_in(state.sealed))
            told["voted"] = (tuple(sorted(last.ballots)), members_in(state.voted))
            told["abstained"] = (tuple(sorted(last.abstained)), members_in(state.abstained))
            told["expected"] = (last.opened.expected, state.expected)
        if last is not None and last.outcome is not None:
            told["winners"] = (last.winners, members_in(state.winners))
        for name, (by_events, by_contract) in told.items():
            if by_events != by_contract:
                found = f"{by_contract} by its own word"
                self._history.findings.append(
                    Finding("events", CHAIN, None, f"{name} {by_events} by its events", found)
                )

    def _complain(self, event: Event, expected: str, found: str) -> None:
        number = event.round if isinstance(event, RoundEvent) else None
        self._history.findings.append(Finding("events", CHAIN, number, expected, found))
