# pragma version 0.4.3
"""
@title Rankings
@license Apache-2.0
@notice Ballots that are read member by member. The bytes are those of `borda`; what a place is
        worth is the rule's to say.
"""

import borda
import lanes
import refusals


# A ballot that was read. In bytes, 32 a word from the lowest: by member its place, by place how
# many stand there.
struct Ranking:
    said: borda.Said
    places: uint256[lanes.WORDS]
    count: uint256[lanes.WORDS]


@internal
@pure
def _read(ballot: Bytes[borda.MAX_BYTES], candidates: uint256) -> Ranking:
    """
    @notice What a ballot says, or why it does not count.
    @param candidates Bit field: whom it may rate. All others of them are unrated.
    """
    found: Ranking = empty(Ranking)
    length: uint256 = len(ballot)
    padded: Bytes[borda.MAX_BYTES + 32] = concat(empty(bytes32), ballot)
    listed: uint256 = extract32(padded, length, output_type=uint256) & 255
    if listed > length or listed > lanes.CAPACITY:
        found.said.reason = refusals.LENGTH
        return found
    places: uint256 = 0
    rated: uint256 = 0
    for member: uint256 in range(listed, bound=lanes.CAPACITY):
        place: uint256 = extract32(padded, unsafe_sub(listed, member), output_type=uint256) & 255
        if place != borda.UNRATED:
            places |= 1 << place
            rated |= 1 << member
            found.places[member >> 5] |= place << ((member & 31) << 3)
            one: uint256 = 1 << ((place & 31) << 3)
            found.count[place >> 5] = unsafe_add(found.count[place >> 5], one)
    fits: bool = True
    next: uint256 = 0
    for place: uint256 in range(borda.UNRATED):
        if places >> place == 0:
            break
        if (places >> place) & 1 != 0:
            if place != next:
                fits = False
            next = unsafe_add(next, self._byte(found.count[place >> 5], place))
    found.said = borda._checked(padded, places, fits, rated, candidates)
    return found


@internal
@pure
def _values(
    ballot: Bytes[borda.MAX_BYTES], count: uint256[lanes.WORDS]
) -> uint256[lanes.CAPACITY]:
    """
    @notice The values of a ballot, by place.
    @param count See `Ranking`.
    """
    values: uint256[lanes.CAPACITY] = empty(uint256[lanes.CAPACITY])
    length: uint256 = len(ballot)
    padded: Bytes[borda.MAX_BYTES + 32] = concat(empty(bytes32), ballot)
    form: uint256 = extract32(padded, length, output_type=uint256) & 65535
    listed: uint256 = form & 255
    width: uint256 = (form >> 8) & 127
    most: uint256 = max_value(uint256) >> unsafe_sub(256, unsafe_mul(width, 8))
    # Where the next gap ends, from the last to the first.
    at: uint256 = unsafe_sub(length, 2)
    if form >= borda.SETS:
        at = unsafe_sub(at, 32)
    value: uint256 = 0
    is_lowest: bool = True
    for better: uint256 in range(1, unsafe_add(listed, 1), bound=lanes.CAPACITY):
        place: uint256 = unsafe_sub(listed, better)
        if self._byte(count[place >> 5], place) == 0:
            continue
        if is_lowest:
            value = extract32(padded, unsafe_add(listed, 4), output_type=uint256) & (2**32 - 1)
            is_lowest = False
        else:
            gap: uint256 = extract32(padded, at, output_type=uint256) & most
            value = unsafe_add(unsafe_add(value, gap), 1)
            at = unsafe_sub(at, width)
        values[place] = value
    return values


@internal
@pure
def _byte(word: uint256, index: uint256) -> uint256:
    """
    @notice One of the numbers of a `Ranking`, of the word that holds it.
    """
    return (word >> ((index & 31) << 3)) & 255
