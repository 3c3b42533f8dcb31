"""What ``contracts/PeerCoalition.vy`` and ``contracts/PeerReferee.vy`` do: their reference.

As ``bcfl.consensus.spec.contract``, but that members propose sets, and rate what was proposed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bcfl.consensus.spec import coalition, referee
from bcfl.consensus.spec.candidates import Decision, eligible, takes_part
from bcfl.consensus.spec.contract import ContractModel
from bcfl.consensus.spec.domain import Phase, RoundState, bits, members_in
from bcfl.consensus.spec.rules import Rule
from bcfl.consensus.spec.scoring import rated_by


@dataclass(slots=True)
class ProposalModel(ContractModel):
    """One task whose members propose."""

    rule: Rule = "coalition"
    proposals: dict[int, int] = field(default_factory=dict)  #: by proposer; bit fields
    standings: dict[int, int] = field(default_factory=dict)  #: of a coalition
    decision: Decision = field(default_factory=lambda: Decision((), {}))  #: the last round's

    def deadlines(self) -> tuple[int, int, int]:
        """The last seconds for commitments, seals and ballots; proposals have a window before."""
        commit, seal, ballot = ContractModel.deadlines(self)
        window = self.terms.ballot_window_s
        return commit, seal + window, ballot + window

    @property
    def proposal_deadline(self) -> int:
        """The last second for proposals."""
        return self.opened_at + self.terms.commit_window_s + self.terms.ballot_window_s

    def before_ballots(self, now: int) -> Phase | None:
        """PROPOSE; or SELECT, where proposals are too few for a round."""
        committed, count = len(self.committed), len(self.proposals)
        if count < committed and now <= self.proposal_deadline:
            return Phase.PROPOSE
        enough = count >= self.terms.quorum and 2 * count > committed
        return None if enough else Phase.SELECT

    def state(self, now: int) -> RoundState:
        """Everything about the current round, or the last one."""
        deadline = self.proposal_deadline if self.round else 0
        state = ContractModel.state(self, now)
        return replace(state, proposed=bits(self.proposals), proposal_deadline=deadline)

    def rated(self, author: int) -> frozenset[int]:
        """Whom the ballot of a member may rate."""
        return rated_by(self.rule, author, bits(self.committed), bits(self.proposals))

    def open(self, now: int, sender: str, base: bytes, expected: frozenset[int]) -> bool:
        """The coordinator opens a round."""
        good = ContractModel.open(self, now, sender, base, expected)
        if good:
            self.proposals = {}
        return good

    def propose(self, now: int, batch: Sequence[tuple[int, int, bool]]) -> list[int] | None:
        """A batch of (member, set, whether the signature holds); gives who is refused."""
        if self.phase(now) is not Phase.PROPOSE:
            return None
        committed, refused = bits(self.committed), []
        for member, members, signed in batch:
            if member in self.proposals:
                continue
            good = member in self.committed and members and not members & ~committed
            if not good or not signed:
                refused.append(member)
                continue
            self.proposals[member] = members
        return refused

    def after_ballots(self, now: int, seed: bytes) -> None:
        """Nothing: all that was said must be shown again first."""

    def select(self, now: int, seed: bytes) -> bool:
        """Choose the winners, or find the round void; ``seed`` is the hash of a block."""
        if self.phase(now) is not Phase.SELECT:
            return False
        barred, committed = bits(self.equivocators), set(self.committed)
        self.decision = self._decide(barred, seed)
        possible = len(eligible(self.proposals, barred))
        counts = possible, len(self.proposals), len(self.ballots), len(committed)
        chosen = self.decision.chosen
        if not chosen or not takes_part(*counts, self.terms.quorum):
            self.status = "idle"
            return True
        sets = self.proposals
        self.winners = tuple(sorted({i for j in chosen for i in members_in(sets[j])}))
        self.status = "selected"
        if self.rule == "coalition":
            self.standings = coalition.standings_after(self.standings, sets, set(chosen), committed)
        return True

    def _decide(self, barred: int, seed: bytes) -> Decision:
        if self.rule == "referee":
            return referee.decide(self.proposals, self.ballots, barred=barred)
        return coalition.decide(
            self.proposals,
            self.ballots,
            self.standings,
            barred=barred,
            kappa_ppm=self.terms.kappa_ppm,
            size=self.size,
            seed=seed,
        )
