# pragma version 0.4.3
"""
@title Borda count
@license Apache-2.0
@notice The scoring rule: what points one ballot gives to whom. PROTOCOL, S4; claim 5.
@dev A scoring rule is one function, `_counted`, and one limit, `MAX_BYTES`. Another rule can
     stand beside this one if its points, summed over 127 ballots, stay below 2**15; `selection`
     also wants to know a bound, see `peer_outcome`. Python: `bcfl.consensus.spec.scoring.Borda`.

     A ballot is a row of the evaluation matrix, best first, 5 bytes an entry: member (1),
     value (4, big-endian). It is checked and not sorted. With m members, position p (from 1)
     is worth m - p points; equal values share the mean of their positions' points; all is
     doubled, so that it stays integer: a tie at the positions a..b gives 2 m - (a + b) each.
     Of the c who committed, those whom a ballot with r entries does not rate, its author
     aside, are tied at its last places, r + 1 to c - 1: leaving off is no worse than ranking
     last.

     Behind the entries may stand one word more: the set of those whose delta never came in
     its upper half, the set of those whose bytes were no delta in its lower half. Where there
     are none the word is left out, so that a ballot has one encoding.

     Six entries are read at a time, as the lanes of 40 bits at the top of a word: members in
     the upper 8 bits of a lane, values in the lower 32. One subtraction compares six pairs.
"""

import lanes
import refusals

# Nobody rates itself, so that 127 members are left to rate.
MAX_ENTRIES: constant(uint256) = lanes.CAPACITY - 1
_ENTRY_BYTES: constant(uint256) = 5
# And, so that whatever a client can write is refused with a reason and reverts nothing, one.
MAX_BYTES: constant(uint256) = (MAX_ENTRIES + 1) * _ENTRY_BYTES + 32
_CHUNKS: constant(uint256) = (MAX_ENTRIES * _ENTRY_BYTES + 29) // 30

