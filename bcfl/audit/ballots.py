"""S4 once more: the ballots, their points, the winners; or why a round was void.

Claim 5. What the contract decided is recomputed from the ballots with the core's scoring.
"""

from __future__ import annotations

from collections.abc import Iterator

from bcfl.audit.decisions import check_decision
from bcfl.audit.evidence import Evidence
from bcfl.audit.findings import CHAIN, Finding, reviewer
from bcfl.audit.history import Round
from bcfl.consensus.contract.events import Selected, Voided
from bcfl.consensus.spec.domain import Ballot, bits, members_in
from bcfl.consensus.spec.rules import Rule
from bcfl.consensus.spec.scoring import (
    Borda,
    abstains,
    expect_ballot,
    seen_by_most,
    tally,
)
from bcfl.consensus.spec.selection import select_winners, takes_part
from bcfl.core.errors import ProtocolError

_HASHES_KNOWN = 256  # of how many blocks before its own a contract can ask for the hash


def ballot_fault(member: int, entries: bytes, round_: Round, rule: Rule) -> str | None:
    """Why these entries are no ballot of this member in this round; None if they are one."""
    try:
        ballot = Ballot.decode(round_.chain_round, entries)
        if ballot.rated >> member & 1 and rule != "referee":
            return "a member rates itself"
        expect_ballot(ballot, round_.rated_by(member, rule), round_.size + (rule == "referee"))
    except ProtocolError as error:
        return str(error)
    return None


def check_ballots(round_: Round, rule: Rule) -> Iterator[Finding]:
    """Every ballot claims an order that its values have, and speaks only of whom it may.

    Whoever missed more than a quarter of the others gives no points.
    """
    for member, event in round_.ballots.items():
        number, others = round_.chain_round, round_.rated_by(member, rule)
        if (fault := ballot_fault(member, event.entries, round_, rule)) is not None:
            expected = "a ballot in descending order, over others who committed"
            yield Finding("ballot", reviewer(member), number, expected, fault)
        elif abstains(ballot := Ballot.decode(number, event.entries), others):
            missing = members_in(ballot.missing)
            expected = f"the ballot of member {member}, who misses {missing}, to give no points"
            yield Finding("abstention", CHAIN, number, expected, "it counted")


def check_outcome(round_: Round, evidence: Evidence) -> Iterator[Finding]:
    """The points, the winners, or that there are none, follow from the ballots."""
    terms, outcome = evidence.terms, round_.outcome
    if outcome is None:
        return
    number = round_.chain_round
    if isinstance(outcome, Voided):
        yield from _check_void(round_, outcome)
    if terms.proposes:
        if isinstance(outcome, Selected) and terms.rule == "coalition":
            yield from _check_seed(round_, outcome, evidence)
        yield from check_decision(round_, outcome, evidence)
        return
    candidates = [m for m in sorted(round_.commitments) if not round_.barred >> m & 1]
    committed = len(round_.commitments)
    enough = takes_part(len(candidates), len(round_.ballots), committed, terms.quorum)
    ballots = _ballots(round_)
    seen = seen_by_most(ballots, round_.commitments.keys()) & set(candidates)
    if isinstance(outcome, Voided):
        counts = f"{len(candidates)} candidates and {len(round_.ballots)} ballots"
        if enough and seen:
            expected = f"winners, as there are {counts} for a quorum of {terms.quorum}"
            yield Finding("outcome", CHAIN, number, expected, "a void round")
        return
    if not (enough and seen):
        yield Finding("outcome", CHAIN, number, f"a quorum of {terms.quorum}, or void", "winners")
        return
    yield from _check_seed(round_, outcome, evidence)
    yield from _check_selection(round_, outcome, candidates, evidence)


def _check_void(round_: Round, outcome: Voided) -> Iterator[Finding]:
    told = (bits(round_.commitments), bits(round_.ballots), bits(round_.abstained))
    said = (outcome.committed, outcome.voted, outcome.abstained)
    if said != told:
        expected = f"void with committed, voted, abstained = {tuple(map(members_in, told))}"
        found = str(tuple(map(members_in, said)))
        yield Finding("outcome", CHAIN, round_.chain_round, expected, found)


def seed_block(committed: int, selected: int) -> int:
    """Number of the block whose hash decides between equals, as ``peer_round.vy`` finds it.

    That of the last commitment; from 256 blocks on, of which no contract knows the hash, the
    latest that lies a multiple of 256 behind the selection's. All are numbers of blocks.
    """
    return selected - ((selected - committed - 1) % _HASHES_KNOWN + 1)


def _check_seed(round_: Round, outcome: Selected, evidence: Evidence) -> Iterator[Finding]:
    committed = max((event.block for event in round_.commitments.values()), default=0)
    number = seed_block(committed, outcome.block)
    if (found := evidence.hashes.get(number)) != outcome.seed:
        expected = f"the hash of block {number}, {found.hex() if found else 'which is not there'}"
        yield Finding("seed", CHAIN, round_.chain_round, expected, outcome.seed.hex())


def _ballots(round_: Round) -> dict[int, Ballot]:
    return {
        member: Ballot.decode(round_.chain_round, event.entries)
        for member, event in round_.ballots.items()
    }


def _check_selection(
    round_: Round, outcome: Selected, candidates: list[int], evidence: Evidence
) -> Iterator[Finding]:
    ballots, committed = _ballots(round_), round_.commitments.keys()
    totals = tally(Borda(), ballots, committed, round_.size)
    scores = {m: totals.get(m, 0) for m in round_.commitments}
    said = {m: points for m, points in enumerate(outcome.scores) if points or m in scores}
    if said != scores:
        yield Finding("scores", CHAIN, round_.chain_round, str(scores), str(said))
    seen, kappa_ppm = seen_by_most(ballots, committed), evidence.terms.kappa_ppm
    winners = select_winners(scores, candidates, seen, kappa_ppm, outcome.seed)
    if tuple(sorted(winners)) != round_.winners:
        expected = f"winners {tuple(sorted(winners))}"
        yield Finding("winners", CHAIN, round_.chain_round, expected, str(round_.winners))
