"""A round as it happened: the chain's side read from the chain, ours timed and counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from bcfl.chain.event import Event
from bcfl.consensus.contract.events import (
    Abstained,
    BallotCast,
    Closed,
    Committed,
    Opened,
    Proposed,
    Refusal,
    Refused,
    RoundEvent,
    Sealed,
    Selected,
    Voided,
    by_phase,
)
from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.parcels import Parcels
from bcfl.consensus.server.coordinator import Coordinator
from bcfl.consensus.server.signed_round import SignedRound
from bcfl.consensus.spec.domain import (
    Ballot,
    SignedBallot,
    SignedCommitment,
    SignedProposal,
    SignedSeal,
    members_in,
)
from bcfl.consensus.spec.record import RoundRecord
from bcfl.core.errors import BlobError
from bcfl.files import Journal

_Signed: TypeAlias = SignedCommitment | SignedProposal | SignedSeal | SignedBallot
_LARGEST = 2**32  # bytes: what is in the server's own store was bounded when it came


class RoundLog:
    """Times phases, counts bytes, and at the end reads the rest from the chain.

    Parameters
    ----------
    number : int
        Flower's server round.
    on_phase : callable
        Told (round, phase) whenever a phase begins.
    """

    def __init__(self, number: int, on_phase: Callable[[int, str], None]) -> None:
        self.number = number
        self.left_out: dict[int, str] = {}
        self.bytes_up = self.bytes_up_dense = self.bytes_down = self.bytes_down_dense = 0
        self.seconds: dict[str, float] = {}
        self._phase, self._began = "", 0.0
        self._on_phase = on_phase

    def enter(self, phase: str) -> None:
        """A phase begins, and the one before it ends; a phase may be entered again."""
        self._stop()
        self._phase, self._began = phase, time.perf_counter()
        self._on_phase(self.number, phase)

    def recall(self, signed: SignedRound, parcels: Parcels, model_bytes: int) -> None:
        """Count what came before this process began: what the journal has, and its deltas."""
        blobs = sum(_size(parcels, c.commitment.digest) for c in signed.commitments.values())
        committed: list[_Signed] = [*signed.commitments.values()]
        said: list[_Signed] = [
            *signed.proposals.values(),
            *signed.seals.values(),
            *signed.ballots.values(),
        ]
        self.bytes_up += blobs + sum(map(_signed_bytes, committed + said))
        self.bytes_up_dense += model_bytes * len(signed.commitments)
        self.bytes_down += model_bytes * len(signed.commitments)
        self.bytes_down += (model_bytes + blobs) * len(said)
        self.bytes_down_dense += model_bytes * len(signed.commitments)

    def _stop(self) -> None:
        if self._phase:
            spent = time.perf_counter() - self._began
            self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + spent
            self._phase = ""

    def record(self, coordinator: Coordinator) -> RoundRecord:
        """The round that has just ended, closed or void."""
        self._stop()
        ledger, signed = coordinator.ledger, coordinator.signed
        events = ledger.events(coordinator.opening_block)
        record = read_record(self.number, signed.round, events, ledger, signed.rejected)
        left_out = {**self.left_out, **coordinator.unusable}
        return self.count(replace(record, left_out={**record.left_out, **left_out}))

    def count(self, record: RoundRecord) -> RoundRecord:
        """The record, with what was counted here."""
        return replace(
            record,
            seconds=self.seconds,
            bytes_up=self.bytes_up,
            bytes_up_dense=self.bytes_up_dense,
            bytes_down=self.bytes_down,
            bytes_down_dense=self.bytes_down_dense,
        )


def past_records(
    ledger: Ledger, journal: Journal, parcels: Parcels, model_bytes: int
) -> Iterator[RoundRecord]:
    """Every round that has ended, as the chain tells it; its bytes as journal and store do.

    Parameters
    ----------
    ledger : Ledger
    journal : Journal
        Of the task.
    parcels : Parcels
        The server's.
    model_bytes : int
        The size of the global model.
    """
    by_round: dict[int, list[Event]] = {}
    for event in ledger.events():
        if isinstance(event, RoundEvent):
            by_round.setdefault(event.round, []).append(event)
    number = 1
    for round_, events in sorted(by_round.items()):
        ended = [event for event in events if isinstance(event, (Closed, Voided))]
        if ended:
            signed = SignedRound(journal, ledger.domain.contract, round_)
            log = RoundLog(number, lambda *_: None)
            log.recall(signed, parcels, model_bytes)
            before = by_round.get(round_ - 1, [])
            yield log.count(
                read_record(number, round_, [*before, *events], ledger, signed.rejected)
            )
            number += isinstance(ended[0], Closed)


def read_record(
    number: int,
    chain_round: int,
    events: Iterable[Event],
    ledger: Ledger,
    rejected: Mapping[int, Mapping[int, str]],
) -> RoundRecord:
    """A round that has ended, read from its events.

    Parameters
    ----------
    number : int
        Flower's server round.
    chain_round : int
        The contract's number.
    events : iterable of Event
        Of that round and those about it, in the chain's order.
    ledger : Ledger
        Knows what each transaction cost.
    rejected : mapping
        By reviewer: member to reason.
    """
    around = list(events)
    events = [e for e in around if isinstance(e, RoundEvent) and e.round == chain_round]
    (opened,) = (event for event in events if isinstance(event, Opened))
    selected = next((event for event in events if isinstance(event, Selected)), None)
    closed = next((event for event in events if isinstance(event, Closed)), None)
    ballots = {event.member: event for event in events if isinstance(event, BallotCast)}
    transactions = by_phase(around).get(chain_round, {})
    mined = ledger.receipts([number for numbers in transactions.values() for number in numbers])
    abstained = {e.member: members_in(e.missing) for e in events if isinstance(e, Abstained)}
    return RoundRecord(
        round=number,
        chain_round=opened.round,
        void=closed is None,
        base=opened.base.hex(),
        model=(closed.model if closed else opened.base).hex(),
        expected=members_in(opened.expected),
        committed=tuple(sorted(e.member for e in events if isinstance(e, Committed))),
        voted=tuple(sorted(ballots)),
        winners=members_in(selected.winners) if selected else (),
        scores=dict(enumerate(selected.scores)) if selected else {},
        proposals={
            event.member: members_in(event.members)
            for event in sorted(events, key=lambda event: getattr(event, "member", 0))
            if isinstance(event, Proposed)
        },
        chosen=members_in(selected.chosen) if selected else (),
        ballots={
            member: {
                rating.member: rating.value
                for rating in Ballot.decode(event.round, event.entries).ratings
            }
            for member, event in sorted(ballots.items())
        },
        abstained=dict(sorted(abstained.items())),
        left_out=_refused(events, opened.expected)
        | {
            member: f"its ballot does not count: it has seen nothing of {list(missing)}"
            for member, missing in sorted(abstained.items())
        },
        rejected={i: dict(reasons) for i, reasons in sorted(rejected.items()) if reasons},
        transactions=transactions,
        gas={
            phase: sum(mined[number].gas for number in numbers)
            for phase, numbers in transactions.items()
        },
    )


def _size(parcels: Parcels, digest: bytes) -> int:
    """How many bytes of a delta the server was sent; none where its member published it."""
    try:
        return 0 if parcels.shared else len(parcels.parcel(digest, _LARGEST))
    except BlobError:
        return 0


def _signed_bytes(signed: _Signed) -> int:
    match signed:
        case SignedCommitment():
            return len(signed.signature) + len(signed.commitment.digest)
        case SignedProposal():
            return len(signed.signature) + len(signed.proposal.encode())
        case SignedSeal():
            return len(signed.signature) + len(signed.seal)
        case SignedBallot():
            return len(signed.signature) + len(signed.ballot.encode())


def _refused(events: Sequence[Event], expected: int) -> dict[int, str]:
    """By member, of the expected: why the last that came in its name did not count."""
    refused = {}
    for event in events:
        if isinstance(event, Refused) and event.member in members_in(expected):
            refused[event.member] = f"refused by the contract: {Refusal(event.reason).name}"
        elif isinstance(event, (Committed, Proposed, Sealed, BallotCast, Abstained)):
            refused.pop(event.member, None)
    return refused


def in_one_line(record: RoundRecord) -> str:
    """What came of a round: who won, who is left out, and why."""
    won = f"won by {_members(record.winners)}" if not record.void else "void"
    said = (
        f"round {record.round}: {won}; {len(record.committed)} of {len(record.expected)} "
        f"committed, {len(record.voted)} voted, {sum(record.gas.values()):,} gas"
    )
    left_out = [f"member {m} left out: {why}" for m, why in sorted(record.left_out.items())]
    return "; ".join([said, *left_out])


def in_closing(records: Sequence[RoundRecord], folder: Path) -> list[str]:
    """The last lines of a run: who won how often, the gas, where it all is, how to check it."""
    closed = [record for record in records if not record.void]
    wins = Counter(member for record in closed for member in record.winners)
    rounds = ", ".join(f"member {m} {count}" for m, count in sorted(wins.items()))
    gas = sum(sum(record.gas.values()) for record in records)
    return [
        f"rounds won, of {len(closed)}: {rounds or 'none'}",
        f"gas: {gas:,} for {len(records)} round{'s' * (len(records) != 1)}",
        f"everything is in {folder}",
        f"check every round of it with: bcfl audit {folder}",
    ]


def _members(members: Sequence[int]) -> str:
    return f"member{'s' * (len(members) != 1)} {', '.join(map(str, members))}"
