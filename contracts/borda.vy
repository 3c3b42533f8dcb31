# pragma version 0.4.3
"""
@title Borda count
@license Apache-2.0
@notice The scoring rule: what points one ballot gives to whom. PROTOCOL, S4; claim 5.
@dev A scoring rule is one function, `_counted`, and one limit, `MAX_BYTES`. Another rule can
     stand beside this one if its points, summed over 127 ballots, stay below 2**15; `selection`
     also wants to know a bound, see `peer_outcome`. Python: `bcfl.consensus.spec.scoring.Borda`.

     A ballot is a row of the evaluation matrix in descending order, as five parts:

         places   1 byte a member, the highest index first: how many have a larger value; 255
                  for who is not rated. The first of these bytes is not 255.
         lowest   4 bytes: the smallest value; left out where nobody is rated
         gaps     1 to 4 bytes each, as many as the largest needs: of every value but the
                  smallest, from the largest, how much more than 1 above the next one it is
         sets     32 bytes: whose delta never came in the upper half, whose bytes were no delta
                  in the lower half; left out where there are none
         form     2 bytes: how many bytes a gap has, plus 128 if there are sets; then how many
                  places are listed

     So a ballot has one encoding, its values descend by construction, and what is left to
     check is that as many stand at each place as there are from it to the next. With m members,
     position p (from 1) is worth m - p points; equal values share the mean of their positions'
     points; all is doubled, so that it stays integer: n at the place p (from 0), which are the
     positions p + 1..p + n, get 2 m - (2 p + n + 1) each.
     Of the c who committed, those whom a ballot with r entries does not rate, its author
     aside, are tied at its last places, r + 1 to c - 1: leaving off is no worse than ranking
     last.
"""

import lanes
import refusals

# 128 places, the smallest value, 127 gaps of 4 bytes, sets, form.
MAX_BYTES: constant(uint256) = lanes.CAPACITY + 4 * lanes.CAPACITY + 34
# Of the form: that there are sets.
SETS: constant(uint256) = 2**15

# The place of who is not rated, and a word full of it; the bits of all other places.
UNRATED: constant(uint256) = 255
_SOMEWHERE: constant(uint256) = 2**255 - 1
# The highest bits of the lowest sixteen bytes.
_NOWHERE: constant(uint256) = (2**128 - 1) // 255 * 128
_AHEAD: constant(bytes32) = (
    0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff
)


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
    padded: Bytes[MAX_BYTES + 32] = concat(_AHEAD, ballot)
    listed: uint256 = extract32(padded, length, output_type=uint256) & 255
    if listed > length or listed > words << 4:
        # Too short, or somebody listed has no lane in these words.
        said.reason = refusals.LENGTH
        return sums, said

    # Bit p: somebody stands at place p.
    places: uint256 = 0
    rated: uint256 = 0
    most: uint256 = unsafe_sub(unsafe_mul(size, 2), 2)
    for word: uint256 in range(unsafe_add(listed, 15) >> 4, bound=lanes.WORDS):
        lowest: uint256 = word << 4
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
        # The place p is worth 2 m - 2 - 2 p. Whoever has none has bit 7 in it.
        place: uint256 = lanes._widened(of)
        ones: uint256 = lanes.ONES
        here: uint256 = 65535
        if of & _NOWHERE != 0:
            ones ^= (place >> 7) & ones
            place &= unsafe_mul(ones, 127)
            here = lanes._gather(ones << 15)
        rated |= here << lowest
        worth: uint256 = unsafe_sub(unsafe_mul(ones, most), unsafe_mul(place, 2))
        sums[word] = unsafe_add(sums[word], worth)

    places &= _SOMEWHERE
    fits: bool = places >> lanes.CAPACITY == 0 and (places == 0 or places & 1 != 0)
    said = self._checked(padded, places, fits, rated, others)
    if said.reason != refusals.GOOD:
        return sums, said
    count: uint256 = lanes._count(rated)
    behind_last: uint256 = 1 << count
    if unsafe_add(places, 1) != behind_last:
        alike: bool = False
        sums, alike = self._shared(sums, padded, places | behind_last, count)
        if not alike:
            said.reason = refusals.PLACES
            return sums, said
    unrated: uint256 = others ^ rated
    if unrated != 0:
        # Tied at the places r + 1 to c - 1: 2 m - (r + 1 + c - 1) each.
        each: uint256 = unsafe_sub(
            unsafe_mul(size, 2), unsafe_add(unsafe_add(count, lanes._count(others)), 1)
        )
        sums = lanes._raised(sums, words, unrated, each)
    return sums, said


