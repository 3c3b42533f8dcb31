"""A task that is settled optimistically, on a chain of its tests' own."""

from __future__ import annotations

from hashlib import sha256

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.contract.bundle import Bundle, fault_of
from bcfl.consensus.contract.optimistic import OptimisticLedger
from bcfl.consensus.contract.settlement import SettlementLedger
from bcfl.consensus.spec.domain import (
    Ballot,
    Commitment,
    Phase,
    SignedBallot,
    SignedCommitment,
    members_in,
)
from bcfl.consensus.spec.messages import ballot_message, commitment_message
from bcfl.consensus.spec.rules import Rules
from bcfl.keys.accounts import derive_account

GENESIS = sha256(b"genesis").digest()
RULES = Rules(
    settlement="optimistic", quorum=2, commit_window_s=100, ballot_window_s=100, bond_wei=10**15
)
KEYS = [derive_account(0, "member", i) for i in range(5)]


class Task:
    """Four members whose keys are at hand, and their coordinator."""

    def __init__(self, chain: EmbeddedChain) -> None:
        self.chain = chain
        self.kept: list[tuple[int, Bundle]] = []
        founders = [key.address for key in KEYS[:4]]
        connection = chain.connect(chain.coordinator)
        self.ledger = OptimisticLedger.begin(
            connection, chain.wait_until, founders, GENESIS, RULES, self.keep
        )

    def keep(self, round_: int, bundle: Bundle) -> None:
        self.kept.append((round_, bundle))

    def own(self, member: int) -> SettlementLedger:
        """The contract, from a member's account, which has some ether."""
        key = KEYS[member]
        self.chain.fund(key.address, 10**18)
        return SettlementLedger.attach(self.chain.connect(key), self.ledger.address)

    def open(self, expected: int = 0b1111) -> None:
        self.ledger.open_round(self.ledger.state().model, expected)

    def commitment(self, member: int, version: int = 0) -> SignedCommitment:
        state = self.ledger.state()
        digest = sha256(b"%d %d %d" % (member, state.round, version)).digest()
        said = Commitment(state.round, state.model, digest, self.ledger.now())
        signature = KEYS[member].sign(commitment_message(self.ledger.domain, said))
        return SignedCommitment(member, said, signature)

    def ballot(self, member: int, others: tuple[int, ...]) -> SignedBallot:
        values = {j: 100 - j for j in others if j != member}
        ballot = Ballot.from_values(self.ledger.state().round, values)
        signature = KEYS[member].sign(ballot_message(self.ledger.domain, ballot))
        return SignedBallot(member, ballot, signature)

    def commit(self, *members: int) -> None:
        self.ledger.commit([self.commitment(member) for member in members])
        if self.ledger.state().phase == Phase.COMMIT:
            self.ledger.wait_until(self.ledger.state().commit_deadline)

    def vote(self, *members: int) -> None:
        if self.ledger.state().phase != Phase.BALLOT:
            return
        committed = members_in(self.ledger.state().committed)
        self.ledger.cast_ballots([self.ballot(member, committed) for member in members])
        if self.ledger.state().phase == Phase.BALLOT:
            self.ledger.wait_until(self.ledger.state().ballot_deadline)

    def end(self) -> None:
        self.ledger.select()
        state = self.ledger.state()
        if state.phase == Phase.SELECTED:
            self.ledger.close_round(state.round, sha256(b"model %d" % state.round).digest())

    def play(self, *members: int) -> None:
        """A whole round of these."""
        self.open()
        self.commit(*members)
        self.vote(*members)
        self.end()

    def fault(self, round_: int) -> str:
        """What an honest member says to a round, by what it was given."""
        ledger = self.ledger
        record = next(e.record for e in ledger.chain.settled() if e.round == round_)
        bundle = ledger.bundles[round_]
        return fault_of(bundle, record, ledger.chain.terms, ledger.domain, ledger.members())

    def again(self) -> OptimisticLedger:
        """The same task, as whoever comes back to it finds it."""
        return OptimisticLedger.find(self.ledger.chain, self.kept)
