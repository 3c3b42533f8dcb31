"""Tampering with what a node tells: events, and the transactions they came from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bcfl.audit.evidence import Evidence
from bcfl.chain.event import Event
from bcfl.consensus.contract.events import (
    Abstained,
    BallotCast,
    Closed,
    Committed,
    MemberJoined,
    Opened,
    Refusal,
    Refused,
    Sealed,
    Selected,
    Voided,
)
from bcfl.consensus.spec.domain import Ballot
from bcfl.consensus.spec.messages import ballot_message
from tests.audit.tampering import Case, by, member_key


@by("chain")
def a_commitment_is_kept_silent(case: Case) -> None:
    case.bend_first(Committed)


@by("chain")
def a_ballot_is_kept_silent(case: Case) -> None:
    case.bend_first(BallotCast)


@by("chain")
def a_committed_digest_is_another(case: Case) -> None:
    case.bend_first(Committed, digest=32 * b"\1")


@by("chain")
def a_commitment_is_dated_back(case: Case) -> None:
    case.bend_first(Committed, signed_at=1)


@by("chain")
def a_commitment_came_after_its_deadline(case: Case) -> None:
    case.bend(lambda e: replace(e, timestamp=e.timestamp + 3601) if isinstance(e, Committed) else e)


@by("chain")
def other_winners_are_told(case: Case) -> None:
    def swap(event: Event) -> Event:
        if isinstance(event, Selected) and event.round == 1:
            return replace(event, winners=~event.winners & 15)
        return event

    case.bend(swap)


@by("chain")
def other_scores_are_told(case: Case) -> None:
    case.bend_first(Selected, scores=(1, 2, 3, 4))


@by("chain")
def a_round_is_said_to_be_void(case: Case) -> None:
    def void(event: Event) -> Event | None:
        if isinstance(event, Selected) and event.round == 2:
            head = (event.transaction, event.block, event.log_index, event.timestamp)
            return Voided(*head, 2, 15, 15)
        return None if isinstance(event, Closed) and event.round == 2 else event

    case.bend(void)


@by("chain")
def a_rating_is_another(case: Case) -> None:
    def other(event: Event) -> Event:
        if isinstance(event, BallotCast) and (event.round, event.member) == (1, 0):
            return replace(event, entries=event.entries[:-1] + bytes([event.entries[-1] ^ 1]))
        return event

    case.bend(other)


@by("chain")
def a_deadline_is_another(case: Case) -> None:
    case.bend_first(Opened, commit_deadline=2**40)


@by("chain")
def a_stranger_is_told_to_be_a_member(case: Case) -> None:
    case.bend_first(MemberJoined, address=member_key(9).address)


@by("chain", run="sealed")
def a_seal_is_another(case: Case) -> None:
    case.bend_first(Sealed, seal=32 * b"\1")


@by("chain")
def a_round_was_closed_by_a_stranger(case: Case) -> None:
    def sent_by_a_stranger(evidence: Evidence) -> Evidence:
        closing = next(e.transaction for e in evidence.events if isinstance(e, Closed))
        call = replace(evidence.calls[closing], sender=member_key(9).address)
        return replace(evidence, calls={**evidence.calls, closing: call})

    case.bends.append(sent_by_a_stranger)


@by("chain")
def a_transaction_does_not_exist(case: Case) -> None:
    case.bend_first(Closed, transaction="0x" + 32 * "00")


def cast(case: Case, member: int, entries: bytes, signature: bytes | None = None) -> None:
    """Let a member's first ballot be these entries, in the event, the call and the journal."""

    def bent(evidence: Evidence) -> Evidence:
        words = ballot_message(evidence.terms.domain, Ballot(1, ()))
        words["message"]["entries"] = entries
        signed = signature or member_key(member).sign(words)
        events = tuple(
            replace(e, entries=entries)
            if isinstance(e, BallotCast) and (e.round, e.member) == (1, member)
            else e
            for e in evidence.events
        )
        number = next(e.transaction for e in evidence.events if isinstance(e, BallotCast))
        call = evidence.calls[number]
        ballots = tuple(
            replace(sent, entries=entries, signature=signed) if sent.member == member else sent
            for sent in call.ballots
        )
        calls = {**evidence.calls, number: replace(call, ballots=ballots)}
        return replace(evidence, events=events, calls=calls, journal=(), live=True, **NO_JOURNAL)

    for name in ("result.json", "rounds.jsonl", "model.safetensors"):
        (case.folder / name).unlink()
    case.bends.append(bent)


NO_JOURNAL: dict[str, Any] = {"journal_found": False}


