# pragma version 0.4.3
"""
@title Rankings
@license Apache-2.0
@notice Whether the bytes of a ballot rank candidates, each once. What a rank is worth is the
        rule's to say. The bytes are those of `borda`.
"""

import borda
import lanes
import refusals


# A ballot that was read. Of who is rated, by place from 0, best first: the member, in bytes, 32 a
# word from the lowest, and the value.
struct Ranking:
    said: borda.Said
    count: uint256
    members: uint256[lanes.CAPACITY // 32]
    values: uint256[lanes.CAPACITY]


@internal
@pure
def _read(ballot: Bytes[borda.MAX_BYTES], candidates: uint256) -> Ranking:
    """
    @notice What a ballot says, or why it does not count.
    @param candidates Bit field: whom it may rate. All others of them are unrated.
    """
    found: Ranking = empty(Ranking)
    length: uint256 = len(ballot)
    padded: Bytes[borda.MAX_BYTES + 64] = concat(empty(bytes32), ballot, empty(bytes32))
    form: uint256 = extract32(padded, length, output_type=uint256) & 65535
    listed: uint256 = form & 255
    width: uint256 = (form >> 8) & 127
    found.said.reason = refusals.LENGTH
    if unsafe_add(listed, 2) > length or listed > lanes.CAPACITY or (width != 2 and width != 4):
        return found

    taken: uint256 = 0
    place: uint256 = borda.UNRATED
    for member: uint256 in range(listed, bound=lanes.CAPACITY):
        place = extract32(padded, unsafe_sub(listed, member), output_type=uint256) & 255
        if place < lanes.CAPACITY:
            found.members[place >> 5] |= member << ((place & 31) << 3)
            found.said.rated |= 1 << member
        if place != borda.UNRATED:
            found.count = unsafe_add(found.count, 1)
            taken |= 1 << place
    at: uint256 = unsafe_add(listed, 32)
    end: uint256 = at
    if found.count != 0:
        end = unsafe_add(end, unsafe_add(4, unsafe_mul(width, unsafe_sub(found.count, 1))))
    sets: uint256 = 0
    if form >= borda.SETS:
        sets = extract32(padded, end, output_type=uint256)
        end = unsafe_add(end, 32)
    # The highest that is listed has a place.
    if unsafe_add(end, 2) != unsafe_add(length, 32) or (listed != 0 and place == borda.UNRATED):
        return found

    value: uint256 = 0
    widest: uint256 = 0
    for rank: uint256 in range(found.count, bound=lanes.CAPACITY):
        word: uint256 = extract32(padded, at, output_type=uint256)
        if rank == 0:
            value = word >> 224
            at = unsafe_add(at, 4)
        else:
            fall: uint256 = word >> unsafe_sub(256, unsafe_mul(8, width))
            if fall > value:
                found.said.reason = refusals.ORDER
                return found
            value = unsafe_sub(value, fall)
            widest |= fall
            at = unsafe_add(at, width)
        found.values[rank] = value
    found.said.missing = sets >> 128
    named: uint256 = found.said.missing | (sets & (2**128 - 1))
    behind_last: uint256 = 1 << found.count
    if width == 4 and widest < 65536:
        pass
    elif taken != unsafe_sub(behind_last, 1):
        found.said.reason = refusals.TWICE
    elif found.said.rated & ~candidates != 0:
        found.said.reason = refusals.STRANGER
    elif (
        named & ~(candidates ^ found.said.rated) != 0
        or found.said.missing & sets != 0
        or (form >= borda.SETS and sets == 0)
    ):
        found.said.reason = refusals.UNRATED
    else:
        found.said.reason = refusals.GOOD
    return found


@internal
@pure
def _member(members: uint256[lanes.CAPACITY // 32], place: uint256) -> uint256:
    """
    @notice Who stands at a place.
    """
    return (members[place >> 5] >> ((place & 31) << 3)) & 255
