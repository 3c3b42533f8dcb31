"""The words of the contracts: what its calls take, and its events as the ledger's values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from eth_utils.crypto import keccak

from bcfl.chain.contract import Log, believing
from bcfl.chain.event import Event
from bcfl.consensus.contract import events as contract_events
from bcfl.consensus.contract.batches import ballots_in, commitments_in
from bcfl.consensus.contract.events import (
    BallotCast,
    Committed,
    MemberJoined,
    Refusal,
    Refused,
    RoundEvent,
)
from bcfl.consensus.spec.domain import MAX_MEMBERS, SignedBallot, SignedCommitment
from bcfl.consensus.spec.rules import Rule
from bcfl.core.errors import LedgerError, ReplyMalformed

LANES: Final = 16
LANE_BITS: Final = 16

#: The contract of each rule.
CONTRACTS: Final[Mapping[Rule, str]] = {
    "borda": "PeerConsensus",
    "coalition": "PeerCoalition",
    "referee": "PeerReferee",
}

#: How the ledger names what the contract names otherwise; all other fields agree.
_FIELDS: Final[Mapping[str, Mapping[str, str]]] = {
    "Committed": {"timestamp": "signed_at"},
    "Equivocated": {"digest_a": "digest", "digest_b": "other_digest"},
    "MemberJoined": {"account": "address"},
    "MemberLeft": {"account": "address"},
}

_KINDS: Final[Mapping[str, Callable[..., Event]]] = {
    name: kind
    for name, kind in vars(contract_events).items()
    if isinstance(kind, type) and issubclass(kind, Event) and kind not in (Event, RoundEvent)
}

#: Batches as they were relayed: each says as much as an event for every entry that counts.
_COMMITMENTS: Final = "CommitmentsRelayed"
_BALLOTS: Final = "BallotsRelayed"

#: The contract's names of what the ledger knows. ``Withdrawn``, which is about money only, is none
#: of it.
EVENTS: Final = (*_KINDS, _COMMITMENTS, _BALLOTS)


def events_in(log: Log, members: int) -> list[Event]:
    """The ledger's events, one for each member that a batch is of.

    Parameters
    ----------
    log : Log
        Its name is one of ``EVENTS``.
    members : int
        How many there are.

    Raises
    ------
    ReplyMalformed
        It is no batch that the contract takes, or of no member that there can be.
    """
    if log.name not in (_COMMITMENTS, _BALLOTS):
        return [event_of(log, members)]
    round_, counted, batch = (log.arguments[name] for name in ("round", "counted", "batch"))
    at = log.transaction, log.block, log.log_index, log.timestamp, round_
    entries: list[Event]
    with believing(log.name):
        if log.name == _COMMITMENTS:
            entries = [Committed(*at, i, said, when) for i, when, said in commitments_in(batch)]
        else:
            entries = [BallotCast(*at, member, said) for member, said in ballots_in(batch)]
        if counted >> len(entries):
            raise ValueError(f"of {len(entries)} entries, others count")
    return [_of_member(event) for place, event in enumerate(entries) if counted >> place & 1]


def event_of(log: Log, members: int) -> Event:
    """The ledger's event of a log that is no batch; ``members`` as of :func:`events_in`."""
    names = _FIELDS.get(log.name, {})
    fields = {names.get(name, name): value for name, value in log.arguments.items()}
    if log.name == "Selected":
        lanes = "chosen" not in fields
        scores = _unpacked(fields["scores"]) if lanes else tuple(fields["scores"])
        fields["scores"] = (*scores, *[0] * members)[:members]
    at = log.transaction, log.block, log.log_index, log.timestamp
    return _of_member(_KINDS[log.name](*at, **fields))


def _of_member(event: Event) -> Event:
    """The same, if it is of none or can be; in whose name something was refused, anybody says."""
    member = getattr(event, "member", 0)
    if member >= MAX_MEMBERS and not isinstance(event, Refused):
        raise ReplyMalformed(
            f"{type(event).__name__}: members are below {MAX_MEMBERS}; found {member}"
        )
    return event


def _unpacked(words: Sequence[Any]) -> tuple[int, ...]:
    """Points by member index: sixteen lanes of 16 bits a word, member 0 in the lowest."""
    mask = (1 << LANE_BITS) - 1
    return tuple(word >> LANE_BITS * lane & mask for word in words for lane in range(LANES))


def named(reason: str) -> str:
    """A contract's reason to revert; where it is a refusal's number, with the name of that."""
    number = reason.removeprefix("consensus: refused, see Refusal ")
    names = {str(refusal.value): refusal.name for refusal in Refusal}
    return f"{reason}: {names[number]}" if number in names else reason


def one_round(rounds: Iterable[int]) -> int:
    """The round that all of them are of; raises LedgerError where there is none, or several."""
    distinct = sorted(set(rounds))
    if len(distinct) != 1:
        raise LedgerError(f"a transaction relays what is of one round; found rounds {distinct}")
    return distinct[0]


def compact(signature: bytes) -> tuple[int, int]:
    """EIP-2098: r, and s with v − 27 in its highest bit, as ``typed_data.vy`` takes them."""
    r, s, v = signature[:32], signature[32:64], signature[64]
    if v not in (27, 28) or s[0] >> 7:
        raise LedgerError("expected a signature with v 27 or 28 and a low s; no contract takes it")
    return int.from_bytes(r, "big"), (v - 27) << 255 | int.from_bytes(s, "big")


def relayed(signature: bytes) -> tuple[int, int]:
    """As :func:`compact`; for what no contract takes, words that it passes over.

    One bad signature is to cost the others of a batch nothing: the contract says ``Refused``.
    """
    try:
        return compact(signature)
    except LedgerError:
        return 0, 0


def proof(ballot: SignedBallot) -> tuple[int, int]:
    """What proves a ballot: its signature; where ballots are sealed, the salt of the seal."""
    if ballot.salt:
        return int.from_bytes(ballot.salt, "big"), 0
    return relayed(ballot.signature)


def seats(events: Iterable[Event]) -> dict[int, str]:
    """Who had which index after these events: member to address.

    An index is given to another only after its member left, or was proven a cheat: replayed up
    to a round's ``Opened``, the events say who its members were.
    """
    return {event.member: event.address for event in events if isinstance(event, MemberJoined)}


def evidence(one: SignedCommitment) -> tuple[bytes, bytes, int, int, int]:
    """One half of a proof of equivocation."""
    said = one.commitment
    return said.base, said.digest, said.timestamp, *compact(one.signature)


def seal_of(entries: bytes, salt: bytes) -> bytes:
    """keccak256(entries ‖ salt), as the contract computes it when a ballot is revealed."""
    return bytes(keccak(entries + salt))