@by("reviewer 2")
def a_reviewer_signed_an_order_that_its_values_have_not(case: Case) -> None:
    cast(case, 2, b"\0\0\0\0\1" + b"\1\0\0\0\2" + b"\3\0\0\0\0")


@by("reviewer 3")
def a_reviewer_rated_itself(case: Case) -> None:
    cast(case, 3, Ballot.from_values(1, {0: 1, 3: 2**32 - 1}).encode())


@by("reviewer 0")
def a_reviewer_rated_somebody_twice(case: Case) -> None:
    cast(case, 0, b"\1\0\0\0\2" + b"\1\0\0\0\1")


@by("reviewer 1")
def a_reviewer_rated_somebody_who_never_committed(case: Case) -> None:
    cast(case, 1, Ballot.from_values(1, {0: 1, 77: 2}).encode())


@by("chain")
def a_ballot_was_signed_by_nobody(case: Case) -> None:
    cast(case, 1, Ballot.from_values(1, {0: 1, 2: 2}).encode(), signature=65 * b"\1")


# ---------------------------------------------------------- what was missed, refused, and drawn


def heading(event: Event) -> tuple[str, int, int, int]:
    return event.transaction, event.block, event.log_index, event.timestamp


@by("chain", run="some missing")
def who_a_voter_missed_is_left_off_its_ballot(case: Case) -> None:
    def without(event: Event) -> Event:
        if isinstance(event, BallotCast) and event.member == 3:
            return replace(event, entries=event.entries[:-32])
        return event

    case.bend(without)


@by("chain", run="some missing")
def an_abstention_is_kept_silent(case: Case) -> None:
    case.bend_first(Abstained)


@by("chain", run="some missing")
def whom_an_abstention_missed_is_another(case: Case) -> None:
    case.bend_first(Abstained, missing=0b101)


@by("chain", run="some missing")
def an_abstention_is_told_as_a_ballot(case: Case) -> None:
    entries = Ballot.from_values(1, {0: 100, 3: 97, 5: 95}, missing=(1, 2)).encode()

    def counted(event: Event) -> Event:
        if isinstance(event, Abstained):
            return BallotCast(*heading(event), event.round, event.member, entries)
        return event

    case.bend(counted)


@by("chain", run="some missing")
def a_ballot_is_told_as_an_abstention(case: Case) -> None:
    def silenced(event: Event) -> Event:
        if isinstance(event, BallotCast) and event.member == 3:
            return Abstained(*heading(event), event.round, event.member, 0b10)
        return event

    case.bend(silenced)


@by("chain", run="some missing")
def an_abstention_was_signed_by_nobody(case: Case) -> None:
    def bent(evidence: Evidence) -> Evidence:
        number = next(e.transaction for e in evidence.events if isinstance(e, Abstained))
        call = evidence.calls[number]
        ballots = tuple(
            replace(sent, signature=65 * b"\1") if sent.member == 4 else sent
            for sent in call.ballots
        )
        return replace(evidence, calls={**evidence.calls, number: replace(call, ballots=ballots)})

    case.bends.append(bent)


@by("chain")
def the_seed_of_a_tie_is_another(case: Case) -> None:
    case.bend_first(Selected, seed=32 * b"\1")


@by("chain")
def the_block_whose_hash_decides_is_not_there(case: Case) -> None:
    case.bends.append(lambda evidence: replace(evidence, hashes={}))


@by("chain", run="spoils a signature")
def a_refusal_is_kept_silent(case: Case) -> None:
    case.bend_first(Refused)


@by("chain", run="some refused")
def a_refusal_is_said_to_be_of_another(case: Case) -> None:
    case.bend_first(Refused, member=2)


@by("chain")
def a_good_commitment_is_said_to_be_refused(case: Case) -> None:
    def refused(event: Event) -> Event:
        if isinstance(event, Committed) and (event.round, event.member) == (1, 2):
            return Refused(*heading(event), 1, 2, Refusal.SIGNATURE)
        return event

    case.bend(refused)


@by("chain", run="some refused")
def a_good_signature_is_said_to_be_refused(case: Case) -> None:
    def bent(evidence: Evidence) -> Evidence:
        number = next(e.transaction for e in evidence.events if isinstance(e, Refused))
        good = next(
            sent
            for other, call in evidence.calls.items()
            for sent in call.commitments
            if other != number and sent.member == 1
        )
        call = replace(evidence.calls[number], commitments=(good,))
        return replace(evidence, calls={**evidence.calls, number: call})

    case.bends.append(bent)
