# pragma version 0.4.3
"""
@title Borda count
@license Apache-2.0
@notice The scoring rule: what points one ballot gives to whom. PROTOCOL, S4; claim 5.
@dev A scoring rule is one function, `_counted`, and one limit, `MAX_BYTES`. Another rule can
     stand beside this one if its points, summed over 127 ballots, stay below 2**15; `selection`
     also wants to know a bound, see `peer_outcome`. Python: `bcfl.consensus.spec.scoring.Borda`.

     A ballot is a row of the evaluation matrix in descending order, as five parts:

         places   1 byte a member, the highest index first: at which place, from 0, it stands;
                  255 for who is not rated. The first of these bytes is not 255.
         best     4 bytes: the largest value; left out where nobody is rated
         falls    2 or 4 bytes each, whichever holds the largest: by how much every place's
                  value is below that of the place before it
         sets     32 bytes: whose delta never came in the upper half, whose bytes were no delta
                  in the lower half; left out where there are none
         form     2 bytes: how many bytes a fall has, plus 128 if there are sets; then how many
                  places are listed

     So a ballot has one encoding, its values descend by construction, and what is left to
     check is that the places are 0, 1, 2, ..., each once. With m members, position p (from 1)
     is worth m - p points; equal values share the mean of their positions' points; all is
     doubled, so that it stays integer: a tie at the positions a..b gives 2 m - (a + b) each.
     Of the c who committed, those whom a ballot with r entries does not rate, its author
     aside, are tied at its last places, r + 1 to c - 1: leaving off is no worse than ranking
     last.
"""

import lanes
import refusals

# 128 places, the best value, 127 falls of 4 bytes, sets, form.
MAX_BYTES: constant(uint256) = lanes.CAPACITY + 4 * lanes.CAPACITY + 34
# How many words they fill, at most.
_FALL_WORDS: constant(uint256) = 4 * lanes.CAPACITY // 32
# Of the form: that there are sets.
SETS: constant(uint256) = 2**15

# The place of who is not rated, and a word full of it; the bits of all other places.
UNRATED: constant(uint256) = 255
_SOMEWHERE: constant(uint256) = 2**255 - 1
_AHEAD: constant(bytes32) = (
    0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff
)

# The lowest bit of each lane, in words of lanes of so many bits.
_ONES_16: constant(uint256) = lanes.ONES
_ONES_32: constant(uint256) = max_value(uint256) // (2**32 - 1)
_ONES_64: constant(uint256) = max_value(uint256) // (2**64 - 1)


# What a ballot says of whom.
struct Said:
    reason: uint256
    rated: uint256
    missing: uint256


