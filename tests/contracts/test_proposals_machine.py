"""Anybody calls anything of ``PeerCoalition`` and ``PeerReferee``: they do what the model does."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st

from bcfl.consensus.spec.coalition import FULL
from bcfl.consensus.spec.contract import ContractModel, Terms
from bcfl.consensus.spec.domain import Phase, bits, members_in
from bcfl.consensus.spec.proposal_contract import ProposalModel
from bcfl.consensus.spec.rules import Rule
from tests.contracts.anybody import ALWAYS, Anybody, expect_all, play
from tests.contracts.peer_consensus_actors import ACTIONS, BATCHES, CHIEF, FAULTS, Actions
from tests.contracts.peer_consensus_task import GENESIS
from tests.contracts.proposal_task import ProposalTask

FUZZ = bool(os.environ.get("BCFL_FUZZ"))
#: What is proposed: of the committed, or what no set of them is.
SETS = st.sampled_from(["all", "all", "one", "most", "own", "nobody", "beyond", "ones", "word"])
LIES = st.sampled_from(["", "", "", "order", "less", "more", "forged", "median"])


class AnybodyProposes(Anybody):
    """The same people, where members propose."""

    actions: ClassVar[Actions] = {
        **ACTIONS,
        "propose": {"members": BATCHES, "what": SETS, "fault": FAULTS, "direct": st.booleans()},
        "select": {"sender": ACTIONS["select"]["sender"], "lie": LIES},
    }
    task: ProposalTask
    model: ProposalModel

    def found(self, terms: Terms, founders: list[str]) -> tuple[ProposalTask, ContractModel]:
        options: dict[str, Any] = {"kappa_ppm": terms.kappa_ppm, "quorum": terms.quorum}
        options |= {"sealed": terms.sealed, "stake": terms.stake, "accounts": founders}
        active = set(range(len(founders)))
        model = ProposalModel(terms, GENESIS, CHIEF, list(founders), active, rule=self.decides)
        return ProposalTask(self.decides, 6, **options), model

    def candidates(self, member: int) -> list[int]:
        return sorted(self.model.rated(member))

    def due(self, phase: Phase) -> set[int]:
        if phase is Phase.PROPOSE:
            return self.model.committed.keys() - self.model.proposals.keys()
        return super().due(phase)

    def take(self, phase: Phase, some: list[int], *, alone: bool) -> None:
        if phase is Phase.PROPOSE:
            whose = ["all", "most", "own"][self.round % 3]
            self.propose(some, whose, "", alone)
        else:
            super().take(phase, some, alone=alone)

    def set_of(self, member: int, what: str) -> int:
        """What this member proposes."""
        committed = bits(self.model.committed)
        whole = members_in(committed)
        wrong = {"nobody": 0, "beyond": committed | 1 << 7, "ones": 2**128 - 1, "word": 1 << 128}
        good = {
            "all": committed,
            "one": bits(whole[member % len(whole) :][:1]) if whole else 0,
            "most": committed & ~(1 << member) or committed,
            "own": bits({member} & set(whole)),
        }
        return {**wrong, **good}[what]

    def propose(self, members: list[int], what: str, fault: str, direct: bool) -> None:
        sets = {member: self.set_of(member, what) for member in members}
        if direct and members:
            member = members[0]
            first = member not in self.model.proposals
            good = first and self.model.propose(self.now, [(member, sets[member], True)]) == []
            self.said |= {(self.round, member, sets[member])} if good else set()
            sender = self.key(member).address
            self.expect(good, "propose_direct", self.model.round, sets[member], sender=sender)
            return
        batch, meant = [], []
        for member, said in ((member, sets[member]) for member in members):
            key, signed = self.signer(member, fault)
            round_ = self.round + (fault == "round")
            batch.append(self.task.signing.members(member, key, round_, said))
            meant.append((member, said, signed))
            if signed:
                self.said.add((self.round, member, said))
        self.expect_batch(self.model.propose(self.now, meant), "propose", self.model.round, batch)

    def select(self, sender: str, lie: bool | str) -> None:
        proposals, ballots = self.task.shown()
        medians = [self.task.medians()] if self.decides == "referee" else []
        for wrong in self.lies(str(lie or ""), proposals, ballots, medians):
            self.expect(False, "select", *wrong, sender=sender)
        before = len(self.task.events("Selected"))
        good = self.model.select(self.now, self.task.seed())
        self.expect(good, "select", proposals, ballots, *medians, sender=sender)
        if good:
            found = [
                (members_in(event["chosen"]), dict(enumerate(event["scores"])))
                for event in self.task.events("Selected")[before:]
            ]
            chosen, scores = self.model.decision.chosen, self.model.decision.scores
            told = {i: scores.get(i, 0) for i in range(max(scores, default=-1) + 1)}
            assert found == ([(chosen, told)] if self.model.status == "selected" else [])

    def lies(self, lie: str, proposals: list[Any], ballots: list[Any], medians: list[Any]) -> Any:
        """What ``select`` must refuse, as something was said: none where nothing was."""
        match lie:
            case "order" if len(proposals) > 1:
                yield proposals[::-1], ballots, *(median[::-1] for median in medians)
            case "less" if ballots:
                yield proposals, ballots[1:], *medians
            case "more" if proposals:
                yield proposals, [*ballots, (0, b"")], *medians
            case "forged" if proposals:
                changed = [(proposals[0][0], proposals[0][1] ^ 2), *proposals[1:]]
                yield changed, ballots, *medians
            case "median" if medians and medians[0]:
                (said,) = medians
                yield proposals, ballots, [said[0] + 1, *said[1:]]
                if said[-1]:
                    yield proposals, ballots, [*said[:-1], said[-1] - 1]

    def counts_as_the_model_does(self) -> None:
        """What a ballot weighs is the model's word; it changes when a round is decided."""
        if self.decides == "coalition" and self.model.status != "open":
            known = self.model.standings
            assert [self.task.call("standing", i) for i in range(6)] == [
                known.get(i, FULL) for i in range(6)
            ]


class AnybodyInCoalitions(AnybodyProposes):
    decides: ClassVar[Rule] = "coalition"


class AnybodyBeforeTheReferee(AnybodyProposes):
    decides: ClassVar[Rule] = "referee"


@pytest.mark.timeout(7200)  # for the profile `fuzz`
@pytest.mark.parametrize("machine", [AnybodyInCoalitions, AnybodyBeforeTheReferee])
def test_anybody_calling_anything_keeps_every_promise(machine: type[AnybodyProposes]) -> None:
    """A few histories; under ``BCFL_FUZZ`` a thousand, in which everything happens."""
    calls = play(machine, None if FUZZ else 4)
    assert {"propose", "propose_direct", "select", "Selected"} <= calls.keys(), calls
    if FUZZ:
        expect_all(calls, ALWAYS | {"propose", "propose_direct", "Proposed"})
