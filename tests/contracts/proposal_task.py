"""A task whose members propose: ``PeerCoalition`` and ``PeerReferee``, as the tests drive them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from eth_account.signers.local import LocalAccount

from bcfl.consensus.spec import coalition, referee
from bcfl.consensus.spec.candidates import Decision, eligible, takes_part
from bcfl.consensus.spec.domain import Ballot, Phase, Proposal, bits, members_in
from tests.consensus.spec.proposals import Proposed
from tests.contracts.peer_consensus_keys import Words
from tests.contracts.peer_consensus_task import STRANGER, WINDOW_S, Task, digest_of

Rule = Literal["coalition", "referee"]
CONTRACTS = {"coalition": "PeerCoalition", "referee": "PeerReferee"}


class ProposalTask(Task):
    """A deployed contract of the rule, and what the reference makes of the same."""

    def __init__(self, rule: Rule, members: int = 4, **options: Any) -> None:
        super().__init__(members, contract=CONTRACTS[rule], **options)
        self.rule = rule
        self.kappa_ppm = options.get("kappa_ppm", 500_000)
        self.quorum = options.get("quorum", 1)
        self.standings: dict[int, int] = {}  #: as the reference has them

    def proposal(self, member: int, members: Iterable[int], round_: int | None = None) -> Words:
        """That member's signed proposal for the current round."""
        said = Proposal(round_ or self.state.round, bits(members))
        return self.signing.proposal(member, self.keys[member], said)

    def propose(self, sets: Mapping[int, Iterable[int]]) -> None:
        """Relay proposals, by proposer."""
        batch = [self.proposal(member, members) for member, members in sets.items()]
        self.call("propose", self.state.round, batch)

    def candidates(self, voter: int) -> list[int]:
        """Whose proposals this member's ballot rates."""
        proposers = members_in(self.state.proposed)
        return [j for j in proposers if j != voter or self.rule == "referee"]

    def vote_alike(self, values: Mapping[int, int]) -> None:
        """Everybody who committed gives every proposal that it may rate the same values."""
        committed = members_in(self.state.committed)
        self.vote({i: {j: values[j] for j in self.candidates(i)} for i in committed})

    def direct(self, round_: Proposed) -> None:
        """A round up to its decision, in transactions of the members' own.

        Everybody is active; whoever cheats is shown to have before the decision.
        """
        self.open()
        number = self.state.round
        for member in sorted(round_.committed):
            call = "commit_direct", number, digest_of(member, number), self.now
            self.call(*call, sender=self.keys[member])
        self.travel(WINDOW_S + 1)
        if self.state.phase is Phase.PROPOSE:
            for member, members in round_.proposals.items():
                self.call("propose_direct", number, members, sender=self.keys[member])
        self.travel(WINDOW_S)
        if self.state.phase is Phase.BALLOT:
            for member, ballot in round_.ballots.items():
                call = "cast_ballot_direct", number, ballot.encode(), bytes(32)
                self.call(*call, sender=self.keys[member])
        for member in members_in(round_.barred):
            both = [
                self.signing.evidence(self.keys[member], self.unsigned(member, version))
                for version in (1, 2)
            ]
            self.call("prove_equivocation", member, number, *both)
        self.travel(WINDOW_S + 1)

    # -- the decision -------------------------------------------------------------------------

    def shown(self) -> tuple[list[tuple[int, int]], list[tuple[int, bytes]]]:
        """The round's proposals and ballots, as ``select`` takes them."""
        round_ = self.state.round
        proposed = [e for e in self.events("Proposed") if e["round"] == round_]
        cast = [e for e in self.events("BallotCast") if e["round"] == round_]
        return (
            [(event["member"], event["members"]) for event in proposed],
            [(event["member"], event["entries"]) for event in cast],
        )

    def ballots(self) -> dict[int, Ballot]:
        """Those that count, by author."""
        return {member: Ballot.decode(1, entries) for member, entries in self.shown()[1]}

    def medians(self) -> list[int]:
        """What ``select`` of the referee takes beside."""
        found = referee.medians(self.ballots(), dict(self.shown()[0]).keys())
        return [found[member] for member, _ in self.shown()[0]]

    def select(self, sender: str | LocalAccount = STRANGER) -> None:
        """Select, with all that was said."""
        more = [self.medians()] if self.rule == "referee" else []
        self.call("select", *self.shown(), *more, sender=sender)

    def expected(self) -> Decision:
        """What the reference decides, as long as ``select`` was not called. No winners: void."""
        state, proposals, ballots = self.state, dict(self.shown()[0]), self.ballots()
        possible = eligible(proposals, state.equivocators)
        counts = len(possible), len(proposals), len(ballots), state.committed.bit_count()
        if self.rule == "referee":
            found = referee.decide(proposals, ballots, barred=state.equivocators)
        else:
            found = coalition.decide(
                proposals,
                ballots,
                self.standings,
                barred=state.equivocators,
                kappa_ppm=self.kappa_ppm,
                size=len(self.keys),
                seed=self.seed(),
            )
        enough = takes_part(*counts, self.quorum)
        return found if enough else Decision((), found.scores)

    def expect_decision(self) -> Decision:
        """Select, and hold the contract's choice against the reference's."""
        expected = self.expected()
        proposals = dict(self.shown()[0])
        committed, before = set(members_in(self.state.committed)), len(self.events("Selected"))
        self.select()
        new = self.events("Selected")[before:]
        if not expected.chosen:
            assert not new
            assert self.state.winners == 0
            return expected
        (event,) = new
        assert members_in(event["chosen"]) == expected.chosen
        winners = 0
        for proposer in expected.chosen:
            winners |= proposals[proposer]
        assert event["winners"] == self.state.winners == winners
        scores = dict(enumerate(event["scores"]))
        assert scores == {i: expected.scores.get(i, 0) for i in range(max(proposals) + 1)}
        if self.rule == "coalition":
            self.standings = coalition.standings_after(
                self.standings, proposals, set(expected.chosen), committed
            )
            for member in range(len(self.keys)):
                standing = self.standings.get(member, coalition.FULL)
                assert self.call("standing", member) == standing
        return expected
