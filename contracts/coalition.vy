# pragma version 0.4.3
"""
@title Coalitions
@license Apache-2.0
@notice The better half of the proposals wins, by a Borda count in which every ballot weighs what
        its author's standing is. PROTOCOL, System A, Rules.
@dev Python: `bcfl.consensus.spec.coalition`. The ballots are shown again, as the order of their
     events has them, and held against the hash chain. Of those whom a ballot may rate, one gets
     two points for each that it is better than, and one for each that it is equal to.

     Standing is fixed point, 2**15 being 1; what a member lacks of it is kept, so that nothing
     has to be written before the first round. A seat keeps it, whoever comes to sit there.
"""

import lanes
import membership
import peer_round
import peer_terms
import proposal_outcome
import proposal_round
import ranking
import selection

uses: peer_terms
uses: proposal_outcome

FULL: constant(uint256) = 2**15
_LANE: constant(uint256) = 2**16 - 1

# In lanes of 16 bits: what each member lacks of full standing.
_lacking: uint256[lanes.WORDS]


@external
def select(
    proposals: DynArray[proposal_outcome.Proposal, lanes.CAPACITY],
    ballots: DynArray[proposal_outcome.Rated, lanes.CAPACITY],
):
    """
    @notice Lets the contract choose the winners, or void the round if too few took part. The
            caller decides nothing.
    @param proposals All proposals of the round, in the order of their events.
    @param ballots All ballots that count, in the order of their events.
    """
    begun: proposal_outcome.Begun = proposal_outcome._begun()
    eligible: uint256 = begun.proposers & ~begun.barred
    sets: uint256[lanes.CAPACITY] = empty(uint256[lanes.CAPACITY])
    proposed: bytes32 = empty(bytes32)
    for one: proposal_outcome.Proposal in proposals:
        proposed = proposal_round._linked(proposed, one.member, convert(one.members, bytes32))
        sets[one.member] = one.members

    # By proposer: the points so far; how many ballots leave it unrated.
    points: uint256[lanes.CAPACITY] = empty(uint256[lanes.CAPACITY])
    without: uint256[lanes.CAPACITY] = empty(uint256[lanes.CAPACITY])
    cast: bytes32 = empty(bytes32)
    for one: proposal_outcome.Rated in ballots:
        cast = proposal_round._linked(cast, one.member, keccak256(one.entries))
        others: uint256 = begun.proposers & ~(1 << one.member)
        count: uint256 = lanes._count(others)
        weight: uint256 = self._standing(one.member)
        said: ranking.Ranking = ranking._read(one.entries, others)
        rated: uint256 = said.said.rated
        # Of those who are not rated, who are tied behind all.
        last: uint256 = unsafe_add(lanes._count(rated), count)
        for member: uint256 in range(lanes.CAPACITY):
            if others >> member == 0:
                break
            if (others >> member) & 1 == 0:
                continue
            # The first place of those with its value, from 0, and the first behind them.
            ends: uint256 = last
            if (rated >> member) & 1 != 0:
                place: uint256 = ranking._byte(said.places[member >> 5], member)
                tied: uint256 = ranking._byte(said.count[place >> 5], place)
                ends = unsafe_add(unsafe_mul(place, 2), tied)
            else:
                without[member] = unsafe_add(without[member], 1)
            # Twice those behind, and the others with this value.
            worth: uint256 = unsafe_sub(unsafe_sub(unsafe_mul(count, 2), ends), 1)
            points[member] = unsafe_add(points[member], unsafe_mul(weight, worth))
    proposal_outcome._expect_all(begun, proposed, cast)

    votes: uint256 = lanes._count(begun.voters)
    seen: uint256 = 0
    totals: DynArray[uint256, lanes.CAPACITY] = []
    for member: uint256 in range(lanes.CAPACITY):
        if begun.proposers >> member == 0:
            break
        totals.append(points[member])
        # More than half of the ballots of others rate it.
        of_others: uint256 = unsafe_sub(votes, (begun.voters >> member) & 1)
        if (eligible >> member) & 1 != 0 and unsafe_mul(without[member], 2) < of_others:
            seen |= 1 << member
    chosen: uint256 = 0
    winners: uint256 = 0
    seed: bytes32 = empty(bytes32)
    if proposal_outcome._takes_part(begun, eligible):
        seed = peer_round._seed(begun.header)
        places: uint256 = selection._winner_count(peer_terms.kappa_ppm, lanes._count(eligible))
        chosen = self._best(seen, totals, places, seed)
        if chosen != 0:
            winners = self._judge(begun.header & membership.SET, chosen, sets)
    proposal_outcome._end(begun, chosen, winners, totals, seed)


@external
@view
def standing(member: uint256) -> uint256:
    """
    @notice What a ballot of this member weighs: 2**15 is all there is.
    """
    return self._standing(member)


@internal
@view
def _standing(member: uint256) -> uint256:
    return unsafe_sub(FULL, (self._lacking[member >> 4] >> ((member & 15) << 4)) & _LANE)


@internal
@pure
def _best(
    seen: uint256, totals: DynArray[uint256, lanes.CAPACITY], places: uint256, seed: bytes32
) -> uint256:
    """
    @notice Of those who are seen, the `places` with most points; of equal ones the smaller lot,
            which is the hash of the seed and the index.
    @dev Every pair is compared once, and counts for whoever stands behind.
    """
    before: uint256[lanes.CAPACITY] = empty(uint256[lanes.CAPACITY])
    chosen: uint256 = 0
    for one: uint256 in range(len(totals), bound=lanes.CAPACITY):
        if (seen >> one) & 1 == 0:
            continue
        behind: uint256 = before[one]
        total: uint256 = totals[one]
        for other: uint256 in range(unsafe_add(one, 1), len(totals), bound=lanes.CAPACITY):
            if (seen >> other) & 1 == 0:
                continue
            if total > totals[other] or (
                total == totals[other] and selection._lot(seed, one) < selection._lot(seed, other)
            ):
                before[other] = unsafe_add(before[other], 1)
            else:
                behind = unsafe_add(behind, 1)
        if behind < places:
            chosen |= 1 << one
    return chosen


@internal
def _judge(
    committed: uint256, chosen: uint256, sets: uint256[lanes.CAPACITY]
) -> uint256:
    """
    @notice Half of the old standing, and half of the share of winning proposals that hold one.
            Who did not commit was not judged.
    @return Whom some winning proposal holds.
    """
    winners: uint256 = 0
    count: uint256 = lanes._count(chosen)
    words: uint256 = peer_round._words(committed)
    # In lanes: how many of the winning proposals hold each.
    holding: uint256[lanes.WORDS] = empty(uint256[lanes.WORDS])
    for proposer: uint256 in range(lanes.CAPACITY):
        if (chosen >> proposer) & 1 != 0:
            winners |= sets[proposer]
            holding = lanes._raised(holding, words, sets[proposer], 1)
    for word: uint256 in range(words, bound=lanes.WORDS):
        lacking: uint256 = self._lacking[word]
        for lane: uint256 in range(16):
            if (committed >> ((word << 4) | lane)) & 1 == 0:
                continue
            at: uint256 = lane << 4
            before: uint256 = unsafe_sub(FULL, (lacking >> at) & _LANE)
            share: uint256 = unsafe_mul((holding[word] >> at) & _LANE, FULL) // count
            after: uint256 = unsafe_add(before, share) >> 1
            lacking = unsafe_add(lacking, unsafe_sub(before, after) << at)
        self._lacking[word] = lacking
    return winners
