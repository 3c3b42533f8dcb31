"""``contracts/PeerSettlement.vy``: what a coordinator says of its rounds, and who doubts it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import Any, Final, Self

from bcfl.chain.connection import Connection
from bcfl.chain.contract import Log
from bcfl.chain.event import Event, Transaction
from bcfl.chain.node import Receipt
from bcfl.consensus.contract.bundle import Bundle
from bcfl.consensus.contract.calldata import SETTLEMENT, SentBallot, SentCommitment, expanded
from bcfl.consensus.contract.events import RoundEvent
from bcfl.consensus.contract.task_ledger import TaskLedger
from bcfl.consensus.contract.words import event_of, evidence, relayed
from bcfl.consensus.spec.domain import SignedBallot, SignedCommitment
from bcfl.consensus.spec.rules import Rules
from bcfl.consensus.spec.settlement import Record
from bcfl.keys.accounts import checksummed


@dataclass(frozen=True, slots=True)
class Begun(RoundEvent):
    """A round has begun, or has begun anew."""

    base: bytes
    members: int


@dataclass(frozen=True, slots=True)
class CommitmentShown(RoundEvent):
    """A commitment came past the coordinator."""

    commitment: SentCommitment


@dataclass(frozen=True, slots=True)
class BallotShown(RoundEvent):
    """A ballot came past the coordinator."""

    ballot: SentBallot


@dataclass(frozen=True, slots=True)
class Settled(RoundEvent):
    """The coordinator has said what came of a round."""

    record: Record


@dataclass(frozen=True, slots=True)
class Challenged(RoundEvent):
    """Somebody doubts it."""

    challenger: str
    deadline: int  #: for the answer, seconds


@dataclass(frozen=True, slots=True)
class Upheld(RoundEvent):
    """All that was signed is on chain, and it was right."""

    cost: int  #: wei


@dataclass(frozen=True, slots=True)
class Convicted(RoundEvent):
    """It was wrong, or nobody could show what was signed: this round and all after it are void."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the contract says of itself. Sets of members are bit fields."""

    round: int
    open: bool
    model: bytes  #: digest of θ_g
    members: int  #: of the round that is open
    forced: int  #: who came past the coordinator in it, as in a ``Record``
    time: int  #: when it was opened; else, when the last one was settled
    equivocators: int
    void_from: int  #: the first round that counts for nothing; 0 where all do
    deposited: bool
    challenges: int  #: that wait for an answer


_NAMES: Final = (
    "MemberJoined",
    "MemberLeft",
    "Equivocated",
    "Begun",
    "CommitmentShown",
    "BallotShown",
    "Settled",
    "Challenged",
    "Upheld",
    "Convicted",
)