@internal
@pure
def _counted(
    tally: uint256[lanes.WORDS],
    words: uint256,
    ballot: Bytes[MAX_BYTES],
    size: uint256,
    others: uint256,
) -> (uint256[lanes.WORDS], Said):
    """
    @notice Checks a ballot and adds its points to a tally.
    @param tally Doubled points, in lanes.
    @param words How many words of it the lanes of all who may be rated fill.
    @param ballot Its bytes.
    @param size m, the number of members.
    @param others Whom it may rate: who committed, without its author. Fewer than m.
    @return The new tally; why the ballot does not count, if it does not, and then the tally is
            of no meaning; who is rated and who missing, as bit fields.
    """
    said: Said = empty(Said)
    sums: uint256[lanes.WORDS] = tally
    length: uint256 = len(ballot)
    padded: Bytes[MAX_BYTES + 64] = concat(_AHEAD, ballot, empty(bytes32))
    form: uint256 = extract32(padded, length, output_type=uint256)
    listed: uint256 = form & 255
    width: uint256 = (form >> 8) & 127
    if unsafe_add(listed, 2) > length or listed > lanes.CAPACITY or (width != 2 and width != 4):
        said.reason = refusals.LENGTH
        return sums, said

    # Bit p: somebody stands at place p.
    places: uint256 = 0
    most: uint256 = unsafe_sub(unsafe_mul(size, 2), 2)
    for word: uint256 in range(words, bound=lanes.WORDS):
        lowest: uint256 = word << 4
        if lowest >= listed:
            break
        # The places of sixteen members, the lowest index last; before the first there is _AHEAD.
        of: uint256 = extract32(padded, unsafe_sub(listed, lowest), output_type=uint256)
        places |= (
            (1 << (of & 255))
            | (1 << ((of >> 8) & 255))
            | (1 << ((of >> 16) & 255))
            | (1 << ((of >> 24) & 255))
            | (1 << ((of >> 32) & 255))
            | (1 << ((of >> 40) & 255))
            | (1 << ((of >> 48) & 255))
            | (1 << ((of >> 56) & 255))
            | (1 << ((of >> 64) & 255))
            | (1 << ((of >> 72) & 255))
            | (1 << ((of >> 80) & 255))
            | (1 << ((of >> 88) & 255))
            | (1 << ((of >> 96) & 255))
            | (1 << ((of >> 104) & 255))
            | (1 << ((of >> 112) & 255))
            | (1 << ((of >> 120) & 255))
        )
        # The place at p from 0 is worth 2 m - 2 - 2 p. Whoever has one has no bit 7 in it.
        place: uint256 = lanes._widened(of)
        ones: uint256 = ((place >> 7) & lanes.ONES) ^ lanes.ONES
        worth: uint256 = unsafe_sub(
            unsafe_mul(ones, most), unsafe_mul(place & unsafe_mul(ones, 127), 2)
        )
        sums[word] = unsafe_add(sums[word], worth)
        said.rated |= lanes._gather(ones << 15) << lowest

    count: uint256 = lanes._count(said.rated)
    behind_last: uint256 = 1 << count
    at: uint256 = unsafe_add(listed, 32)
    values: uint256 = 0
    if count != 0:
        values = unsafe_add(unsafe_mul(width, unsafe_sub(count, 1)), 4)
    sets: uint256 = 0
    behind: uint256 = 2
    if form & SETS != 0:
        behind = 34
    if length != unsafe_add(unsafe_add(listed, values), behind):
        said.reason = refusals.LENGTH
        return sums, said
    if form & SETS != 0:
        sets = extract32(padded, unsafe_add(at, values), output_type=uint256)
        if sets == 0:
            said.reason = refusals.UNRATED
    said.missing = sets >> lanes.CAPACITY
    named: uint256 = said.missing | (sets & (2**lanes.CAPACITY - 1))
    unrated: uint256 = others & ~said.rated
    if ((said.rated << 1) | 1) >> listed != 1:
        # Longer than it need be, or somebody listed has no lane in these words.
        said.reason = refusals.LENGTH
    elif places & _SOMEWHERE != unsafe_sub(behind_last, 1):
        said.reason = refusals.TWICE
    elif said.rated & ~others != 0:
        said.reason = refusals.STRANGER
    elif named & ~unrated != 0 or said.missing & sets != 0:
        said.reason = refusals.UNRATED
    if said.reason != refusals.GOOD:
        return sums, said

    if count > 1:
        fallen: uint256 = 0
        ties: bool = False
        fallen, ties = self._fallen(padded, unsafe_add(at, 4), unsafe_sub(count, 1), width)
        if fallen > extract32(padded, at, output_type=uint256) >> 224:
            said.reason = refusals.LENGTH if fallen == max_value(uint256) else refusals.ORDER
            return sums, said
        if ties:
            sums = self._shared(sums, padded, listed, count, width)
    elif width != 2:
        said.reason = refusals.LENGTH
    if unrated != 0:
        # Tied at the places r + 1 to c - 1: 2 m - (r + 1 + c - 1) each.
        each: uint256 = unsafe_sub(
            unsafe_mul(size, 2), unsafe_add(unsafe_add(count, lanes._count(others)), 1)
        )
        sums = lanes._raised(sums, words, unrated, each)
    return sums, said


