# pragma version 0.4.3
"""
@title Selection
@license Apache-2.0
@notice The winners U^O: the best by points, and among equals by lot. PROTOCOL, S4; claim 5.
@dev Nothing is sorted. The points of the last winner are found bit by bit, each time asking
     of all members at once how many reach so far. Where equal points stand on both sides of
     the line, lots decide: a member's is sha256(seed, index), and the seed is of a time when
     nobody knew any points. Python: `bcfl.consensus.spec.selection`.
"""

import lanes


@internal
@pure
def _winner_count(kappa_ppm: uint256, count: uint256) -> uint256:
    """
    @notice kappa times `count`, rounded up, but never all of several (US claim 7).
    """
    places: uint256 = unsafe_add(unsafe_mul(kappa_ppm, count), 999_999) // 1_000_000
    if places == count and count > 1:
        return unsafe_sub(count, 1)
    return places


@internal
@pure
def _best(
    candidates: uint256,
    tally: uint256[lanes.WORDS],
    words: uint256,
    places: uint256,
    limit: uint256,
) -> (uint256, uint256):
    """
    @notice Divides the best of the candidates into who wins for sure and who is on the line.
    @param candidates Bit field, at least `places` of them, and no more than have lanes.
    @param tally The points, in lanes.
    @param words How many words of `tally` count.
    @param places How many win, at least 1.
    @param limit What no counter is above; the smaller, the cheaper.
    @return Those who win for sure, as a bit field. Those with equal points of whom some, and
            not all, win as well; 0 if there are none.
    """
    eligible: uint256[lanes.WORDS] = empty(uint256[lanes.WORDS])
    for word: uint256 in range(words, bound=lanes.WORDS):
        eligible[word] = lanes._spread(candidates >> (word << 4))

    # The highest mark that enough candidates reach: its bits, from the highest.
    mark: uint256 = 0
    for step: uint256 in range(15):
        higher: uint256 = mark | (2**14 >> step)
        if higher > limit:
            continue
        count: uint256 = 0
        marks: uint256 = unsafe_mul(higher, lanes.ONES)
        for word: uint256 in range(words, bound=lanes.WORDS):
            reaching: uint256 = unsafe_sub(tally[word] | lanes.FLAGS, marks) & eligible[word]
            count = unsafe_add(count, unsafe_mul(reaching >> 15, lanes.ONES) >> 240)
        if count >= places:
            mark = higher

    at_least: uint256 = candidates & self._reaching(mark, tally, words)
    if lanes._count(at_least) == places:
        return at_least, 0
    above: uint256 = candidates & self._reaching(unsafe_add(mark, 1), tally, words)
    return above, at_least ^ above


@internal
@pure
def _reaching(mark: uint256, tally: uint256[lanes.WORDS], words: uint256) -> uint256:
    """
    @notice Bit field of the lanes whose counter is at least `mark`.
    """
    reaching: uint256 = 0
    marks: uint256 = unsafe_mul(mark, lanes.ONES)
    for word: uint256 in range(words, bound=lanes.WORDS):
        flags: uint256 = unsafe_sub(tally[word] | lanes.FLAGS, marks) & lanes.FLAGS
        reaching |= lanes._gather(flags) << (word << 4)
    return reaching


@internal
@pure
def _break_tie(tied: uint256, places: uint256, seed: bytes32) -> uint256:
    """
    @notice The `places` members of `tied` with the smallest lots.
    @dev Everybody counts who stands before it. Quadratic in how many are tied, mostly two.
    """
    members: DynArray[uint256, lanes.CAPACITY] = []
    lots: DynArray[uint256, lanes.CAPACITY] = []
    for member: uint256 in range(lanes.CAPACITY):
        if tied >> member == 0:
            break
        if (tied >> member) & 1 != 0:
            members.append(member)
            lots.append(self._lot(seed, member))
    chosen: uint256 = 0
    for at: uint256 in range(len(lots), bound=lanes.CAPACITY):
        lot: uint256 = lots[at]
        before: uint256 = 0
        for other: uint256 in lots:
            if other < lot:
                before = unsafe_add(before, 1)
        if before < places:
            chosen |= 1 << members[at]
    return chosen


@internal
@pure
def _lot(seed: bytes32, member: uint256) -> uint256:
    return convert(sha256(concat(seed, convert(member, bytes32))), uint256)