class SettlementLedger(TaskLedger):
    """One task's contract, seen from one account. Made by :meth:`deploy` or :meth:`attach`."""

    contracts = (SETTLEMENT,)

    @classmethod
    def deploy(
        cls,
        connection: Connection,
        wait_until: Callable[[int], None] | None,
        members: Sequence[str],
        genesis: bytes,
        rules: Rules,
    ) -> Self:
        """Begin a task, with the deposit that the rules say."""
        return cls._deploy(
            connection,
            wait_until,
            SETTLEMENT,
            [checksummed(member) for member in members],
            genesis,
            rules.digest(),
            rules.kappa_ppm,
            rules.quorum,
            rules.commit_window_s,
            rules.ballot_window_s,
            rules.challenge_window_s,
            rules.bond_wei,
            value=rules.deposit_wei,
        )

    @cached_property
    def challenge_window_s(self) -> int:
        """For how long a round can be challenged, and a challenge be answered."""
        return int(self._read("challenge_window_s"))

    @cached_property
    def bond(self) -> int:
        """What a challenger puts down, wei."""
        return int(self._read("bond"))

    def standing(self) -> Standing:
        """Where the task stands."""
        return Standing(*self._read("standing"))

    def look(
        self, block: int = 0, block_hash: str = ""
    ) -> tuple[int, int, Standing, tuple[str, ...]]:
        """Number and time of the newest block, and standing and members at it."""
        names = ["standing", "members"]
        head, (standing, members) = self._connection.views(self._contract, names, block, block_hash)
        return head.number, head.timestamp, Standing(*standing), tuple(members)

    def open_round(self, base: bytes) -> Transaction:
        """Coordinator: begin a round, or the one that is open anew."""
        value = 0 if self.standing().deposited else int(self._read("deposit"))
        return self._write("open_round", base, value=value)

    def pause(self) -> Transaction:
        """Coordinator: no round is open, so that members can come and go."""
        return self._write("pause")

    def settle(self, said: Record, due: int) -> Transaction:
        """Coordinator: end the round that is open, and begin the next.

        Parameters
        ----------
        said : Record
            The contract takes it only where the round began when it says.
        due : int
            From when on what was signed ends the round, seconds.
        """
        words = said.round, said.root, said.winners, said.model, said.forced, said.expected

        def still() -> bool:  # what was signed before the round began would not count
            now = self.standing()
            return (now.round, now.time) == (said.round, said.opened_at)

        return self._write("settle", *words, said.opened_at, due, still=still)

    def show_commitment(self, signed: SignedCommitment) -> Transaction:
        """Bring a commitment past the coordinator."""
        said = signed.commitment
        words = (signed.member, said.timestamp, said.digest, *relayed(signed.signature))
        return self._write("show_commitment", said.round, words)

    def show_ballot(self, signed: SignedBallot) -> Transaction:
        """Bring a ballot past the coordinator."""
        words = signed.member, *relayed(signed.signature), signed.ballot.encode()
        return self._write("show_ballot", signed.ballot.round, *words)

    def challenge(self, record: Record) -> Transaction:
        """Doubt a round: pays the bond."""
        return self._write("challenge", astuple(record), value=self.bond)

    def answer(self, record: Record, bundle: Bundle) -> Transaction:
        """Bring all that was signed in a round."""
        return self._write("answer", astuple(record), *bundle.words())

    def convict(self, round: int) -> Transaction:
        """A challenge was not answered in time."""
        return self._write("convict", round)

    def take_back(self, round: int) -> Transaction:
        """Whoever challenged a round that became void with one before it: owe the bond again."""
        return self._write("take_back", round)

    def release(self) -> Transaction:
        """Coordinator: have the deposit back, once all rounds are final."""
        self._write("release")
        return self.withdraw()

    def withdraw(self) -> Transaction:
        """Fetch what the contract owes this account: bonds, gas of answers, the deposit."""
        return self._write("withdraw")

    def add_member(self, address: str) -> Transaction:
        """Coordinator, while no round is open."""
        return self._write("add_member", checksummed(address))

    def remove_member(self, member: int) -> Transaction:
        """Coordinator, while no round is open."""
        return self._write("remove_member", member)

    def prove_equivocation(self, one: SignedCommitment, other: SignedCommitment) -> Transaction:
        """Show two commitments that one member signed for one round."""
        pair = evidence(one), evidence(other)
        return self._write("prove_equivocation", one.member, one.commitment.round, *pair)

    def events(self, from_block: int = 0, at: int = 0) -> Sequence[Event]:
        """Every event of this contract, in the chain's order."""
        return [_event(log) for log in self._logs(*_NAMES, from_block=from_block, at=at)]

    def receipts_of(self, transactions: Sequence[str]) -> dict[str, Receipt]:
        """These transactions, by number."""
        return self._connection.receipts(transactions)

    def settled(self, from_block: int = 0) -> Iterator[Settled]:
        """Every round that was settled, from a block on."""
        return (event for event in self.events(from_block) if isinstance(event, Settled))


def _event(log: Log) -> Event:
    at = log.transaction, log.block, log.log_index, log.timestamp
    values: dict[str, Any] = dict(log.arguments)
    match log.name:
        case "Settled":
            record = Record(**values, settled_at=log.timestamp)
            return Settled(*at, record.round, record)
        case "CommitmentShown":
            signature = expanded(values["r"], values["vs"])
            shown = SentCommitment(
                values["member"], values["digest"], values["timestamp"], signature
            )
            return CommitmentShown(*at, values["round"], shown)
        case "BallotShown":
            signature = expanded(values["r"], values["vs"])
            ballot = SentBallot(values["member"], values["entries"], signature, b"")
            return BallotShown(*at, values["round"], ballot)
        case "Begun" | "Challenged" | "Upheld" | "Convicted":
            kinds = {each.__name__: each for each in (Begun, Challenged, Upheld, Convicted)}
            event: Event = kinds[log.name](*at, **values)
            return event
    return event_of(log, 0)
