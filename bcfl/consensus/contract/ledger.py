"""One task's contract, the one of its rule in ``contracts``, to write to and to read.

What each call may do, when and for whom is the contract's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from bcfl.chain.connection import Connection
from bcfl.chain.contract import Log
from bcfl.chain.event import Event, Transaction
from bcfl.consensus.contract.batches import pack_ballots, pack_commitments, transactions_of
from bcfl.consensus.contract.events import BallotCast, Proposed, RoundEvent
from bcfl.consensus.contract.task_ledger import TaskLedger
from bcfl.consensus.contract.words import (
    CONTRACTS,
    EVENTS,
    events_in,
    evidence,
    named,
    one_round,
    proof,
    relayed,
)
from bcfl.consensus.spec.domain import (
    Ballot,
    Phase,
    RoundState,
    SignedBallot,
    SignedCommitment,
    SignedProposal,
    SignedSeal,
)
from bcfl.consensus.spec.referee import medians
from bcfl.consensus.spec.rules import Rule
from bcfl.core.errors import ContractReverted, LedgerError, ReplyMalformed, expect
from bcfl.keys.accounts import checksummed

#: What a ballot needs that selects as well, see ``peer_ballots.vy``: a node's estimate is of a
#: block in which it does not yet, if that is the block of the last commitment.
_SELECTION_GAS: Final = 140_000
_NO_SALT: Final = bytes(32)
#: Where members propose: a decision among more, whatever they say, is beyond a transaction's gas.
MOST_PROPOSERS: Final = 90


@dataclass(frozen=True, slots=True)
class View:
    """What a task's contract says at one block; see :meth:`Ledger.look`."""

    block: int  #: its number
    time: int  #: its timestamp, seconds
    state: RoundState
    members: tuple[str, ...]
    active: int  #: bit field