# In each lane of 40 bits: the lowest bit, the highest bit, the value.
_UNITS: constant(uint256) = 2**16 * ((2**240 - 1) // (2**40 - 1))
_TOPS: constant(uint256) = _UNITS * 2**39
_VALUES: constant(uint256) = _UNITS * (2**32 - 1)
# Stands behind the last entry: member 128, whom nobody is, with value 0.
_PADDING: constant(bytes32) = (
    0x8000000000800000000080000000008000000000800000000080000000008000
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
    @param ballot The entries, and the sets if there are any.
    @param size m, the number of members. A ballot has fewer entries.
    @param others Whom it may rate: who committed, without its author. Fewer than m.
    @return The new tally; why the ballot does not count, if it does not, and then the tally is
            of no meaning; who is rated and who missing, as bit fields.
    """
    said: Said = empty(Said)
    length: uint256 = len(ballot)
    sets: uint256 = 0
    if length % _ENTRY_BYTES == 2 and length >= 32:
        length = unsafe_sub(length, 32)
        sets = extract32(ballot, length, output_type=uint256)
        if sets == 0:
            said.reason = refusals.UNRATED
    count: uint256 = length // _ENTRY_BYTES
    if unsafe_mul(count, _ENTRY_BYTES) != length:
        said.reason = refusals.LENGTH
    elif count >= size:
        said.reason = refusals.TOO_MANY
    if said.reason != refusals.GOOD:
        return tally, said

    padded: Bytes[MAX_BYTES + 32] = concat(ballot, _PADDING)
    if sets != 0:
        padded = concat(slice(ballot, 0, length), _PADDING)
    # One word more than there are members, for what the padding gets.
    row: uint256[lanes.WORDS + 1] = empty(uint256[lanes.WORDS + 1])
    # Bit p: the value at position p, from 0, equals the one before it.
    ties: uint256 = 0
    # The value before the six in the top lane, larger than any before the first.
    before: uint256 = 2**248
    # The doubled points of the position before the six; those of a position are 2 fewer. They
    # stay above 0, as there are fewer entries than members.
    points: uint256 = unsafe_mul(size, 2)
    for chunk: uint256 in range(unsafe_div(unsafe_add(length, 29), 30), bound=_CHUNKS):
        at: uint256 = unsafe_mul(chunk, 30)
        six: uint256 = extract32(padded, at, output_type=uint256)
        present: uint256 = _TOPS
        if unsafe_add(at, 30) > length:
            present <<= unsafe_mul(8, unsafe_sub(unsafe_add(at, 30), length))

        # In `falls`, a lane's top stays up unless its value is above the one before it; after
        # one more is taken off, unless it is equal, too. A member's own top bit must be 0.
        values: uint256 = six & _VALUES
        falls: uint256 = unsafe_sub(before | (values >> 40) | _TOPS, values)
        if unsafe_sub(falls, _UNITS) & ~six & present != present:
            if six & present != 0:
                said.reason = refusals.STRANGER
                break
            if falls & present != present:
                said.reason = refusals.ORDER
                break
            equal: uint256 = ~unsafe_sub(falls, _UNITS) & present
            ties |= (
                (equal >> 255)
                | ((equal >> 214) & 2)
                | ((equal >> 173) & 4)
                | ((equal >> 132) & 8)
                | ((equal >> 91) & 16)
                | ((equal >> 50) & 32)
            ) << unsafe_mul(chunk, 6)
        before = values << 200

        if words == 1:
            # Members above 15, and the padding, are shifted out of the word.
            row[0] |= (
                (unsafe_sub(points, 2) << ((six >> 244) & 4080))
                | (unsafe_sub(points, 4) << ((six >> 204) & 4080))
                | (unsafe_sub(points, 6) << ((six >> 164) & 4080))
                | (unsafe_sub(points, 8) << ((six >> 124) & 4080))
                | (unsafe_sub(points, 10) << ((six >> 84) & 4080))
                | (unsafe_sub(points, 12) << ((six >> 44) & 4080))
            )
        else:
            row[six >> 252] |= unsafe_sub(points, 2) << ((six >> 244) & 240)
            row[(six >> 212) & 15] |= unsafe_sub(points, 4) << ((six >> 204) & 240)
            row[(six >> 172) & 15] |= unsafe_sub(points, 6) << ((six >> 164) & 240)
            row[(six >> 132) & 15] |= unsafe_sub(points, 8) << ((six >> 124) & 240)
            row[(six >> 92) & 15] |= unsafe_sub(points, 10) << ((six >> 84) & 240)
            row[(six >> 52) & 15] |= unsafe_sub(points, 12) << ((six >> 44) & 240)
        points = unsafe_sub(points, 12)

    sums: uint256[lanes.WORDS] = tally
    rated: uint256 = 0
    for word: uint256 in range(words, bound=lanes.WORDS):
        lane: uint256 = row[word]
        sums[word] = unsafe_add(sums[word], lane)
        # Every position is worth something, so that whoever has points was rated.
        lane = unsafe_add(lane, lanes.FLAGS - lanes.ONES) & lanes.FLAGS
        rated |= lanes._gather(lane) << (word << 4)
    said.rated = rated
    said.missing = sets >> lanes.CAPACITY
    unrated: uint256 = others ^ rated
    named: uint256 = said.missing | (sets & (2**lanes.CAPACITY - 1))
    if said.reason != refusals.GOOD:
        pass
    elif lanes._count(rated) != count:
        # A member that appears twice, or has no lane in these words, makes them fewer.
        said.reason = refusals.TWICE
    elif rated & ~others != 0:
        said.reason = refusals.STRANGER
    elif named & ~unrated != 0 or said.missing & sets != 0:
        said.reason = refusals.UNRATED
    else:
        if ties != 0:
            sums = self._shared(sums, padded, count, ties)
        if unrated != 0:
            # Tied at the places r + 1 to c - 1: 2 m - (r + 1 + c - 1) each.
            each: uint256 = unsafe_sub(
                unsafe_mul(size, 2), unsafe_add(unsafe_add(count, lanes._count(others)), 1)
            )
            sums = lanes._raised(sums, words, unrated, each)
    return sums, said


@internal
@pure
def _shared(
    tally: uint256[lanes.WORDS], padded: Bytes[MAX_BYTES + 32], count: uint256, ties: uint256
) -> uint256[lanes.WORDS]:
    """
    @notice Gives equal values the mean of their positions' points instead of consecutive ones.
    """
    sums: uint256[lanes.WORDS] = tally
    # Positions count from 0 here; those from `first` on have equal values.
    first: uint256 = 0
    for position: uint256 in range(1, unsafe_add(count, 1), bound=MAX_ENTRIES):
        if (ties >> position) & 1 != 0:
            continue
        if unsafe_sub(position, first) != 1:
            # Counted from 1, a = first + 1 and b = position, so that 2 m - 2 (at + 1) becomes
            # 2 m - (a + b). What is added may be below 0: modulo 2**256 that is all the same.
            ends: uint256 = unsafe_add(unsafe_add(first, position), 1)
            for at: uint256 in range(first, position, bound=MAX_ENTRIES):
                member: uint256 = (
                    extract32(padded, unsafe_mul(at, 5), output_type=uint256) >> 248
                )
                change: uint256 = unsafe_sub(unsafe_add(unsafe_mul(at, 2), 2), ends)
                sums[member >> 4] = unsafe_add(
                    sums[member >> 4], change << ((member & 15) << 4)
                )
        first = position
    return sums
