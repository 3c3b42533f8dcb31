"""``contracts/PeerCoalition.vy`` and ``contracts/PeerReferee.vy`` in Python: their reference.

As ``bcfl.consensus.contract.reference``; what is good, and what follows, is
``bcfl.consensus.spec.proposal_contract``'s to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bcfl.consensus.contract.events import Refusal
from bcfl.consensus.contract.reference import NOT_NOW, PeerConsensusReference
from bcfl.consensus.contract.words import CONTRACTS
from bcfl.consensus.spec import coalition, referee
from bcfl.consensus.spec.domain import MAX_MEMBERS, Phase, Proposal, bits
from bcfl.consensus.spec.messages import proposal_message
from bcfl.consensus.spec.proposal_contract import ProposalModel


class PeerCoalitionReference(PeerConsensusReference):
    """One task's contract whose members propose."""

    name = CONTRACTS["coalition"]
    _model: ProposalModel

    def _begin(self, *terms: Any) -> ProposalModel:
        return ProposalModel(*terms)

    def standing(self, member: int) -> int:
        """What a ballot of this member weighs."""
        return self._model.standings.get(member, coalition.FULL)

    def propose(self, round: int, batch: Iterable[tuple[int, int, int, int]]) -> None:
        """See the contract."""
        rows = []
        for member, members, r, vs in batch:
            signed = 0 < members < 2**MAX_MEMBERS
            if signed:
                message = proposal_message(self._domain, Proposal(round, members))
                signed = self._signed(member, message, r, vs)
            rows.append((member, members, signed))
        self._propose(round, rows)

    def propose_direct(self, round: int, members: int) -> None:
        """See the contract."""
        member = self._seat()
        self._expect(member not in self._model.proposals)
        self._propose(round, [(member, members, True)], alone=True)

    def _propose(
        self, round_: int, rows: Sequence[tuple[int, int, bool]], *, alone: bool = False
    ) -> None:
        model, before = self._model, set(self._model.proposals)
        self._expect_round(round_)
        refused = self._done(model.propose(self.now, rows), alone=alone)
        committed = bits(model.committed)
        for member, members, _ in rows:
            if refused[:1] == [member]:
                del refused[0]
                reason = Refusal.SIGNATURE
                reason = Refusal.SET if not members or members & ~committed else reason
                reason = reason if member in model.committed else Refusal.NOT_COMMITTED
                self._refuse(round_, member, reason)
            elif member not in before:
                before.add(member)
                self._log("Proposed", round=round_, member=member, members=members)

    def select(self, *shown: Sequence[Any]) -> None:
        """See the contract: all proposals and all ballots, in the order of their events."""
        proposals, ballots = shown
        model = self._model
        self._expect(model.phase(self.now) is Phase.SELECT, NOT_NOW)
        known = [(member, ballot.encode()) for member, ballot in model.ballots.items()]
        everything = [*proposals] == [*model.proposals.items()] and [*ballots] == known
        self._expect(everything, "consensus: not all of the round")
        self._decide()

    def _outcome(self) -> dict[str, Any]:
        """What ``Selected`` says beside the winners."""
        found = self._model.decision
        scores = [found.scores.get(i, 0) for i in range(max(self._model.proposals) + 1)]
        return {"chosen": bits(found.chosen), "scores": scores, "seed": self.seed}


class PeerRefereeReference(PeerCoalitionReference):
    """One task's contract whose members report what proposals do to a reference set."""

    name = CONTRACTS["referee"]

    def _begin(self, *terms: Any) -> ProposalModel:
        model = super()._begin(*terms)
        model.rule = "referee"
        return model

    def select(self, *shown: Sequence[Any]) -> None:
        """See the contract: beside these the medians."""
        *said, medians = shown
        found = referee.medians(self._model.ballots, self._model.proposals.keys())
        self._expect([*medians] == [*found.values()], "referee: not the medians")
        super().select(*said)

    def _outcome(self) -> dict[str, Any]:
        return super()._outcome() | {"seed": bytes(32)}
