# pragma version 0.4.3
"""
@title The referee
@license Apache-2.0
@notice The proposal whose median report is best wins. Everybody reports, on a reference set that
        all hold, so that no liars short of half can move it. PROTOCOL, System A, Rules.
@dev Python: `bcfl.consensus.spec.referee`. Nothing is sorted: the caller says what the medians
     are, and the ballots, which are shown again and held against the hash chain, prove it. The
     median is the largest value that more than half of the ballots reach; whoever does not rate
     a proposal reports 0 of it.
"""

import lanes
import proposal_outcome
import proposal_round
import ranking

uses: proposal_outcome


@external
def select(
    proposals: DynArray[proposal_outcome.Proposal, lanes.CAPACITY],
    ballots: DynArray[proposal_outcome.Rated, lanes.CAPACITY],
    medians: DynArray[uint256, lanes.CAPACITY],
):
    """
    @notice Lets the contract choose the winner, or void the round if too few took part. The
            caller decides nothing.
    @param proposals All proposals of the round, in the order of their events.
    @param ballots All ballots that count, in the order of their events.
    @param medians Of what these ballots report: one for each proposal, in the same order.
    """
    begun: proposal_outcome.Begun = proposal_outcome._begun()
    assert len(medians) == len(proposals), "referee: not a median for each proposal"
    eligible: uint256 = begun.proposers & ~begun.barred
    # By proposer.
    sets: uint256[lanes.CAPACITY] = empty(uint256[lanes.CAPACITY])
    median: uint256[lanes.CAPACITY] = empty(uint256[lanes.CAPACITY])
    proposed: bytes32 = empty(bytes32)
    for at: uint256 in range(len(proposals), bound=lanes.CAPACITY):
        one: proposal_outcome.Proposal = proposals[at]
        proposed = proposal_round._linked(proposed, one.member, convert(one.members, bytes32))
        sets[one.member] = one.members
        median[one.member] = medians[at]

    # By proposer: how many ballots reach the median, and how many are above it.
    reaching: uint256[lanes.CAPACITY] = empty(uint256[lanes.CAPACITY])
    above: uint256[lanes.CAPACITY] = empty(uint256[lanes.CAPACITY])
    cast: bytes32 = empty(bytes32)
    for one: proposal_outcome.Rated in ballots:
        cast = proposal_round._linked(cast, one.member, keccak256(one.entries))
        said: ranking.Ranking = ranking._read(one.entries, begun.proposers)
        values: uint256[lanes.CAPACITY] = ranking._values(one.entries, said.count)
        for member: uint256 in range(lanes.CAPACITY):
            if said.said.rated >> member == 0:
                break
            if (said.said.rated >> member) & 1 == 0:
                continue
            value: uint256 = values[ranking._byte(said.places[member >> 5], member)]
            if value >= median[member]:
                reaching[member] = unsafe_add(reaching[member], 1)
                if value > median[member]:
                    above[member] = unsafe_add(above[member], 1)
    proposal_outcome._expect_all(begun, proposed, cast)

    votes: uint256 = lanes._count(begun.voters)
    scores: DynArray[uint256, lanes.CAPACITY] = []
    best: uint256 = 0
    chosen: uint256 = 0
    for member: uint256 in range(lanes.CAPACITY):
        if begun.proposers >> member == 0:
            break
        value: uint256 = median[member]
        assert unsafe_mul(above[member], 2) <= votes, "referee: not the medians"
        assert value == 0 or unsafe_mul(reaching[member], 2) > votes, "referee: not the medians"
        scores.append(value)
        if (eligible >> member) & 1 != 0 and value > best:
            best = value
            chosen = 1 << member
    winners: uint256 = 0
    if proposal_outcome._takes_part(begun, eligible):
        for member: uint256 in range(len(scores), bound=lanes.CAPACITY):
            if (chosen >> member) & 1 != 0:
                winners = sets[member]
    proposal_outcome._end(begun, chosen, winners, scores, empty(bytes32))