class Ledger(TaskLedger):
    """One task's contract, seen from one account. Made by :meth:`deploy` or :meth:`attach`."""

    contracts = tuple(CONTRACTS.values())
    names_of_terms = (*TaskLedger.names_of_terms, "sealed_ballots", "stake")
    _asked: str = ""  # of which transaction ``_answer`` has the events
    _answer: tuple[Event, ...] = ()

    @classmethod
    def deploy(
        cls,
        connection: Connection,
        wait_until: Callable[[int], None] | None,
        *,
        members: Sequence[str],
        genesis: bytes,
        rules: bytes,
        kappa_ppm: int,
        quorum: int,
        commit_window_s: int,
        ballot_window_s: int,
        sealed: bool,
        stake: int,
        rule: Rule = "borda",
    ) -> Self:
        """Begin a task: deploy its contract, whose coordinator is the connection's account.

        Parameters
        ----------
        connection : Connection
            With a signer.
        wait_until : callable
            How time passes on this chain: its ``wait_until``.
        members : sequence of str
            Addresses, by member index; none where there is a stake.
        genesis : bytes
            Digest of the first θ_g.
        rules : bytes
            ``Rules.digest``.
        kappa_ppm : int
            κ in parts per million.
        quorum : int
            The fewest commitments, and ballots, of a round that counts.
        commit_window_s, ballot_window_s : int
            For how long each is taken, seconds.
        sealed : bool
            Whether ballots are sealed before they are shown.
        stake : int
            Wei that a member deposits; 0 where the coordinator says who is a member.
        rule : {"borda", "coalition", "referee"}
            Which contract.

        Raises
        ------
        ConfigurationError
            These are more members than the rule can decide among.
        """
        _expect_room(rule, len(members))
        return cls._deploy(
            connection,
            wait_until,
            CONTRACTS[rule],
            [checksummed(member) for member in members],
            genesis,
            rules,
            kappa_ppm,
            quorum,
            commit_window_s,
            ballot_window_s,
            sealed,
            stake,
        )

    @property
    def rule(self) -> Rule:
        """The contract's."""
        return next(rule for rule, name in CONTRACTS.items() if name == self.name)

    @property
    def stake(self) -> int:
        """What a member deposits, wei; 0 where the coordinator says who is a member."""
        return int(self._read("stake"))

    def active(self) -> int:
        """Bit field of the members that are registered now."""
        return int(self._read("active"))

    def state(self) -> RoundState:
        """The current round, in one call."""
        return _state(self._read("state"))

    def look(self, block: int = 0, block_hash: str = "", transactions: Sequence[str] = ()) -> View:
        """State and members of the newest block, mostly in one request.

        Parameters
        ----------
        block, block_hash, transactions
            As ``Connection.views``: what the node is to have, and will be asked for next.

        Raises
        ------
        NodeBehind
            The node has not got the block in time, or has another in its place.
        """
        names = ["state", "members", "active"]
        # which stay what they are
        names += [name for name in ("coordinator", "rules") if name not in self.__dict__]
        head, (state, members, active, *rest) = self._connection.views(
            self._contract, names, block, block_hash, transactions
        )
        self.__dict__.update(zip(names[3:], rest, strict=True))
        return View(head.number, head.timestamp, _state(state), tuple(members), active)

    def add_member(self, address: str) -> Transaction:
        """Coordinator, where there is no stake: a member from the next round on."""
        _expect_room(self.rule, self.active().bit_count() + 1)
        return self._write("add_member", checksummed(address))

    def remove_member(self, member: int) -> Transaction:
        """Coordinator, where there is no stake, between rounds."""
        return self._write("remove_member", member)

    def join(self) -> Transaction:
        """Where there is a stake: deposit it and become a member, from the next round on."""
        _expect_room(self.rule, self.active().bit_count() + 1)
        return self._write("join", value=self.stake)

    def leave(self) -> Transaction:
        """Where there is a stake: end the membership; :meth:`withdraw` gives the stake back."""
        return self._write("leave")

    def withdraw(self) -> Transaction:
        """Fetch what the contract owes this account."""
        return self._write("withdraw")

    def open_round(self, base: bytes, expected: int) -> Transaction:
        """Coordinator: announce the model to train from, and whom to wait for (a bit field)."""
        return self._write("open_round", base, expected)

    def commit(self, commitments: Sequence[SignedCommitment]) -> Transaction:
        """Relay: one transaction for all; who has committed already is passed over.

        So is what is wrong, with the event ``Refused``.
        """
        rows = [
            (one.member, one.commitment.timestamp, one.commitment.digest, *relayed(one.signature))
            for one in commitments
        ]
        round_ = one_round(x.commitment.round for x in commitments)
        return self._write("commit", round_, *pack_commitments(rows))

    def commit_direct(self, commitment: SignedCommitment) -> Transaction:
        """From this ledger's own account, which pays."""
        said = commitment.commitment
        return self._write("commit_direct", said.round, said.digest, said.timestamp)

    def propose(self, proposals: Sequence[SignedProposal]) -> Transaction:
        """Relay: one transaction for all; who has proposed already is passed over.

        So is what is wrong, with the event ``Refused``.
        """
        rows = [(one.member, one.proposal.members, *relayed(one.signature)) for one in proposals]
        return self._write("propose", one_round(x.proposal.round for x in proposals), rows)

    def propose_direct(self, proposal: SignedProposal) -> Transaction:
        """From this ledger's own account, which pays."""
        said = proposal.proposal
        return self._write("propose_direct", said.round, said.members)

    def seal(self, seals: Sequence[SignedSeal]) -> Transaction:
        """Relay: one transaction for all; who has sealed already is passed over.

        So is what is wrong, with the event ``Refused``.
        """
        rows = [(one.member, one.seal, *relayed(one.signature)) for one in seals]
        return self._write("seal", one_round(one.round for one in seals), rows)

    def seal_direct(self, seal: SignedSeal) -> Transaction:
        """From this ledger's own account, which pays."""
        return self._write("seal_direct", seal.round, seal.seal)

    def cast_ballots(self, ballots: Sequence[SignedBallot]) -> Transaction:
        """Relay, in as few transactions as hold them; the last one is returned.

        Broken off in between, it can be called again: who has voted already is passed over. So
        is what is wrong, with the event ``Refused``.
        """
        round_ = one_round(one.ballot.round for one in ballots)
        rows = [(one.member, *proof(one), one.ballot.encode()) for one in ballots]
        spare = {"spare_gas": _SELECTION_GAS} if self.rule == "borda" else {}
        return [
            self._write("cast_ballots", round_, *pack_ballots(each), **spare)
            for each in transactions_of(rows)
        ][-1]

    def cast_ballot_direct(self, ballot: SignedBallot) -> Transaction:
        """From this ledger's own account, which pays."""
        said, salt = ballot.ballot, ballot.salt or _NO_SALT
        return self._write("cast_ballot_direct", said.round, said.encode(), salt)

    def select(self) -> Transaction:
        """Let the contract choose the winners, or void the round. Anyone may call it.

        Where members propose, the contract asks for all proposals and ballots, and a referee for
        the medians; else the last ballot has mostly done it.
        """
        if self.rule == "borda":
            return self._write("select")
        events = self._of_round()
        proposals = {e.member: e.members for e in events if isinstance(e, Proposed)}
        cast = {e.member: e.entries for e in events if isinstance(e, BallotCast)}
        shown: list[Any] = [list(proposals.items()), list(cast.items())]
        if self.rule == "referee":
            ballots = {i: Ballot.decode(1, entries) for i, entries in cast.items()}
            found = medians(ballots, proposals.keys())
            shown.append([found[member] for member in proposals])
        return self._write("select", *shown)

    def close_round(self, round: int, model: bytes, expected: int = 0) -> Transaction:
        """Coordinator: the digest of the new θ_g.

        Where anybody is expected it opens the next round, as :meth:`open_round`.
        """
        chosen = self.state()

        def still() -> bool:
            now = self.state()
            decision = now.round, now.phase, now.winners
            return decision == (round, Phase.SELECTED, chosen.winners)

        return self._write("close_round", round, model, expected, still=still)

    def off_chain(self, members: Collection[int] = ()) -> bytes:
        """What these members are to be given beside deltas: all else is on the chain."""
        return b""

    def conclude(self) -> None:
        """After the last round. Here nothing is left to do."""

    def prove_equivocation(self, one: SignedCommitment, other: SignedCommitment) -> Transaction:
        """Show two commitments that one member signed for one round."""
        round_ = one_round(x.commitment.round for x in (one, other))
        if one.member != other.member:
            raise LedgerError("two members may commit to two deltas; that is no equivocation")
        pair = evidence(one), evidence(other)
        return self._write("prove_equivocation", one.member, round_, *pair)

    def events(self, from_block: int = 0, at: int = 0) -> Sequence[Event]:
        """Every event of this contract, in the chain's order; ``at`` as ``Connection.events``."""
        return self._said(self._logs(*EVENTS, from_block=from_block, at=at))

    def await_events(
        self, from_block: int, enough: Callable[[Sequence[Event]], bool]
    ) -> Sequence[Event]:
        """As :meth:`events`, asked again until they are ``enough``, or patience ends."""
        for _ in self._connection.tries():
            if enough(found := self.events(from_block)):
                break
        return found

    def events_of(self, transaction: str) -> Sequence[Event]:
        """The events of this contract in one mined transaction, looked up by its number.

        Relayed commitments share a transaction: asked for the same one again, it is not
        fetched again.
        """
        if self._asked != transaction:
            logs = self._connection.events_of(self._contract, transaction, expected=True)
            self._asked, self._answer = transaction, tuple(self._said(logs))
        return self._answer

    def receipts(self, transactions: Sequence[str]) -> dict[str, Transaction]:
        """These transactions, which are known to be mined, by number; in few requests."""
        found = self._connection.receipts(transactions)
        return {
            number: (found.get(number) or self._connection.receipt(number)).transaction
            for number in transactions
        }

    def _write(self, function: str, *arguments: Any, **options: Any) -> Transaction:
        try:
            return super()._write(function, *arguments, **options)
        except ContractReverted as error:
            raise ContractReverted(named(error.reason), error.call) from error

    def _said(self, logs: Sequence[Log]) -> list[Event]:
        known = [log for log in logs if log.name in EVENTS]
        count = len(self.members()) if any(log.name == "Selected" for log in known) else 0
        return [event for log in known for event in events_in(log, count)]

    def _of_round(self) -> list[RoundEvent]:
        round_ = self.state().round
        return [e for e in self.events() if isinstance(e, RoundEvent) and e.round == round_]


def _expect_room(rule: Rule, members: int) -> None:
    words = f"at most {MOST_PROPOSERS} with rule={rule}, beyond which no transaction can decide"
    expect(rule == "borda" or members <= MOST_PROPOSERS, "members", words, members)


def _state(values: Sequence[Any]) -> RoundState:
    round_, phase, *rest = values
    try:
        return RoundState(round_, Phase(phase), *rest)
    except ValueError as error:
        raise ReplyMalformed(f"state: {error}") from error
