# pragma version 0.4.3
"""
@title Rankings
@license Apache-2.0
@notice Whether the bytes of a ballot rank candidates, each once. What a rank is worth is the
        rule's to say. The bytes are those of `borda`: 5 an entry, best first, sets behind.
"""

import borda
import refusals

# As many entries as fit, good or not.
_MAX_ENTRIES: constant(uint256) = borda.MAX_BYTES // 5
# The bits of a value.
VALUE: constant(uint256) = 2**32 - 1


@internal
@pure
def _read(ballot: Bytes[borda.MAX_BYTES], candidates: uint256) -> borda.Said:
    """
    @notice What a ballot says of whom, or why it does not count.
    @param candidates Bit field: whom it may rate. All others of them are unrated.
    """
    said: borda.Said = empty(borda.Said)
    count: uint256 = self._entries(ballot)
    length: uint256 = unsafe_mul(count, 5)
    sets: uint256 = 0
    if length != len(ballot):
        if unsafe_add(length, 32) != len(ballot):
            said.reason = refusals.LENGTH
            return said
        sets = extract32(ballot, length, output_type=uint256)
        if sets == 0:
            said.reason = refusals.UNRATED
            return said

    padded: Bytes[borda.MAX_BYTES + 32] = concat(ballot, empty(bytes32))
    before: uint256 = VALUE
    for at: uint256 in range(count, bound=_MAX_ENTRIES):
        entry: uint256 = extract32(padded, unsafe_mul(at, 5), output_type=uint256) >> 216
        value: uint256 = entry & VALUE
        bit: uint256 = 1 << (entry >> 32)
        if value > before:
            said.reason = refusals.ORDER
        elif said.rated & bit != 0:
            said.reason = refusals.TWICE
        elif candidates & bit == 0:
            said.reason = refusals.STRANGER
        if said.reason != refusals.GOOD:
            return said
        said.rated |= bit
        before = value

    said.missing = sets >> 128
    named: uint256 = said.missing | (sets & (2**128 - 1))
    if named & ~(candidates ^ said.rated) != 0 or said.missing & sets != 0:
        said.reason = refusals.UNRATED
    return said


@internal
@pure
def _entries(ballot: Bytes[borda.MAX_BYTES]) -> uint256:
    """
    @notice How many entries a ballot has, if it is one.
    """
    length: uint256 = len(ballot)
    if length % 5 == 2 and length >= 32:
        length = unsafe_sub(length, 32)
    return length // 5

