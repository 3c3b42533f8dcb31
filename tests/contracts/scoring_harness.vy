# pragma version 0.4.3
# For tests: makes the modules that count and choose callable by themselves.

import borda
import lanes
import ranking
import selection


@external
@pure
def count(
    tally: uint256[lanes.WORDS],
    words: uint256,
    ballot: Bytes[borda.MAX_BYTES],
    size: uint256,
    others: uint256,
) -> (uint256[lanes.WORDS], borda.Said):
    return borda._counted(tally, words, ballot, size, others)


@external
@pure
def read(
    ballot: Bytes[borda.MAX_BYTES], candidates: uint256
) -> (borda.Said, DynArray[uint256, lanes.CAPACITY]):
    """
    @return What it says; by member, its value, or 0.
    """
    found: ranking.Ranking = ranking._read(ballot, candidates)
    values: DynArray[uint256, lanes.CAPACITY] = []
    if found.said.reason == 0:
        by_place: uint256[lanes.CAPACITY] = ranking._values(ballot, found.count)
        for member: uint256 in range(lanes.CAPACITY):
            rated: uint256 = (found.said.rated >> member) & 1
            values.append(by_place[ranking._byte(found.places[member >> 5], member)] * rated)
    return found.said, values


@external
@pure
def choose(
    candidates: uint256,
    tally: uint256[lanes.WORDS],
    words: uint256,
    kappa_ppm: uint256,
    limit: uint256,
    seed: bytes32,
) -> uint256:
    places: uint256 = selection._winner_count(kappa_ppm, lanes._count(candidates))
    sure: uint256 = 0
    tied: uint256 = 0
    sure, tied = selection._best(candidates, tally, words, places, limit)
    if tied == 0:
        return sure
    return sure | selection._break_tie(tied, places - lanes._count(sure), seed)


@external
@pure
def bits(field: uint256) -> (uint256, uint256, uint256):
    """
    @return The flags of the lowest 16 bits, these gathered again, and how many of all are set.
    """
    flags: uint256 = lanes._spread(field)
    return flags, lanes._gather(flags), lanes._count(field)
