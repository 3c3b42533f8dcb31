"""S4 once more where members propose: which proposals won, or why a round was void.

PROTOCOL, System A, *Rules*. What the contract decided is recomputed from proposals and ballots
with the core's own rules.
"""

from __future__ import annotations

from collections.abc import Iterator

from bcfl.audit.evidence import Evidence
from bcfl.audit.findings import CHAIN, Finding
from bcfl.audit.history import Round
from bcfl.consensus.contract.events import Selected, Voided
from bcfl.consensus.spec import coalition, referee
from bcfl.consensus.spec.candidates import Decision, eligible, takes_part
from bcfl.consensus.spec.domain import Ballot, members_in


def check_decision(
    round_: Round, outcome: Selected | Voided, evidence: Evidence
) -> Iterator[Finding]:
    """Scores, winning proposals and winners follow from what was proposed and rated."""
    number, expected = round_.chain_round, _decided(round_, outcome, evidence)
    found = outcome.chosen if isinstance(outcome, Selected) else 0
    if members_in(found) != expected.chosen:
        words = f"the proposals of {expected.chosen} to win" if expected.chosen else "a void round"
        yield Finding("outcome", CHAIN, number, words, f"{members_in(found) or 'void'}")
        return
    if not isinstance(outcome, Selected):
        return
    scores = {m: expected.scores.get(m, 0) for m in range(len(outcome.scores))}
    if (said := dict(enumerate(outcome.scores))) != scores:
        yield Finding("scores", CHAIN, number, str(scores), str(said))
    winners = 0
    for proposer in expected.chosen:
        winners |= round_.proposals[proposer].members
    if winners != outcome.winners:
        yield Finding("winners", CHAIN, number, f"{members_in(winners)}", f"{round_.winners}")


def _decided(round_: Round, outcome: Selected | Voided, evidence: Evidence) -> Decision:
    terms = evidence.terms
    proposals = {member: event.members for member, event in round_.proposals.items()}
    ballots = {
        member: Ballot.decode(round_.chain_round, event.entries)
        for member, event in round_.ballots.items()
    }
    possible = eligible(proposals, round_.barred)
    counts = len(possible), len(proposals), len(ballots), len(round_.commitments)
    if not takes_part(*counts, terms.quorum):
        return Decision((), {})
    if terms.rule == "referee":
        return referee.decide(proposals, ballots, barred=round_.barred)
    return coalition.decide(
        proposals,
        ballots,
        round_.standings,
        barred=round_.barred,
        kappa_ppm=terms.kappa_ppm,
        size=round_.size,
        seed=outcome.seed if isinstance(outcome, Selected) else bytes(32),
    )
