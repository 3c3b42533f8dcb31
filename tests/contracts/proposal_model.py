"""What ``PeerCoalition`` and ``PeerReferee`` do, in plain sets and dictionaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bcfl.consensus.spec import coalition, referee
from bcfl.consensus.spec.candidates import Decision, eligible, struck, takes_part
from bcfl.consensus.spec.contract import ContractModel
from bcfl.consensus.spec.domain import Ballot, Phase, RoundState, bits, members_in
from bcfl.consensus.spec.rules import Rule
from bcfl.consensus.spec.scoring import abstains, expect_ballot, rated_by
from bcfl.core.errors import ProtocolError


@dataclass
class ProposalModel(ContractModel):
    """As ``ContractModel``, with a phase more, and another decision."""

    rule: Rule = "coalition"
    proposals: dict[int, int] = field(default_factory=dict)  #: bit fields, by proposer
    standings: dict[int, int] = field(default_factory=dict)
    decision: Decision | None = None  #: of the last round that was selected or void

    @property
    def proposal_deadline(self) -> int:
        """The last second for proposals."""
        return self.opened_at + self.terms.commit_window_s + self.terms.ballot_window_s

    def deadlines(self) -> tuple[int, int, int]:
        """Those for seals and ballots come a window later."""
        commit, seal, ballot = super().deadlines()
        later = self.terms.ballot_window_s
        return commit, seal + later, ballot + later

    def phase(self, now: int) -> Phase:
        """Proposals stand between commitments and all that follows."""
        found = super().phase(now)
        if self.status != "open" or found is Phase.COMMIT:
            return found
        committed, proposed = len(self.committed), len(self.proposals)
        if committed < self.terms.quorum:
            return Phase.SELECT
        if proposed < committed and now <= self.proposal_deadline:
            return Phase.PROPOSE
        if proposed < self.terms.quorum or 2 * proposed <= committed:
            return Phase.SELECT
        return found

    def state(self, now: int) -> RoundState:
        """With who has proposed, and until when."""
        deadline = self.proposal_deadline if self.round else 0
        told = bits(self.proposals)
        return replace(super().state(now), proposed=told, proposal_deadline=deadline)

    def rated_by(self, member: int) -> frozenset[int]:
        """Whose proposals its ballot may rate."""
        return rated_by(self.rule, member, bits(self.committed), bits(self.proposals))

    def open(self, now: int, sender: str, base: bytes, expected: frozenset[int]) -> bool:
        """See ``ContractModel``."""
        if good := super().open(now, sender, base, expected):
            self.proposals, self.decision = {}, None
        return good

    def propose(self, now: int, batch: Sequence[tuple[int, int, bool]]) -> list[int] | None:
        """A batch of (member, set, whether the signature holds); gives who is refused."""
        if self.phase(now) is not Phase.PROPOSE:
            return None
        refused = []
        for member, members, signed in batch:
            if member in self.proposals:
                continue
            inside = members and not members & ~bits(self.committed)
            if member not in self.committed or not inside or not signed:
                refused.append(member)
                continue
            self.proposals[member] = members
        return refused

    def vote(self, now: int, batch: Sequence[tuple[int, bytes, bool]]) -> list[int] | None:
        """A ballot rates proposals."""
        if self.phase(now) is not Phase.BALLOT:
            return None
        refused = []
        for member, entries, signed in batch:
            if member in self.abstained | self.ballots.keys():
                continue
            candidates = self.rated_by(member)
            try:
                ballot = Ballot.decode(self.round, entries)
                expect_ballot(ballot, candidates, len(candidates) + 1)
            except ProtocolError:
                refused.append(member)
                continue
            if member not in self.committed or not signed:
                refused.append(member)
            elif abstains(ballot, candidates):
                self.abstained.add(member)
            else:
                self.ballots[member] = ballot
        return refused

    def select(self, now: int, seed: bytes) -> bool:
        """Choose as the rule says, or find the round void."""
        if self.phase(now) is not Phase.SELECT:
            return False
        barred = bits(self.equivocators)
        left = struck(self.proposals, barred)
        found = self._decided(barred, seed)
        possible = len(eligible(self.proposals, barred))
        counts = len(self.proposals), len(self.ballots), len(self.committed)
        enough = takes_part(possible, *counts, self.terms.quorum)
        self.decision = found if enough else Decision((), found.scores)
        winners = 0
        for proposer in self.decision.chosen:
            winners |= left[proposer]
        self.winners = members_in(winners)
        self.status = "selected" if winners else "idle"
        if self.rule == "coalition":
            chosen = set(self.decision.chosen)
            self.standings = coalition.standings_after(
                self.standings, left, chosen, self.committed.keys()
            )
        return True

    def _decided(self, barred: int, seed: bytes) -> Decision:
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