@internal
@pure
def _checked(
    padded: Bytes[MAX_BYTES + 32], places: uint256, fits: bool, rated: uint256, others: uint256
) -> Said:
    """
    @notice Whether bytes are a ballot.
    @param padded The bytes, with 32 before them.
    @param places Bit p: somebody stands at place p.
    @param fits Whether, as far as was looked, as many stand at each as from it to the next.
    @param rated Bit field: who stands at any.
    @param others Bit field: whom it may rate.
    """
    said: Said = empty(Said)
    said.rated = rated
    length: uint256 = unsafe_sub(len(padded), 32)
    form: uint256 = extract32(padded, length, output_type=uint256) & 65535
    listed: uint256 = form & 255
    width: uint256 = (form >> 8) & 127
    # Where the gaps end; how many there are.
    end: uint256 = unsafe_add(length, 30)
    if form >= SETS:
        end = unsafe_sub(length, 2)
    gaps: uint256 = 0
    values: uint256 = 0
    if places != 0:
        gaps = unsafe_sub(lanes._count(places), 1)
        values = unsafe_add(unsafe_mul(width, gaps), 4)
    # The first of the places is one; a gap has 1 to 4 bytes.
    if (
        unsafe_add(unsafe_add(listed, values), 32) != end
        or ((rated << 1) | 1) >> listed != 1
        or unsafe_sub(width, 1) > 3
    ):
        said.reason = refusals.LENGTH
    elif not fits:
        said.reason = refusals.PLACES
    elif rated & ~others != 0:
        said.reason = refusals.STRANGER
    elif form >= SETS:
        sets: uint256 = extract32(padded, end, output_type=uint256)
        said.missing = sets >> lanes.CAPACITY
        named: uint256 = said.missing | (sets & (2**lanes.CAPACITY - 1))
        if sets == 0 or named & ~(others ^ rated) != 0 or said.missing & sets != 0:
            said.reason = refusals.UNRATED
    if said.reason != refusals.GOOD or width == 1:
        return said

    # One of the gaps must need all of its bytes. They are looked at from the last on, as many
    # together as a word holds; `tops` are the highest bytes of these.
    one: uint256 = 1
    bits: uint256 = unsafe_mul(width, 8)
    each: uint256 = unsafe_div(32, width)
    ones: uint256 = unsafe_div(
        unsafe_sub(one << unsafe_mul(bits, each), 1), unsafe_sub(one << bits, 1)
    )
    tops: uint256 = unsafe_mul(ones, 255) << unsafe_sub(bits, 8)
    for word: uint256 in range(lanes.CAPACITY // 8):
        if gaps < each:
            tops &= unsafe_sub(one << unsafe_mul(bits, gaps), 1)
        if extract32(padded, unsafe_sub(end, 32), output_type=uint256) & tops != 0:
            return said
        if gaps <= each:
            break
        gaps = unsafe_sub(gaps, each)
        end = unsafe_sub(end, unsafe_mul(width, each))
    said.reason = refusals.LENGTH
    return said


@internal
@pure
def _shared(
    tally: uint256[lanes.WORDS], padded: Bytes[MAX_BYTES + 32], ends: uint256, count: uint256
) -> (uint256[lanes.WORDS], bool):
    """
    @notice Takes from those with equal values what their first position is worth more than the
            mean of them all.
    @param ends Bit p: somebody stands at place p, or it is the first behind all.
    @param count How many stand at any, which is that place.
    @return The tally; whether as many stand at each place as there are from it to the next.
    """
    listed: uint256 = (
        extract32(padded, unsafe_sub(len(padded), 32), output_type=uint256) & 255
    )
    stands: uint256[lanes.WORDS] = empty(uint256[lanes.WORDS])
    words: uint256 = unsafe_add(listed, 15) >> 4
    for word: uint256 in range(words, bound=lanes.WORDS):
        of: uint256 = extract32(padded, unsafe_sub(listed, word << 4), output_type=uint256)
        stands[word] = lanes._widened(of)
    sums: uint256[lanes.WORDS] = tally
    first: uint256 = 0
    for next: uint256 in range(1, unsafe_add(count, 1), bound=lanes.CAPACITY):
        if (ends >> next) & 1 == 0:
            continue
        more: uint256 = unsafe_sub(unsafe_sub(next, first), 1)
        if more != 0:
            found: uint256 = 0
            for word: uint256 in range(words, bound=lanes.WORDS):
                # The flag stays up where nothing is left of the place.
                left: uint256 = stands[word] ^ unsafe_mul(first, lanes.ONES)
                ones: uint256 = (unsafe_sub(lanes.FLAGS, left) >> 15) & lanes.ONES
                if ones != 0:
                    found = unsafe_add(found, unsafe_mul(ones, lanes.ONES) >> 240)
                    sums[word] = unsafe_sub(sums[word], unsafe_mul(ones, more))
            if found != unsafe_add(more, 1):
                return sums, False
        first = next
    return sums, True
