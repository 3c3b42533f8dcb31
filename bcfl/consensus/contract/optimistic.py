"""A task whose rounds are settled optimistically, behind the ledger's interface.

PROTOCOL, System A, *Settlement*. What members sign is played off chain, in the contract's own
reference, by whoever holds it: the coordinator, every member, an auditor. So they all ask and
are told as by the contract of a round that is settled in full. The chain sees the opening of a
round, one transaction that says what came of it, whoever comes past the coordinator, and doubts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Self

from bcfl.chain.connection import Connection
from bcfl.chain.event import Transaction
from bcfl.consensus.contract.bundle import Bundle
from bcfl.consensus.contract.ledger import View
from bcfl.consensus.contract.off_chain import OffChain
from bcfl.consensus.contract.played import PlayedLedger
from bcfl.consensus.contract.reference import NOT_NOW
from bcfl.consensus.contract.settlement import (
    Challenged,
    SettlementLedger,
    Standing,
    Upheld,
)
from bcfl.consensus.spec.domain import (
    Phase,
    SignedBallot,
    SignedCommitment,
)
from bcfl.consensus.spec.rules import Rules
from bcfl.consensus.spec.settlement import Record, winners_of
from bcfl.core.errors import ChainReorganised, ContractReverted, LedgerError

#: How often, within a window, a coordinator looks whether somebody doubts it.
_LOOKS: Final = 4


class OptimisticLedger(PlayedLedger):
    """As :class:`Ledger`, for the coordinator. Made by :meth:`begin` or :meth:`find`."""

    @classmethod
    def begin(
        cls,
        connection: Connection,
        wait_until: Callable[[int], None] | None,
        members: Sequence[str],
        genesis: bytes,
        rules: Rules,
        keep: Callable[[int, Bundle], None],
    ) -> Self:
        """Deploy the contract, with the deposit."""
        chain = SettlementLedger.deploy(connection, wait_until, members, genesis, rules)
        return cls.find(chain, (), keep)

    def look(self, block: int = 0, block_hash: str = "", transactions: Sequence[str] = ()) -> View:
        """See ``Ledger``. Whenever the coordinator looks, it answers whoever doubts."""
        self.answer_challenges()
        return super().look(block, block_hash, transactions)

    def wait_until(self, timestamp: int) -> None:
        """See ``Ledger``."""
        super().wait_until(timestamp)
        self.answer_challenges()

    def add_member(self, address: str) -> Transaction:
        """Coordinator: a member from the next round on."""
        return self._between_rounds(lambda: self.chain.add_member(address))

    def remove_member(self, member: int) -> Transaction:
        """Coordinator, between rounds."""
        return self._between_rounds(lambda: self.chain.remove_member(member))

    def prove_equivocation(self, one: SignedCommitment, other: SignedCommitment) -> Transaction:
        """The chain knows it at once; who cheated is no member from the next round on."""
        return self.chain.prove_equivocation(one, other)

    def open_round(self, base: bytes, expected: int) -> Transaction:
        """See ``Ledger``: mostly the chain has begun the round with the end of the one before.

        Where much of its time for commitments has gone by, it is begun anew.
        """
        self._follow({}, None)
        standing = self._expect_counting()
        half = self.chain.terms.commit_window_s // 2
        late = self.now() > standing.time + half and not standing.forced
        if late or not standing.open:
            self.chain.open_round(base)
            self._follow({}, None)
            standing = self.chain.standing()
        if standing.model != base:
            raise LedgerError(
                f"expected model {base.hex()[:16]}… to be the chain's; found {standing.model.hex()}"
            )
        assert self._begun is not None
        settled = self._begun.transaction in self._settlements
        number = "" if settled else self._begun.transaction
        return self._begin(base, expected, standing.time, number)

    def commit(self, commitments: Sequence[SignedCommitment]) -> Transaction:
        """See ``Ledger``."""
        sent = super().commit(commitments)
        committed = self.state().committed
        for one in Bundle.of(commitments, ()).commitments:
            if one.member is not None and committed >> one.member & 1:
                self._commitments.setdefault(one.member, one)
        self._hear()
        return sent

    def cast_ballots(self, ballots: Sequence[SignedBallot]) -> Transaction:
        """See ``Ledger``."""
        self._hear()
        sent = super().cast_ballots(ballots)
        state = self.state()
        for one in Bundle.of((), ballots).ballots:
            if one.member is not None and (state.voted | state.abstained) >> one.member & 1:
                self._ballots[one.member] = one
        return sent

    def select(self) -> Transaction:
        """See ``Ledger``. A void round is settled at once."""
        self._hear()
        if self.state().phase != Phase.SELECT:
            raise ContractReverted(NOT_NOW, "what was signed")
        bundle = self.bundle()
        record = self._record(bundle, 0, self.state().model)
        signed = bundle.signed(record, self.domain, self.members())
        self._play.seed = self.seeds[record.round] = signed.seed
        if winners_of(record, self.chain.terms, signed):
            return super().select()
        sent = self._settle(record, bundle)
        self._call("select", [], number=sent.hash)
        return sent

    def close_round(self, round: int, model: bytes, expected: int = 0) -> Transaction:
        """See ``Ledger``: the round is settled, in one transaction, which begins the next."""
        bundle = self.bundle()
        sent = self._settle(self._record(bundle, self.state().winners, model), bundle)
        self._call("close_round", round, model, 0, number=sent.hash)
        if expected:
            self.open_round(model, expected)
        return sent

    def off_chain(self) -> bytes:
        """What members are to be given: see ``OffChain``."""
        round_, expected, _ = self._opening
        before = self.bundles.get(round_ - 1)
        return OffChain(expected, self._since, self.bundle(), before).encode()

    def answer_challenges(self) -> None:
        """Bring every round that somebody doubts."""
        if not self.chain.standing().challenges:
            return
        events = self.chain.events()
        upheld = {event.round for event in events if isinstance(event, Upheld)}
        doubted = {event.round for event in events if isinstance(event, Challenged)} - upheld
        records = {event.round: event.record for event in self.chain.settled()}
        for round_ in sorted(doubted & self.bundles.keys()):
            self.chain.answer(records[round_], self.bundles[round_])

    def conclude(self) -> None:
        """Stay until all rounds are final, and have the deposit back."""
        standing = self.chain.standing()
        if not standing.deposited or standing.void_from:
            return
        if standing.open:
            if standing.forced:
                return  # a round that somebody waits for is to be played
            self.chain.pause()
        window = self.chain.challenge_window_s
        end, step = standing.time + window, max(1, window // _LOOKS)
        for timestamp in [*range(self.now() + step, end, step), end]:
            self.chain.wait_until(timestamp)
            self.answer_challenges()
        if not self.chain.standing().challenges:
            self.chain.release()

    def _record(self, bundle: Bundle, winners: int, model: bytes) -> Record:
        state, standing = self.state(), self.chain.standing()
        return Record(
            round=state.round,
            root=bundle.root(),
            base=state.model,
            model=model,
            winners=winners,
            members=standing.members,
            expected=state.expected,
            forced=self._forced,
            opened_at=state.opened_at,
            settled_at=self.now() + 1,
        )

    def _settle(self, record: Record, bundle: Bundle) -> Transaction:
        """Say so, once all that was signed is kept.

        Raises
        ------
        ChainReorganised
            The chain has the round from another time: what was signed may be older than that.
        """
        standing = self._expect_counting()
        if (standing.round, standing.time) != (record.round, record.opened_at):
            raise ChainReorganised(
                f"round {record.round} was opened at {record.opened_at}; the chain was reorganised "
                f"and has round {standing.round}, opened at {standing.time}: go on by `bcfl resume`"
            )
        self._keep(record.round, bundle)
        try:
            sent = self.chain.settle(record)
        except ContractReverted:
            self._hear()  # somebody came at the last moment: count again
            raise
        self._settlements.add(sent.hash)
        self._real.add(sent.hash)
        self._since = sent.block
        (settled,) = (e.record for e in self.chain.settled(sent.block) if e.round == record.round)
        self.bundles[record.round], self.records[record.round] = bundle, settled
        return sent

    def _expect_counting(self) -> Standing:
        self.answer_challenges()
        standing = self.chain.standing()
        if standing.void_from:
            raise LedgerError(
                f"round {standing.void_from} was not settled as it was signed: it and all after it "
                "are void, the deposit is burnt, and the task has ended"
            )
        return standing

    def _between_rounds(self, change: Callable[[], Transaction]) -> Transaction:
        if self.chain.standing().open:
            self.chain.pause()
        sent = change()
        self._follow({}, None)
        self._apply([*self._due, *self._pending])
        self._due, self._pending = [], []
        return sent