@internal
@pure
def _fallen(
    padded: Bytes[MAX_BYTES + 64], at: uint256, count: uint256, width: uint256
) -> (uint256, bool):
    """
    @notice How far the values fall from the first to the last, and whether some fall is 0.
    @param at Where `count` falls, of `width` bytes each, begin.
    @return The highest number there is, where `width` is more than they need.
    """
    bits: uint256 = 16
    most: uint256 = 2**16 - 1
    units: uint256 = _ONES_16
    pairs: uint256 = _ONES_32
    if width == 4:
        bits = 32
        most = 2**32 - 1
        units = _ONES_32
        pairs = _ONES_64
    without_tops: uint256 = unsafe_mul(units, most >> 1)
    each: uint256 = unsafe_div(256, bits)
    # In lanes of twice as many bits.
    sums: uint256 = 0
    some: uint256 = 0
    all: uint256 = 0
    for word: uint256 in range(
        unsafe_div(unsafe_sub(unsafe_add(count, each), 1), each), bound=_FALL_WORDS
    ):
        falls: uint256 = extract32(
            padded, unsafe_add(at, unsafe_mul(word, 32)), output_type=uint256
        )
        left: uint256 = unsafe_sub(count, unsafe_mul(word, each))
        if left < each:
            falls >>= unsafe_mul(bits, unsafe_sub(each, left))
        all |= falls
        sums = unsafe_add(
            sums,
            unsafe_add(falls & unsafe_mul(pairs, most), (falls >> bits) & unsafe_mul(pairs, most)),
        )
        # The top of a lane is raised if the lane is not 0; then the tops are counted.
        not_0: uint256 = (unsafe_add(falls & without_tops, without_tops) | falls) >> unsafe_sub(
            bits, 1
        )
        some = unsafe_add(
            some, unsafe_mul(not_0 & units, units) >> unsafe_sub(256, bits)
        )
    if width == 4 and all & unsafe_mul(_ONES_32, 2**32 - 2**16) == 0:
        return max_value(uint256), False
    return unsafe_mul(sums, pairs) >> unsafe_sub(256, unsafe_mul(bits, 2)), some != count


@internal
@pure
def _shared(
    tally: uint256[lanes.WORDS],
    padded: Bytes[MAX_BYTES + 64],
    listed: uint256,
    count: uint256,
    width: uint256,
) -> uint256[lanes.WORDS]:
    """
    @notice Gives equal values the mean of their positions' points instead of consecutive ones.
    """
    # By place, from 0: what its member gets more. It may be below 0: modulo 2**256 that is all
    # the same.
    changes: uint256[lanes.CAPACITY] = empty(uint256[lanes.CAPACITY])
    # The places from `first` on have equal values.
    first: uint256 = 0
    for place: uint256 in range(1, unsafe_add(count, 1), bound=lanes.CAPACITY):
        if place < count:
            at_fall: uint256 = unsafe_add(
                unsafe_add(listed, 36), unsafe_mul(width, unsafe_sub(place, 1))
            )
            if extract32(padded, at_fall, output_type=uint256) >> unsafe_sub(
                256, unsafe_mul(width, 8)
            ) == 0:
                continue
        if unsafe_sub(place, first) != 1:
            # From 1, a = first + 1 and b = place, so that 2 m - 2 (at + 1) becomes 2 m - (a + b).
            ends: uint256 = unsafe_add(unsafe_add(first, place), 1)
            for at: uint256 in range(first, place, bound=lanes.CAPACITY):
                changes[at] = unsafe_sub(unsafe_add(unsafe_mul(at, 2), 2), ends)
        first = place
    sums: uint256[lanes.WORDS] = tally
    for member: uint256 in range(listed, bound=lanes.CAPACITY):
        place: uint256 = extract32(padded, unsafe_sub(listed, member), output_type=uint256) & 255
        if place != UNRATED:
            sums[member >> 4] = unsafe_add(
                sums[member >> 4], changes[place] << ((member & 15) << 4)
            )
    return sums
