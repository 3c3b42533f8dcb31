"""S3, claim 4: a round's commitments as the member's own node shows them, and what was delivered.

And what follows for a ballot: whom, or which proposals, it is to rate.

The chain says who has committed; the server's order only delivers. What it does not deliver is
looked for in the member's own store, and is missing where it is not there either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, TypeVar

from flwr.app import ArrayRecord

from bcfl.chain.event import Event
from bcfl.consensus.contract.events import Committed, Opened, Proposed, RoundEvent
from bcfl.consensus.member.membership import Membership
from bcfl.consensus.member.rating import Rateable
from bcfl.consensus.parcels import Parcels
from bcfl.consensus.records import ReviewOrder, TrainReply
from bcfl.consensus.spec.candidates import Candidates
from bcfl.consensus.spec.domain import bits, members_in
from bcfl.consensus.spec.update import Updates
from bcfl.consensus.spec.verification import Expectation, OnChain, verify_update
from bcfl.core.errors import (
    BlobError,
    CodecError,
    CommitmentRejected,
    NodeBehind,
    ProtocolError,
    TransactionUnknown,
)
from bcfl.core.model import Arrays
from bcfl.flower.handlers import to_array_record

_E = TypeVar("_E", Committed, Proposed)


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What came of a round's commitments, each by member: an update, or why there is none."""

    updates: dict[int, Any]
    missing: dict[int, str]  #: not delivered, nor to be found
    invalid: dict[int, str]  #: the committed bytes are no update of this round
    digests: dict[int, bytes]  #: of all of them, as the chain has them


@dataclass(frozen=True, slots=True)
class _Delivery:
    transaction: str
    blob: bytes | None
    locator: str


_NOTHING = _Delivery("", None, "")


def verify(
    membership: Membership,
    order: ReviewOrder,
    kind: Updates[Any],
    parcels: Parcels,
    own: TrainReply | None,
) -> Reviewed:
    """Check every commitment that is on chain as claim 4 says.

    Parameters
    ----------
    order : ReviewOrder
        What the server delivers of it, or says where to find.
    kind : Updates
        The task's.
    parcels : Parcels
        Opens what was sent, and fetches what was not.
    own : TrainReply, optional
        What this member committed to: needed for the clipping, whatever the server delivers.

    Raises
    ------
    ProtocolError
        The order's lists do not run in parallel.
    """
    deliveries = _deliveries(order)
    reviewed = Reviewed({}, {}, {}, {})
    size = kind.most_bytes(membership.state.round)
    committed = membership.state.committed
    for event in _of_round(membership, order, Committed, committed):
        member = event.member
        reviewed.digests[member] = event.digest
        delivery = deliveries.get(member, _NOTHING)
        try:
            if own is not None and (member, own.digest) == (membership.index, event.digest):
                blob, digest = own.blob, membership.cache.digest(own.blob, own.digest)
            else:
                blob, digest = _fetch(membership, event, delivery, parcels, size), event.digest
        except (BlobError, CodecError, ProtocolError) as error:
            reviewed.missing[member] = str(error)
            continue
        chain = OnChain(event.round, member, event.digest, event.signed_at, event.timestamp)
        heading = membership.heading(member)
        expected = Expectation(member, heading, membership.state.opened_at)
        decode = partial(membership.cache.decode, kind, digest)
        try:
            reviewed.updates[member] = verify_update(chain, blob, digest, expected, decode)
        except CommitmentRejected as error:
            reviewed.invalid[member] = str(error)
    return reviewed


def rateable(
    membership: Membership,
    order: ReviewOrder,
    reviewed: Reviewed,
    kind: Updates[Any],
    base: Arrays,
) -> Rateable:
    """What this member's ballot is to rate: the others' updates, or what was proposed.

    A proposal is missing where it holds a delta that is; it is invalid where it holds one that
    is, or holds fewer members than the rules allow.

    Parameters
    ----------
    reviewed : Reviewed
    kind : Updates
        The task's.
    base : mapping of str to ndarray
        θ_g.
    """
    rules, state = membership.rules, membership.state
    limited = _limited(membership, reviewed, kind)
    if not rules.proposes:
        missing, invalid = dict(reviewed.missing), dict(reviewed.invalid)
        invalid.pop(membership.index, None)
        keys = {member: member for member in limited if member != membership.index}
        candidate = cache(lambda: kind.candidates(base))  # where others have made none of them
        record = membership.cache.record
        return Rateable(
            keys, lambda j: record(limited[j], lambda it: candidate()(it)), missing, invalid
        )
    sets = kind.sets(base, limited)

    def model(some: int) -> ArrayRecord:
        return to_array_record(kind.model(sets.step(members_in(some)), base))

    found = Rateable({}, model, {}, {})
    least = rules.least(state.committed.bit_count())
    keys = {}
    for event in _of_round(membership, order, Proposed, state.proposed):
        proposer, members = event.member, members_in(event.members)
        if proposer == membership.index and rules.rule != "referee":
            continue
        if lacking := reviewed.missing.keys() & members:
            found.missing[proposer] = f"it holds the delta of {sorted(lacking)}, which is missing"
        elif bad := {*members} - reviewed.updates.keys():
            found.invalid[proposer] = f"it holds the delta of {sorted(bad)}, which is none"
        elif len(members) < least:
            found.invalid[proposer] = f"it holds {len(members)} members; expected {least} at least"
        else:
            keys[proposer] = event.members
    return replace(found, keys=keys)


