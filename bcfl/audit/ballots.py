"""S4 once more: the ballots, their points, the winners; or why a round was void.

Claim 5. What the contract decided is recomputed from the ballots with the core's scoring.
"""

from __future__ import annotations

from collections.abc import Iterator

from bcfl.audit.evidence import Evidence
from bcfl.audit.findings import CHAIN, Finding, reviewer
from bcfl.audit.history import Round
from bcfl.consensus.contract.events import Selected, Voided
from bcfl.consensus.spec.domain import Ballot, bits, members_in
from bcfl.consensus.spec.scoring import Borda, tally
from bcfl.consensus.spec.selection import select_winners
from bcfl.core.errors import ProtocolError

__all__ = ["ballot_fault", "check_ballots", "check_outcome"]


def ballot_fault(member: int, entries: bytes, round_: Round) -> str | None:
    """Why these entries are no ballot of this member in this round; None if they are one."""
    try:
        ballot = Ballot.decode(round_.chain_round, entries)
    except ProtocolError as error:
        return str(error)
    rated = {rating.member for rating in ballot.ratings}
    if member in rated:
        return "a member rates itself"
    if strangers := rated - round_.commitments.keys():
        return f"it rates {sorted(strangers)}, who have not committed"
    if len(rated) >= round_.size:
        return f"{len(rated)} entries, with {round_.size} members"
    return None


def check_ballots(round_: Round) -> Iterator[Finding]:
    """Every ballot claims an order that its values have, and rates only whom it may."""
    for member, event in round_.ballots.items():
        if (fault := ballot_fault(member, event.entries, round_)) is not None:
            expected = "a ballot in descending order, over others who committed"
            yield Finding("ballot", reviewer(member), round_.chain_round, expected, fault)


def check_outcome(round_: Round, evidence: Evidence) -> Iterator[Finding]:
    """The points, the winners, or that there are none, follow from the ballots."""
    terms, outcome = evidence.terms, round_.outcome
    if outcome is None:
        return
    number = round_.chain_round
    candidates = [m for m in sorted(round_.commitments) if not round_.barred >> m & 1]
    enough = min(len(candidates), len(round_.ballots)) >= terms.quorum
    if isinstance(outcome, Voided):
        counts = f"{len(candidates)} candidates and {len(round_.ballots)} ballots"
        if enough:
            expected = f"winners, as there are {counts} for a quorum of {terms.quorum}"
            yield Finding("outcome", CHAIN, number, expected, "a void round")
        told = (bits(round_.commitments), bits(round_.ballots))
        if (outcome.committed, outcome.voted) != told:
            expected = f"void with committed, voted = {tuple(map(members_in, told))}"
            said = (members_in(outcome.committed), members_in(outcome.voted))
            yield Finding("outcome", CHAIN, number, expected, str(said))
        return
    if not enough:
        yield Finding("outcome", CHAIN, number, f"a quorum of {terms.quorum}, or void", "winners")
        return
    yield from _check_selection(round_, outcome, candidates, evidence)


def _check_selection(
    round_: Round, outcome: Selected, candidates: list[int], evidence: Evidence
) -> Iterator[Finding]:
    ballots = [
        Ballot.decode(round_.chain_round, event.entries) for event in round_.ballots.values()
    ]
    totals = tally(Borda(), ballots, round_.size)
    scores = {m: totals.get(m, 0) for m in round_.commitments}
    said = {m: points for m, points in enumerate(outcome.scores) if points or m in scores}
    if said != scores:
        yield Finding("scores", CHAIN, round_.chain_round, str(scores), str(said))
    digests = {m: round_.commitments[m].digest for m in candidates}
    winners = select_winners({m: scores[m] for m in candidates}, digests, evidence.terms.kappa_ppm)
    if tuple(sorted(winners)) != round_.winners:
        expected = f"winners {tuple(sorted(winners))}"
        yield Finding("winners", CHAIN, round_.chain_round, expected, str(round_.winners))
