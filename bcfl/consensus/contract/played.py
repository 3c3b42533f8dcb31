"""A task that is settled optimistically, as whoever holds what was signed plays it.

A member plays the round that is open; an auditor, and a coordinator that comes back, all that
were settled. They ask, and are told, as by the contract of a task that is settled in full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Self

from bcfl.chain.contract import Log
from bcfl.chain.event import Event, Transaction
from bcfl.consensus.contract.bundle import Bundle, fault_of
from bcfl.consensus.contract.calldata import Call
from bcfl.consensus.contract.events import Equivocated, MemberJoined, MemberLeft
from bcfl.consensus.contract.ledger import Ledger, View
from bcfl.consensus.contract.off_chain import OffChain
from bcfl.consensus.contract.played_round import PlayedRound
from bcfl.consensus.contract.settlement import (
    BallotShown,
    Begun,
    CommitmentShown,
    Settled,
    SettlementLedger,
)
from bcfl.consensus.spec.domain import MAX_MEMBERS, SignedBallot, SignedCommitment, members_in
from bcfl.core.errors import ProtocolError


class PlayedLedger(Ledger):
    """What was signed, played. Made by :meth:`find` or :meth:`of_member`.

    Parameters
    ----------
    chain : SettlementLedger
    members : sequence of str
        The founders, by index.
    genesis : bytes
        Digest of the first θ_g.
    keep : callable
        Told the bundle of every round, before it is settled.
    """

    def __init__(
        self,
        chain: SettlementLedger,
        members: Sequence[str],
        genesis: bytes,
        keep: Callable[[int, Bundle], None] = lambda round_, bundle: None,
    ) -> None:
        self.chain, self._keep = chain, keep
        self._round = PlayedRound(chain, members, genesis)
        super().__init__(self._round.connection, self._round.contract, None, 0, "PeerConsensus")
        self.bundles: dict[int, Bundle] = {}
        self.settled: dict[int, Settled] = {}
        self.seeds: dict[int, bytes] = {}  #: by round: what decided between equals
        self._forced = 0  # who is known to have come past the coordinator, as in a record
        self._since = chain.deployed_at  # where the events begin that are still of interest
        self._read_so_far = 0
        self._pending: list[Event] = []  # who has come or gone since a round began
        self._begun = ""  # the transaction that did nothing but begin the round, if one did

    @classmethod
    def find(
        cls,
        chain: SettlementLedger,
        bundles: Iterable[tuple[int, Bundle]],
        keep: Callable[[int, Bundle], None] = lambda round_, bundle: None,
        rounds: int | None = None,
    ) -> Self:
        """The task as the chain has it, and what was signed in it.

        Parameters
        ----------
        bundles : iterable of (int, Bundle)
            By round; of several for one, that counts whose root was settled.
        rounds : int, optional
            So many rounds alone, and not all that were settled.

        Raises
        ------
        ProtocolError
            What was signed in a round is not there, or something else follows from it.
        """
        events = chain.events()
        founding = events[0].transaction if events else ""
        joined = [event for event in events if isinstance(event, MemberJoined)]
        founders = [event.address for event in joined if event.transaction == founding]
        begun = next((event.base for event in events if isinstance(event, Begun)), None)
        ledger = cls(chain, founders, begun or chain.standing().model, keep)
        ledger.deployed_at = chain.deployed_at
        began = events[0].timestamp if events else 0
        ledger._round.play.mine(began, ledger.address, founding)
        ledger._read_so_far = len(founders)
        ledger._follow({bundle.root(): bundle for _, bundle in bundles}, rounds)
        return ledger

    @classmethod
    def of_member(
        cls, chain: SettlementLedger, shown: OffChain, block: int, block_hash: str
    ) -> tuple[Self, View]:
        """The round that is open, as a member's own node and what it was given tell of it.

        Raises
        ------
        ProtocolError
            No round is open, or the chain has not got what it was given.
        """
        number, time, standing, members = chain.look(block, block_hash)
        if not standing.open:
            raise ProtocolError("the contract has no open round")
        ledger = cls(chain, members, standing.model)
        ledger._round.go_on_from(standing.round - 1, standing.members)
        ledger._round.play.clock = lambda: time
        ledger._begin(standing.model, shown.expected & standing.members, standing.time)
        ledger._since = shown.since
        ledger._round.bring(shown.open)
        if standing.forced:
            ledger._hear()
        if unheard := standing.forced & ~ledger._forced:
            raise ProtocolError(
                f"the server says that round {standing.round} can be read from block {shown.since} "
                f"on; nothing is there of {members_in(unheard)} (from {MAX_MEMBERS} on: ballots)"
            )
        return ledger, View(number, time, ledger.state(), members, standing.members)

    @property
    def address(self) -> str:
        """The contract's, checksummed."""
        return self.chain.address

    def now(self) -> int:
        """The newest block's timestamp, seconds."""
        return self.chain.now()

    def wait_until(self, timestamp: int) -> None:
        """See ``Ledger``; and hear who has come past the coordinator."""
        self.chain.wait_until(timestamp)
        self._hear()

    def anchor(self) -> tuple[int, str]:
        """Number and hash of the newest block."""
        return self.chain.anchor()

    def has_block(self, number: int, block_hash: str) -> bool:
        """Whether this block is on the chain still."""
        return self.chain.has_block(number, block_hash)

    def look(self, block: int = 0, block_hash: str = "", transactions: Sequence[str] = ()) -> View:
        """See ``Ledger``."""
        number, time, _, _ = self.chain.look(block, block_hash)
        return View(number, time, self.state(), self.members(), self.active())

    def commit_direct(self, commitment: SignedCommitment) -> Transaction:
        """Bring it past the coordinator."""
        return self.chain.show_commitment(commitment)

    def cast_ballot_direct(self, ballot: SignedBallot) -> Transaction:
        """Bring it past the coordinator."""
        return self.chain.show_ballot(ballot)

    def receipts(self, transactions: Sequence[str]) -> dict[str, Transaction]:
        """What was only played cost nothing."""
        played = {number: Transaction(number, 0, 0) for number in transactions}
        known = [number for number in transactions if number not in self._round.unmined]
        return played | {
            number: receipt.transaction for number, receipt in self.chain.receipts_of(known).items()
        }

    def events_of(self, transaction: str) -> Sequence[Event]:
        """Of a round's calls of one kind, which have one number: as they were played last."""
        self._asked = ""
        return super().events_of(transaction)

    def await_events(
        self, from_block: int, enough: Callable[[Sequence[Event]], bool]
    ) -> Sequence[Event]:
        """What was given is all that there is."""
        return self.events()

    def bundle(self) -> Bundle:
        """All that was signed in the round, as far as it counts, or has to be brought."""
        return self._round.signed.by(self.state().committed)

    def calls(self) -> Iterator[tuple[str, Call]]:
        """What was only played, by the numbers that its events have."""
        sender = self.coordinator
        for round_, bundle in self.bundles.items():
            for function in ("open_round", "select"):
                yield self._round.number(function, round_), Call(sender, function, round_)
            brought = Call(sender, "commit", round_, commitments=bundle.commitments)
            yield self._round.number("commit", round_), brought
            cast = Call(sender, "cast_ballots", round_, ballots=bundle.ballots)
            yield self._round.number("cast_ballots", round_), cast

    def _logs(self, *names: str, from_block: int = 0, at: int = 0) -> Sequence[Log]:
        return self._connection.events(self._contract, names)  # whose blocks are not the chain's

    def _follow(self, roots: Mapping[bytes, Bundle], rounds: int | None = None) -> None:
        """Take in what the chain says that has not been taken in yet, between rounds."""
        events = self.chain.events()
        for event in events[self._read_so_far :]:
            match event:
                case MemberJoined() | MemberLeft() | Equivocated():
                    self._pending.append(event)
                case Begun():
                    self._apply_pending()
                    before = self.settled.get(event.round - 1)
                    alone = before is None or before.transaction != event.transaction
                    self._begun = event.transaction if alone else ""
                case Settled() if rounds is not None and event.round > rounds:
                    break
                case Settled() if event.round not in self.settled:
                    self._replay(event, roots.get(event.record.root))
                case _:
                    pass
        self._read_so_far = len(events)

    def _replay(self, event: Settled, bundle: Bundle | None) -> None:
        record, members = event.record, self.chain.members()
        fault = fault_of(bundle, record, self.chain.terms, self.domain, members)
        if fault or bundle is None:
            raise ProtocolError(f"round {record.round} was not settled as it was signed: {fault}")
        self._begin(record.base, record.expected, record.opened_at)
        self._round.bring(bundle, until=record.settled_at)
        self._round.play.seed = bundle.signed(record, self.domain, members).seed
        at, number = record.settled_at, event.transaction
        self._round.call("select", at=at, number="" if record.winners else number)
        if record.winners:
            self._round.call("close_round", record.round, record.model, 0, at=at, number=number)
        self._note(event, bundle)

    def _note(self, event: Settled, bundle: Bundle) -> None:
        self.bundles[event.round], self.settled[event.round] = bundle, event
        self.seeds[event.round] = self._round.play.seed
        self._since = event.block

    def _begin(self, base: bytes, expected: int, at: int) -> Transaction:
        self._forced = 0
        return self._round.begin(base, expected, at, self._begun)

    def _hear(self) -> None:
        """Take in who has come past the coordinator."""
        round_, forced, shown = self._round.opening.round, 0, Bundle()
        for event in self.chain.events(self._since):
            match event:
                case CommitmentShown() if event.round == round_:
                    forced |= 1 << (event.commitment.member or 0)
                    shown = shown.beside(Bundle((event.commitment,)))
                case BallotShown() if event.round == round_:
                    forced |= 1 << (event.ballot.member or 0) + MAX_MEMBERS
                    shown = shown.beside(Bundle((), (event.ballot,)))
                case _:
                    pass
        if forced != self._forced:
            self._forced = forced
            self._round.bring(self._round.signed.beside(shown))

    def _apply_pending(self) -> None:
        for event in self._pending:
            at, number = event.timestamp, event.transaction
            match event:
                case MemberJoined():
                    self._round.call("add_member", event.address, at=at, number=number)
                case MemberLeft():
                    self._round.call("remove_member", event.member, at=at, number=number)
                case Equivocated():
                    said = event.member, event.round, event.digest, event.other_digest
                    self._round.call("equivocated", *said, at=at, number=number)
                case _:
                    pass
        self._pending = []