def proposable(
    membership: Membership, reviewed: Reviewed, kind: Updates[Any], base: Arrays
) -> Candidates:
    """Of what this member may propose: the deltas at hand of those who are no cheats."""
    limited = _limited(membership, reviewed, kind)
    cheats = membership.state.equivocators
    return kind.sets(base, {j: delta for j, delta in limited.items() if not cheats >> j & 1})


def _limited(membership: Membership, reviewed: Reviewed, kind: Updates[Any]) -> dict[int, Any]:
    """The round's updates as everybody clips them."""
    if membership.index in reviewed.missing:
        raise ProtocolError(
            "this node has forgotten its own delta, and nobody delivered it: without it the "
            "others cannot be clipped as everybody clips them, so it does not vote"
        )
    return membership.cache.limited(kind, reviewed.updates)


def _of_round(membership: Membership, order: ReviewOrder, kind: type[_E], members: int) -> list[_E]:
    """The round's events of a kind, of all that the member's own node says have said so.

    Mostly they are all in the one transaction that the server names, which the node was asked
    for along with the state; else they are looked for, from the block that the server names, which
    is checked.

    Raises
    ------
    NodeBehind
        The node does not show the events of those that it says have committed.
    """
    state, ledger = membership.state, membership.ledger

    def ours(events: Iterable[Event]) -> list[RoundEvent]:
        return [e for e in events if isinstance(e, RoundEvent) and e.round == state.round]

    def of_kind(events: Iterable[Event]) -> list[_E]:
        return [event for event in ours(events) if isinstance(event, kind)]

    def complete(events: Iterable[Event]) -> bool:
        opened = any(isinstance(event, Opened) for event in ours(events))
        return opened and bits(event.member for event in of_kind(events)) == members

    if len(relayed := {*order.transactions}) == 1:
        with suppress(TransactionUnknown):
            found = of_kind(ledger.events_of(*relayed))
            if bits(event.member for event in found) == members:
                return found
    from_block = order.opening_block
    events = ledger.events(from_block, membership.view.block)
    if complete(events):
        return of_kind(events)
    if not any(isinstance(event, Opened) for event in ours(events)):
        from_block = 0
    if complete(events := ledger.await_events(from_block, complete)):
        return of_kind(events)
    raise NodeBehind(
        f"the node shows not the opening of round {state.round} and all that is {kind.__name__} in "
        "it, and says that they were made: it lags; ask again"
    )


def _fetch(
    membership: Membership, event: Committed, delivery: _Delivery, parcels: Parcels, max_bytes: int
) -> bytes:
    """The bytes of a commitment, hashed: as delivered, else as the member's own store finds them.

    Bytes of another digest prove nothing about who committed: they are no delivery.
    """
    if delivery.blob is not None:
        try:
            return _delivered(membership, event, delivery, parcels, max_bytes)
        except (BlobError, CodecError, CommitmentRejected):
            if not parcels.shared:
                raise
    return parcels.unpack(event.digest, None, delivery.locator, max_bytes)


def _delivered(
    membership: Membership, event: Committed, delivery: _Delivery, parcels: Parcels, max_bytes: int
) -> bytes:
    _look_up(membership, event, delivery.transaction)
    blob = parcels.unpack(event.digest, delivery.blob, "", max_bytes)
    if (found := membership.cache.digest(blob, event.digest)) != event.digest:
        raise CommitmentRejected(
            f"expected bytes of digest {event.digest.hex()[:16]}…, as on chain; the server "
            f"delivered {found.hex()[:16]}…"
        )
    return blob


def _look_up(membership: Membership, event: Committed, transaction: str) -> None:
    """The transaction that was named holds this member's commitment.

    Where the node does not find what it has shown before, that is an error of the node's.
    """
    if transaction.lower() != event.transaction or not any(
        isinstance(found, Committed) and found.member == event.member
        for found in membership.ledger.events_of(transaction)
    ):
        raise CommitmentRejected(
            f"transaction {transaction} holds no commitment of member {event.member} "
            f"in contract {membership.ledger.domain.contract}"
        )


def _deliveries(order: ReviewOrder) -> dict[int, _Delivery]:
    """What the server delivers, by member; nothing where it names none."""
    count = len(order.members)
    blobs: Sequence[bytes | None] = order.blobs or [None] * count
    locators = order.locators or [""] * count
    if not count == len(order.transactions) == len(blobs) == len(locators):
        raise ProtocolError("expected the lists of a review to run in parallel")
    rows = zip(order.transactions, blobs, locators, strict=True)
    return {member: _Delivery(*row) for member, row in zip(order.members, rows, strict=True)}
