"""A task by hand: what the strategy never does but the contract allows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.contract.events import Selected
from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.server.signed_round import SignedRound
from bcfl.consensus.spec.aggregation import aggregate_sets
from bcfl.consensus.spec.clipping import clip
from bcfl.consensus.spec.codec import Heading, encode_delta
from bcfl.consensus.spec.delta import Delta
from bcfl.consensus.spec.domain import (
    Ballot,
    Commitment,
    Phase,
    Proposal,
    SignedBallot,
    SignedCommitment,
    SignedProposal,
    bits,
    members_in,
)
from bcfl.consensus.spec.messages import ballot_message, commitment_message, proposal_message
from bcfl.consensus.spec.rules import Rules
from bcfl.consensus.spec.scoring import rated_by
from bcfl.consensus.task_folder import TaskDescription, TaskFolder
from bcfl.core.model import encode_model, model_digest
from bcfl.store.local import LocalStore
from tests.audit.tampering import member_key

RULES = Rules(gamma=0.5, kappa=0.5, warmup_rounds=0)
MODEL = {"w": np.zeros(4, np.float32)}


class Task:
    """A task by hand: the ledger, the store and the journal, and no server."""

    def __init__(
        self,
        chain: EmbeddedChain,
        folder: Path,
        members: int,
        stake: int = 0,
        rules: Rules = RULES,
    ) -> None:
        self.chain, self.rules = chain, rules
        self.keys = {member: member_key(member) for member in range(max(members, 6))}
        self.folder = TaskFolder(folder)
        self.store = LocalStore(folder / "blobs")
        genesis = self.store.put(encode_model(MODEL))
        self.model = MODEL
        self.ledger = Ledger.deploy(
            chain.connect(chain.coordinator),
            chain.wait_until,
            members=[member_key(member).address for member in range(members)],
            genesis=genesis,
            rules=rules.digest(),
            kappa_ppm=rules.kappa_ppm,
            quorum=rules.quorum,
            commit_window_s=rules.commit_window_s,
            ballot_window_s=rules.ballot_window_s,
            sealed=False,
            stake=stake,
            rule=rules.rule,
        )
        domain, coordinator = self.ledger.domain, self.ledger.coordinator
        self.folder.describe(
            TaskDescription(domain.chain_id, domain.contract, coordinator, genesis.hex(), rules, 0)
        )

    def signed(self) -> SignedRound:
        round_ = self.ledger.state().round
        return SignedRound(self.folder.journal, self.ledger.domain.contract, round_)

    def commitment(self, member: int, delta: Delta) -> SignedCommitment:
        state, key = self.ledger.state(), self.keys[member]
        heading = Heading(bytes.fromhex(key.address[2:]), state.round, state.model)
        digest = self.store.put(encode_delta(delta, heading))
        commitment = Commitment(state.round, state.model, digest, self.ledger.now())
        signature = key.sign(commitment_message(self.ledger.domain, commitment))
        return SignedCommitment(member, commitment, signature)

    def proposal(self, member: int, members: Iterable[int]) -> SignedProposal:
        proposal = Proposal(self.ledger.state().round, bits(members))
        message = proposal_message(self.ledger.domain, proposal)
        return SignedProposal(member, proposal, self.keys[member].sign(message))

    def ballot(
        self,
        member: int,
        values: Mapping[int, int],
        missing: Iterable[int] = (),
        invalid: Iterable[int] = (),
    ) -> SignedBallot:
        ballot = Ballot.from_values(self.ledger.state().round, values, missing, invalid)
        signature = self.keys[member].sign(ballot_message(self.ledger.domain, ballot))
        return SignedBallot(member, ballot, signature)

    def play(
        self,
        members: Collection[int],
        missing: Mapping[int, Collection[int]] | None = None,
        *,
        spoil: Mapping[int, bytes] | None = None,
        silent: Mapping[int, Collection[int]] | None = None,
        invalid: Mapping[int, Collection[int]] | None = None,
        strange: Mapping[int, bytes] | None = None,
    ) -> None:
        """A whole round; who says to miss whom, nothing of whom, or that whose delta is none.

        The server relays the commitments of ``spoil`` with those signatures first; so does a
        stranger with those of ``strange``.
        """
        missing, silent, ledger = missing or {}, silent or {}, self.ledger
        ledger.open_round(model_digest(self.model), bits(members))
        deltas = {member: delta(member + 1.0) for member in members}
        commitments = [self.commitment(member, one) for member, one in deltas.items()]
        signed = self.signed()
        for commitment in commitments:
            signed.keep_commitment(commitment, {})
        for sender, sent in ((ledger, spoil or {}), (self.stranger(), strange or {})):
            for member, signature in sent.items():
                given = signed.commitments[member].commitment
                sender.commit([SignedCommitment(member, given, signature)])
        ledger.commit(commitments)
        if ledger.state().phase is Phase.COMMIT:
            ledger.wait_until(ledger.state().commit_deadline)
        ballots = []
        for reviewer in members:
            lost = set(missing.get(reviewer, ()))
            spurned = set((invalid or {}).get(reviewer, ()))
            unsaid = lost | spurned | {reviewer} | set(silent.get(reviewer, ()))
            values = {member: 100 - member for member in members if member not in unsaid}
            ballots.append(self.ballot(reviewer, values, lost, spurned))
            signed.keep_ballot(ballots[-1], {})
        ledger.cast_ballots(ballots)
        if ledger.state().phase is Phase.BALLOT:
            ledger.wait_until(ledger.state().ballot_deadline)
        if ledger.state().phase is Phase.SELECT:
            ledger.select()
        self._close(deltas, [ledger.state().winners])

    def play_proposals(
        self,
        proposals: Mapping[int, Collection[int]],
        lost: Mapping[int, Collection[int]],
        *,
        invalid: Mapping[int, Collection[int]] | None = None,
        relayed: Collection[int] = range(128),
    ) -> None:
        """A whole round, in which everybody has committed who proposes.

        Parameters
        ----------
        proposals : mapping of member to members
            The set that each proposes.
        lost : mapping of member to members
            Whose deltas never reached that reviewer, who says so of all that hold them.
        invalid : mapping of member to members
            Whose proposals that reviewer calls none.
        relayed : collection of member
            Whose proposals the server relays of those that it was given.
        """
        members, ledger = sorted(proposals), self.ledger
        ledger.open_round(model_digest(self.model), bits(members))
        deltas = {member: delta(member + 1.0) for member in members}
        commitments = [self.commitment(member, one) for member, one in deltas.items()]
        signed = self.signed()
        for commitment in commitments:
            signed.keep_commitment(commitment, {})
        ledger.commit(commitments)
        if ledger.state().phase is Phase.COMMIT:
            ledger.wait_until(ledger.state().commit_deadline)
        for member in members:
            signed.keep_proposal(self.proposal(member, proposals[member]))
        ledger.propose([signed.proposals[member] for member in members if member in relayed])
        if ledger.state().phase is Phase.PROPOSE:
            ledger.wait_until(ledger.state().proposal_deadline)
        ballots = []
        for reviewer in members:
            others = rated_by(self.rules.rule, reviewer, 0, ledger.state().proposed)
            missing = {j for j in others if {*lost.get(reviewer, ())} & {*proposals[j]}}
            spurned = {*(invalid or {}).get(reviewer, ())}
            values = {j: 100 - j for j in others - missing - spurned}
            ballots.append(self.ballot(reviewer, values, missing, spurned))
            signed.keep_ballot(ballots[-1], {})
        ledger.cast_ballots(ballots)
        if ledger.state().phase is Phase.BALLOT:
            ledger.wait_until(ledger.state().ballot_deadline)
        ledger.select()
        outcome = list(ledger.events())[-1]
        chosen = members_in(outcome.chosen) if isinstance(outcome, Selected) else ()
        self._close(deltas, [bits(proposals[member]) for member in chosen])

    def _close(self, deltas: Mapping[int, Delta], sets: Iterable[int]) -> None:
        """Where there are winners: the model that these sets make."""
        state, rules = self.ledger.state(), self.rules
        if state.phase is not Phase.SELECTED:
            return
        clipped = clip(deltas, rules.clip)
        chosen = [{member: clipped[member] for member in members_in(one)} for one in sets]
        rate = rules.server_learning_rate
        self.model = {
            "w": aggregate_sets(self.model["w"], chosen, rules.combination, rate),
        }
        self.store.put(encode_model(self.model))
        self.ledger.close_round(state.round, model_digest(self.model))

    def stranger(self) -> Ledger:
        """The ledger as somebody sees it who is no member, and can pay for transactions."""
        self.chain.fund(member_key(9).address, 10**18)
        return Ledger.attach(self.chain.connect(member_key(9)), self.ledger.domain.contract)

    def joined(self, member: int) -> Ledger:
        """The ledger as an account sees it that has deposited the stake."""
        key = self.keys[member]
        self.chain.fund(key.address, 10**18)
        ledger = Ledger.attach(self.chain.connect(key), self.ledger.domain.contract)
        ledger.join()
        return ledger


def delta(value: float) -> Delta:
    return Delta(4, np.array([0, 2], np.int64), np.full(2, value, np.float32))
