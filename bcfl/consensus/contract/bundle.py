"""All that was signed in a round, as every member is given it, and its root.

``contracts/settlement_court.vy`` reads the same words: what is good of them counts, in the order
of the members, and what is wrong is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from eth_utils.crypto import keccak

from bcfl.consensus.contract.calldata import SentBallot, SentCommitment
from bcfl.consensus.contract.words import relayed
from bcfl.consensus.spec.contract import Terms
from bcfl.consensus.spec.domain import (
    MAX_BALLOT_BYTES,
    MAX_MEMBERS,
    SIGNATURE_BYTES,
    Ballot,
    Commitment,
    SignedBallot,
    SignedCommitment,
    TypedDataDomain,
)
from bcfl.consensus.spec.messages import ballot_message, commitment_message
from bcfl.consensus.spec.scoring import abstains, expect_ballot
from bcfl.consensus.spec.settlement import Record, Signed, disagreement
from bcfl.core.errors import ProtocolError
from bcfl.keys.accounts import signed_by

_Sent = TypeVar("_Sent", SentCommitment, SentBallot)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A round's commitments and ballots, each in the order of their members."""

    commitments: tuple[SentCommitment, ...] = ()
    ballots: tuple[SentBallot, ...] = ()

    @classmethod
    def of(
        cls, commitments: Sequence[SignedCommitment], ballots: Sequence[SignedBallot] = ()
    ) -> Bundle:
        """What members have signed, in their order."""
        return cls(
            _in_order(
                SentCommitment(x.member, x.commitment.digest, x.commitment.timestamp, x.signature)
                for x in commitments
            ),
            _in_order(SentBallot(x.member, x.ballot.encode(), x.signature, b"") for x in ballots),
        )

    def beside(self, more: Bundle) -> Bundle:
        """With what ``more`` has of others: what somebody has said is not replaced."""
        return Bundle(
            _in_order([*self.commitments, *more.commitments]),
            _in_order([*self.ballots, *more.ballots]),
        )

    def by(self, members: int) -> Bundle:
        """What these have signed, as a bit field."""
        return Bundle(
            tuple(one for one in self.commitments if members >> (one.member or 0) & 1),
            tuple(one for one in self.ballots if members >> (one.member or 0) & 1),
        )

    def words(self) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """As the contract takes them."""
        commitments = [
            (one.member, one.timestamp, one.digest, *relayed(one.signature))
            for one in self.commitments
        ]
        ballots = [(one.member, *relayed(one.signature), one.entries) for one in self.ballots]
        return commitments, ballots

    def root(self) -> bytes:
        """A chain of hashes, of every commitment and then of every ballot."""
        head = bytes(32)
        commitments, ballots = self.words()
        for member, timestamp, digest, r, vs in commitments:
            head = _linked(head, member, timestamp, digest, r, vs)
        for member, r, vs, entries in ballots:
            head = _linked(head, member, r, vs, keccak(entries))
        return head

    def signed(self, record: Record, domain: TypedDataDomain, accounts: Sequence[str]) -> Signed:
        """What counts of it in that round.

        Parameters
        ----------
        accounts : sequence of str
            Whose each index was.
        """
        digests = dict(self._good_commitments(record, domain, accounts))
        ballots: dict[int, Ballot] = {}
        abstained: set[int] = set()
        brought: set[int] = set()
        seed = bytes(32)
        for member, entries in self._good_ballots(record, domain, accounts, digests.keys()):
            brought.add(member)
            others = digests.keys() - {member}
            try:
                ballot = Ballot.decode(record.round, entries)
                expect_ballot(ballot, others, record.members.bit_count())
            except ProtocolError:
                continue
            if abstains(ballot, others):
                abstained.add(member)
            else:
                ballots[member] = ballot
            seed = _linked(seed, member, keccak(entries))
        return Signed(digests, ballots, abstained, brought, seed)

    def _good_commitments(
        self, record: Record, domain: TypedDataDomain, accounts: Sequence[str]
    ) -> Iterator[tuple[int, bytes]]:
        last = -1
        for one in self.commitments:
            member = -1 if one.member is None else one.member
            inside = record.opened_at <= one.timestamp <= record.settled_at
            if member <= last or not record.members >> member & 1 or not inside:
                continue
            said = Commitment(record.round, record.base, one.digest, one.timestamp)
            if signed_by(commitment_message(domain, said), one.signature, accounts[member]):
                last = member
                yield member, one.digest

    def _good_ballots(
        self, record: Record, domain: TypedDataDomain, accounts: Sequence[str], committed: Any
    ) -> Iterator[tuple[int, bytes]]:
        last = -1
        for one in self.ballots:
            member = -1 if one.member is None else one.member
            if member <= last or member not in committed:
                continue
            message = ballot_message(domain, Ballot(record.round, ()))
            message = {**message, "message": {"round": record.round, "entries": one.entries}}
            if signed_by(message, one.signature, accounts[member]):
                last = member
                yield member, one.entries

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "commitments": [
                [one.member, one.timestamp, one.digest.hex(), one.signature.hex()]
                for one in self.commitments
            ],
            "ballots": [
                [one.member, one.entries.hex(), one.signature.hex()] for one in self.ballots
            ],
        }

    @classmethod
    def from_json(cls, values: Any) -> Bundle:
        """Invert :meth:`to_json`.

        Raises
        ------
        ProtocolError
            It is none, or more than the contract takes.
        """
        try:
            found = cls(
                tuple(
                    SentCommitment(
                        _number(member, MAX_MEMBERS),
                        _bytes(digest, 32),
                        _number(timestamp, 2**64),
                        _bytes(signature, SIGNATURE_BYTES),
                    )
                    for member, timestamp, digest, signature in values["commitments"]
                ),
                tuple(
                    SentBallot(
                        _number(member, MAX_MEMBERS),
                        bytes.fromhex(entries),
                        _bytes(signature, SIGNATURE_BYTES),
                        b"",
                    )
                    for member, entries, signature in values["ballots"]
                ),
            )
            most = max(len(found.commitments), len(found.ballots))
            longest = max((len(one.entries) for one in found.ballots), default=0)
            if most > MAX_MEMBERS or longest > MAX_BALLOT_BYTES:
                raise ValueError(f"{most} entries, of up to {longest} bytes")
            return found
        except (TypeError, ValueError, KeyError) as error:
            raise ProtocolError(f"expected what was signed in a round; found {error!r}") from error


