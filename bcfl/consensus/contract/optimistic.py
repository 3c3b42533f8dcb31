"""A task whose rounds are settled optimistically, behind the ledger's interface.

PROTOCOL, System A, *Settlement*. What members sign is played off chain, in the contract's own
reference, by whoever holds it: the coordinator, every member, an auditor. So they all ask and
are told as by the contract of a round that is settled in full. The chain sees the opening of a
round, one transaction that says what came of it, whoever comes past the coordinator, and doubts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Final, Self

from bcfl.chain.connection import Connection
from bcfl.chain.event import Transaction
from bcfl.consensus.contract.bundle import Bundle, fault_of
from bcfl.consensus.contract.ledger import View
from bcfl.consensus.contract.off_chain import OffChain
from bcfl.consensus.contract.played import PlayedLedger
from bcfl.consensus.contract.reference import NOT_NOW
from bcfl.consensus.contract.settlement import (
    Challenged,
    Settled,
    SettlementLedger,
    Standing,
    Upheld,
)
from bcfl.consensus.spec.domain import MAX_MEMBERS, Phase, SignedBallot, SignedCommitment
from bcfl.consensus.spec.rules import Rules
from bcfl.consensus.spec.settlement import LOOKED_BACK, Record, ends, winners_of
from bcfl.core.errors import ChainReorganised, ContractReverted, LedgerError, expect

logger = logging.getLogger(__name__)

#: An answer with the longest ballots of so many fits the 128 KiB that nodes pass on, and with the
#: dearest ones the gas of a transaction (EIP-7825).
MOST_MEMBERS: Final = 110
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
        """Deploy the contract, with the deposit. Raises ConfigurationError for too many members."""
        _expect_room(len(members))
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
        """Coordinator: a member from the next round on; raises ConfigurationError for too many."""
        if address not in self.members():
            _expect_room(len(self.members()) + 1)
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
        self._follow({})
        standing = self._expect_counting()
        half = self.chain.terms.commit_window_s // 2
        late = self.now() > standing.time + half and not standing.forced
        if late or not standing.open:
            self.chain.open_round(base)
            self._follow({})
            standing = self.chain.standing()
        if standing.model != base:
            raise LedgerError(
                f"expected model {base.hex()[:16]}… to be the chain's; found {standing.model.hex()}"
            )
        return self._begin(base, expected, standing.time)

    def commit(self, commitments: Sequence[SignedCommitment]) -> Transaction:
        """See ``Ledger``."""
        self._hear()
        sent = self._take(Phase.COMMIT, "commit", Bundle.of(commitments))
        self._round.signed = Bundle(self.bundle().commitments, self._round.signed.ballots)
        return sent

    def cast_ballots(self, ballots: Sequence[SignedBallot]) -> Transaction:
        """See ``Ledger``."""
        self._hear()
        sent = self._take(Phase.BALLOT, "cast_ballots", Bundle.of((), ballots))
        state = self.state()
        heard = state.voted | state.abstained | self._forced >> MAX_MEMBERS
        kept = self._round.signed.by(heard).ballots
        self._round.signed = Bundle(self._round.signed.commitments, kept)
        return sent

    def _take(self, phase: Phase, function: str, more: Bundle) -> Transaction:
        """Play the round with more; what the contract would have refused is ``Refused``."""
        if (state := self.state()).phase != phase:
            raise ContractReverted(NOT_NOW, "what was signed")
        self._round.bring(self._round.signed.beside(more))
        number = self._round.number(function, state.round)
        return self._connection.receipt(number).transaction

    def select(self) -> Transaction:
        """See ``Ledger``. A void round is settled at once."""
        self._hear()
        # a ballot that came past the coordinator before its time counts by now
        self._round.bring(self._round.signed)
        if self.state().phase != Phase.SELECT:
            raise ContractReverted(NOT_NOW, "what was signed")
        bundle = self.bundle()
        record = self._record(bundle, 0, self.state().model)
        signed = bundle.signed(record, self.domain, self.members())
        self._round.play.seed = signed.seed
        if winners_of(record, self.chain.terms, signed):
            return self._round.call("select")
        forced = self._forced
        try:
            sent = self._settle(record, bundle)
        except ContractReverted:
            if self._forced == forced:
                raise
            return self.select()  # somebody came at the last moment
        self._round.call("select", number=sent.hash)
        return sent

    def close_round(self, round: int, model: bytes, expected: int = 0) -> Transaction:
        """See ``Ledger``: the round is settled, in one transaction, which begins the next."""
        bundle = self.bundle()
        sent = self._settle(self._record(bundle, self.state().winners, model), bundle)
        self._round.call("close_round", round, model, 0, number=sent.hash)
        if expected:
            self.open_round(model, expected)
        return sent

    def off_chain(self, members: Collection[int] = ()) -> bytes:
        """What members are to be given: see ``OffChain``.

        Of every round since the one in which each was heard last, as far as members look back: so
        that nothing is settled while those who would have looked are not asked.
        """
        opening = self._round.opening
        last = opening.round - 1
        first = min([last, *map(self._last_heard, members)])
        rounds = range(max(first, last - LOOKED_BACK + 1, 1), last + 1)
        since = self.settled[rounds[0]].block if rounds else self._since
        shown = {round_: self.bundles[round_] for round_ in rounds}
        return OffChain(opening.expected, since, self.bundle(), shown).encode()

    def _last_heard(self, member: int) -> int:
        """The last round in which this member committed; 0 where that is long ago."""
        recent = list(self.bundles.items())[-LOOKED_BACK:]
        heard = (n for n, bundle in recent if bundle.by(1 << member).commitments)
        return max(heard, default=0)

    def answer_challenges(self) -> None:
        """Bring every round that somebody doubts."""
        if not self.chain.standing().challenges:
            return
        events = self.chain.events()
        upheld = {event.round for event in events if isinstance(event, Upheld)}
        doubted = {event.round for event in events if isinstance(event, Challenged)} - upheld
        settled = {event.round: event for event in events if isinstance(event, Settled)}
        for round_ in sorted(doubted & self.bundles.keys()):
            try:
                self.chain.answer(settled[round_].record, self.bundles[round_])
            except ContractReverted as error:  # by somebody else just now; or it is void
                logger.warning("round %s is doubted; no answer is taken: %s", round_, error)

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
        ContractReverted
            Somebody came at the last moment, or the round has begun anew: count again.
        ChainReorganised
            The chain is in another round.
        LedgerError
            This ledger would doubt it itself.
        """
        standing = self._expect_counting()
        if standing.round != record.round:
            raise ChainReorganised(
                f"round {record.round} was open; the chain was reorganised and is in round "
                f"{standing.round}: go on by `bcfl resume`"
            )
        if standing.time != record.opened_at:
            self._hear()
            raise ContractReverted("the round has begun anew", "settle")
        fault = fault_of(bundle, record, self.chain.terms, self.domain, self.members())
        if fault:
            raise LedgerError(f"round {record.round} is not settled, as it would be void: {fault}")
        self._keep(record.round, bundle)
        try:
            sent = self.chain.settle(record, self._due(record, bundle))
        except ContractReverted:
            self._hear()
            raise
        (settled,) = (e for e in self.chain.settled(sent.block) if e.round == record.round)
        self._note(settled, bundle)
        return sent

    def _due(self, record: Record, bundle: Bundle) -> int:
        """From when on the bundle ends the round, wherever a node mines the transaction."""
        signed = bundle.signed(record, self.domain, self.members())
        times = (one.timestamp for one in bundle.commitments)
        counting = (time for time in times if time <= record.settled_at)
        return max([ends(record, self.chain.terms, signed) + 1, *counting])

    def _hear(self) -> None:
        """And whether a reorganisation took back how the round began: it is played from there."""
        standing, opening = self.chain.standing(), self._round.opening
        if standing.open and standing.round == opening.round and standing.time != opening.at:
            known = (e for e in self.chain.settled() if e.round in self.settled)
            self.settled |= {event.round: event for event in known}
            self._since = max((e.block for e in self.settled.values()), default=self._since)
            self._round.opening, self._forced = replace(opening, at=standing.time), 0
            self._round.bring(Bundle())
        super()._hear()

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
        self._follow({})
        self._apply_pending()
        return sent


def _expect_room(members: int) -> None:
    words = f"at most {MOST_MEMBERS} with settlement=optimistic"
    expect(members <= MOST_MEMBERS, "members", words, members)
