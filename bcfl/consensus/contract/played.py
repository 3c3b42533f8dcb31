"""A task that is settled optimistically, as whoever holds what was signed plays it.

A member plays the round that is open; an auditor, and a coordinator that comes back, all that
were settled. They ask, and are told, as by the contract of a task that is settled in full.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from typing import Any, Self

from eth_utils.crypto import keccak

from bcfl.chain.contract import Contract
from bcfl.chain.event import Event, Transaction
from bcfl.consensus.contract.bundle import Bundle, fault_of
from bcfl.consensus.contract.calldata import (
    Call,
    SentBallot,
    SentCommitment,
)
from bcfl.consensus.contract.events import Equivocated, MemberJoined, MemberLeft
from bcfl.consensus.contract.ledger import Ledger, View
from bcfl.consensus.contract.off_chain import OffChain
from bcfl.consensus.contract.play import Play, PlayConnection, PlayedReference
from bcfl.consensus.contract.settlement import (
    BallotShown,
    Begun,
    CommitmentShown,
    Settled,
    SettlementLedger,
)
from bcfl.consensus.spec.domain import (
    MAX_MEMBERS,
    SignedBallot,
    SignedCommitment,
    members_in,
)
from bcfl.consensus.spec.rules import LEAST_WINDOW_S
from bcfl.consensus.spec.settlement import Record
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
        address = chain.domain.contract
        self._play = Play(chain.now)
        self._reference = PlayedReference(
            chain.domain, chain.coordinator, members, genesis, chain.rules, *astuple(chain.terms)
        )
        self._play.contracts[address] = self._reference
        connection = PlayConnection(self._play, chain.domain.chain_id, chain.coordinator)
        super().__init__(connection, Contract(address, {}, {}), None, 0, "PeerConsensus")
        self.bundles: dict[int, Bundle] = {}
        self.records: dict[int, Record] = {}
        self.seeds: dict[int, bytes] = {}  #: by round: what decided between equals
        self._commitments: dict[int, SentCommitment] = {}
        self._ballots: dict[int, SentBallot] = {}
        self._forced = 0  # who is known to have come past the coordinator, as in a record
        self._opening: tuple[int, int, int] = 0, 0, 0  # round, whom it waits for, when it began
        self._snapshot: tuple[int, PlayedReference] | None = None
        self._settlements: set[str] = set()
        self._real: set[str] = set()  # transactions that are on the chain
        self._read_so_far = 0
        self._since = chain.deployed_at  # where the events begin that are still of interest
        self._pending: list[Event] = []
        self._due: list[Event] = []
        self._begun: Begun | None = None

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
        founders = [
            event.address
            for event in events
            if isinstance(event, MemberJoined) and event.transaction == founding
        ]
        begun = next((event.base for event in events if isinstance(event, Begun)), None)
        ledger = cls(chain, founders, begun or chain.standing().model, keep)
        ledger.deployed_at = chain.deployed_at
        ledger._found(founding, events[0].timestamp if events else 0)
        roots = {bundle.root(): bundle for _, bundle in bundles}
        ledger._follow(roots, rounds)
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
        ledger._reference.go_on_from(standing.round - 1, standing.members)
        ledger._play.clock = lambda: time
        ledger._begin(standing.model, shown.expected & standing.members, standing.time, "")
        ledger._bring(shown.open)
        ledger._since = shown.since
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
        known = [number for number in transactions if number in self._real]
        played = {number: Transaction(number, 0, 0) for number in transactions}
        return played | {
            number: receipt.transaction for number, receipt in self.chain.receipts_of(known).items()
        }

    def events(self, from_block: int = 0, at: int = 0) -> Sequence[Event]:
        """Every event, as if all were on the chain."""
        return super().events()

    def await_events(
        self, from_block: int, enough: Callable[[Sequence[Event]], bool]
    ) -> Sequence[Event]:
        """What was given is all that there is."""
        return self.events()

    def bundle(self) -> Bundle:
        """All that was signed in the round, as far as it counts, or has to be brought."""
        state = self.state()
        committed = members_in(state.committed)
        return Bundle(
            tuple(self._commitments[member] for member in committed),
            tuple(self._ballots[member] for member in committed if member in self._ballots),
        )

    def calls(self) -> Iterator[tuple[str, Call]]:
        """What was only played, by the numbers that its events have."""
        sender = self.coordinator
        for round_, bundle in self.bundles.items():
            for function in ("open_round", "select"):
                yield self._virtual(function, round_), Call(sender, function, round_)
            brought = Call(sender, "commit", round_, commitments=bundle.commitments)
            yield self._virtual("commit", round_), brought
            cast = Call(sender, "cast_ballots", round_, ballots=bundle.ballots)
            yield self._virtual("cast_ballots", round_), cast

    def _follow(self, roots: Mapping[bytes, Bundle], rounds: int | None) -> None:
        """Take in what the chain says that has not been taken in yet."""
        events = self.chain.events()
        for event in events[self._read_so_far :]:
            self._real.add(event.transaction)
            match event:
                case MemberJoined() | MemberLeft() | Equivocated():
                    self._pending.append(event)
                case Begun():
                    self._due, self._pending = [*self._due, *self._pending], []
                    self._begun = event
                case Settled() if event.round not in self.records:
                    if rounds is not None and event.round > rounds:
                        break
                    self._replay(event, roots.get(event.record.root))
                case Settled():
                    self._settlements.add(event.transaction)
                case _:
                    pass
        self._read_so_far = len(events)

    def _found(self, number: str, timestamp: int) -> None:
        """The deployment, as the play has it."""
        self._play.mine(timestamp, self.address, number)
        events = self.chain.events()
        self._read_so_far = sum(event.transaction == number for event in events)
        self._real.add(number)

    def _replay(self, event: Settled, bundle: Bundle | None) -> None:
        record, members = event.record, self.chain.members()
        fault = fault_of(bundle, record, self.chain.terms, self.domain, members)
        if fault or bundle is None:
            raise ProtocolError(f"round {record.round} was not settled as it was signed: {fault}")
        assert self._begun is not None
        number = "" if self._begun.transaction in self._settlements else self._begun.transaction
        self._begin(record.base, record.expected, record.opened_at, number)
        self._bring(bundle)
        self._play.seed = bundle.signed(record, self.domain, members).seed
        self.seeds[record.round] = self._play.seed
        void = not record.winners
        self._call("select", [], at=record.settled_at, number=event.transaction if void else None)
        if not void:
            self._call(
                "close_round",
                record.round,
                record.model,
                0,
                at=record.settled_at,
                number=event.transaction,
            )
        self._settlements.add(event.transaction)
        self._since = event.block
        self.bundles[record.round], self.records[record.round] = bundle, record

    def _begin(self, base: bytes, expected: int, opened_at: int, number: str) -> Transaction:
        self._apply(self._due)
        self._due = []
        round_ = self.state().round + 1
        self._commitments, self._ballots, self._forced = {}, {}, 0
        self._opening = round_, expected, opened_at
        number = number or self._virtual("open_round", round_)
        sent = self._call("open_round", base, expected, at=opened_at, number=number)
        self._snapshot = len(self._play.blocks), copy.deepcopy(self._reference)
        return sent

    def _bring(self, bundle: Bundle) -> None:
        """Play what was signed, at times at which the contract would have taken it."""
        round_, expected, opened_at = self._opening
        commitments, ballots = bundle.words()
        at = max([opened_at, *(one.timestamp for one in bundle.commitments)])
        if commitments:
            self._call("commit", round_, commitments, at=at)
        self._commitments = {
            one.member: one for one in bundle.commitments if one.member is not None
        }
        self._ballots = {one.member: one for one in bundle.ballots if one.member is not None}
        committed = self.state().committed
        if not ballots or committed.bit_count() < self.chain.terms.quorum:
            return
        if self.active() & ~committed:
            window = self.chain.terms.commit_window_s
            window = LEAST_WINDOW_S if not expected & ~committed else window
            at = max(at, opened_at + window + 1)
        self._call("cast_ballots", round_, ballots, at=at)

    def _hear(self) -> None:
        """Take in who has come past the coordinator; what was played is played anew with them."""
        round_, _, _ = self._opening
        forced, commitments, ballots = 0, dict(self._commitments), dict(self._ballots)
        for event in self.chain.events(self._since):
            match event:
                case CommitmentShown() if event.round == round_:
                    member = event.commitment.member or 0
                    forced |= 1 << member
                    commitments.setdefault(member, event.commitment)
                case BallotShown() if event.round == round_:
                    member = event.ballot.member or 0
                    forced |= 1 << member + MAX_MEMBERS
                    ballots.setdefault(member, event.ballot)
                case _:
                    pass
        if forced == self._forced:
            return
        self._forced = forced
        assert self._snapshot is not None
        blocks, reference = self._snapshot
        del self._play.blocks[blocks:]
        self._reference = copy.deepcopy(reference)
        self._play.contracts[self.address] = self._reference
        rows = [commitments[member] for member in sorted(commitments)]
        votes = [ballots[member] for member in sorted(ballots) if member in commitments]
        self._bring(Bundle(tuple(rows), tuple(votes)))

    def _apply(self, events: Sequence[Event]) -> None:
        for event in events:
            at, number = event.timestamp, event.transaction
            match event:
                case MemberJoined():
                    self._call("add_member", event.address, at=at, number=number)
                case MemberLeft():
                    self._call("remove_member", event.member, at=at, number=number)
                case Equivocated():
                    said = event.member, event.round, event.digest, event.other_digest
                    self._call("equivocated", *said, at=at, number=number)
                case _:
                    pass

    def _call(
        self, function: str, *arguments: Any, at: int | None = None, number: str | None = None
    ) -> Transaction:
        """Play a call; at a time other than now, where one is given."""
        clock = self._play.clock
        if at is not None:
            self._play.clock = lambda: at - 1
        try:
            return self._write(function, *arguments, number=number)
        finally:
            self._play.clock = clock

    def _write(self, function: str, *arguments: Any, **options: Any) -> Transaction:
        number = options.pop("number", None)
        self._play.number = number or self._virtual(function, self._opening[0])
        return super()._write(function, *arguments, **options)

    def _virtual(self, function: str, round_: int) -> str:
        """The number of what is on no chain: the same for whoever plays it."""
        return "0x" + keccak(f"{self.address}/{round_}/{function}".encode()).hex()