def fault_of(
    bundle: Bundle | None,
    record: Record,
    terms: Terms,
    domain: TypedDataDomain,
    accounts: Sequence[str],
) -> str:
    """Why a settled round is to be challenged; empty where it need not be.

    Parameters
    ----------
    bundle : Bundle, optional
        All that was signed in it, as whoever asks was given it.
    """
    if bundle is None:
        return "nobody has shown what was signed in it"
    if (root := bundle.root()) != record.root:
        return (
            f"what was signed has the root {root.hex()[:16]}…, and {record.root.hex()[:16]}… "
            "was settled"
        )
    return disagreement(record, terms, bundle.signed(record, domain, accounts))


def _in_order(signed: Iterable[_Sent]) -> tuple[_Sent, ...]:
    """By member; of one that speaks twice, what it said first."""
    each: dict[int, _Sent] = {}
    for one in signed:
        each.setdefault(one.member or 0, one)
    return tuple(each[member] for member in sorted(each))


def _linked(head: bytes, *words: int | bytes) -> bytes:
    each = (word if isinstance(word, bytes) else word.to_bytes(32, "big") for word in words)
    return bytes(keccak(head + b"".join(each)))


def _number(value: int, end: int) -> int:
    if type(value) is not int or not 0 <= value < end:
        raise ValueError(f"{value!r:.20}")
    return value


def _bytes(value: str, length: int) -> bytes:
    if len(found := bytes.fromhex(value)) != length:
        raise ValueError(f"{len(found)} bytes")
    return found
