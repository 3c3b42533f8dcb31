# pragma version 0.4.3
"""
@title Lanes
@license Apache-2.0
@notice Sixteen counters of 15 bits in one word, handled all at once.
@dev Lane i of word w belongs to member 16 w + i and occupies the bits [16 i, 16 i + 15).
     The highest bit of a lane, bit 16 i + 15, is not part of the counter: it is a flag. As no
     counter reaches 2**15, adding words adds all lanes, and comparing needs no loop: with the
     flag raised, a lane minus t keeps its flag exactly if the counter was at least t.
"""

# How many members there can be, and how many words their lanes fill.
CAPACITY: constant(uint256) = 128
WORDS: constant(uint256) = 8

# 1 in every lane; the flag of every lane; bit i of lane i.
ONES: constant(uint256) = max_value(uint256) // (2**16 - 1)
FLAGS: constant(uint256) = ONES * 2**15
_DIAGONAL: constant(uint256) = 2**255 + (2**255 - 1) // (2**17 - 1)
# The sum of 2**(240 - 15 i): moves the bit 16 i to the bit 240 + i, for each i.
_COLLECT: constant(uint256) = 2**15 * ((2**240 - 1) // (2**15 - 1))

# In words of 256 bits.
_EVERY_2ND_64_BITS: constant(uint256) = max_value(uint256) // (2**64 + 1)
_EVERY_2ND_32_BITS: constant(uint256) = max_value(uint256) // (2**32 + 1)
_EVERY_2ND_16_BITS: constant(uint256) = max_value(uint256) // (2**16 + 1)
_EVERY_2ND_8_BITS: constant(uint256) = max_value(uint256) // (2**8 + 1)
# In words of 128 bits: 0x55…, 0x33…, 0x0f…, 0x01….
_EVERY_2ND_BIT: constant(uint256) = 2**128 // 3
_EVERY_2ND_PAIR: constant(uint256) = 2**128 // 5
_EVERY_2ND_NIBBLE: constant(uint256) = 2**128 // 17
_EVERY_BYTE: constant(uint256) = 2**128 // 255


@internal
@pure
def _spread(field: uint256) -> uint256:
    """
    @notice Raises the flag of lane i for every bit i among the lowest 16 of `field`.
    """
    # Every lane gets the 16 bits and keeps one of them; what is not 0 then reaches the flag.
    lanes: uint256 = unsafe_mul(field & 65535, ONES) & _DIAGONAL
    return unsafe_add(lanes, FLAGS - ONES) & FLAGS


@internal
@pure
def _gather(flags: uint256) -> uint256:
    """
    @notice The inverse of `_spread`: a bit for every raised flag. Other bits must be 0.
    """
    return unsafe_mul(flags >> 15, _COLLECT) >> 240


@internal
@pure
def _widened(sixteen: uint256) -> uint256:
    """
    @notice The lowest sixteen bytes as lanes, the lowest byte in the lowest lane.
    """
    # Halves move apart, then their halves, down to single bytes.
    x: uint256 = sixteen & (2**128 - 1)
    x = (x | (x << 64)) & _EVERY_2ND_64_BITS
    x = (x | (x << 32)) & _EVERY_2ND_32_BITS
    x = (x | (x << 16)) & _EVERY_2ND_16_BITS
    return (x | (x << 8)) & _EVERY_2ND_8_BITS


@internal
@pure
def _raised(
    counters: uint256[WORDS], words: uint256, field: uint256, step: uint256
) -> uint256[WORDS]:
    """
    @notice Adds `step` to the counter of every bit of `field`.
    """
    sums: uint256[WORDS] = counters
    for word: uint256 in range(words, bound=WORDS):
        here: uint256 = (field >> (word << 4)) & 65535
        if here != 0:
            ones: uint256 = self._spread(here) >> 15
            sums[word] = unsafe_add(sums[word], unsafe_mul(ones, step))
    return sums


@internal
@pure
def _count(field: uint256) -> uint256:
    """
    @notice How many of the lowest 128 bits of `field` are set.
    """
    # The sums of ever wider groups of bits: of 2, of 4, of 8, and then of all.
    x: uint256 = unsafe_sub(field, (field >> 1) & _EVERY_2ND_BIT)
    x = unsafe_add(x & _EVERY_2ND_PAIR, (x >> 2) & _EVERY_2ND_PAIR)
    x = unsafe_add(x, x >> 4) & _EVERY_2ND_NIBBLE
    return (unsafe_mul(x, _EVERY_BYTE) >> 120) & 255
