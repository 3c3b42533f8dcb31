# pragma version 0.4.3
"""
@title Model marketplace: panels
@license Apache-2.0
@notice Who sits on a panel, and the fair draw. A panel is one word: seat k holds a verifier's
        number in the bits [24 k, 24 k + 24), 0 if nobody sits there. What a panel's members
        have done is a bit field over its seats.
@dev Pure. `bcfl.market.spec.draw` says the same in Python, and is the reference.
"""

# How many seats a panel can have.
SEATS: constant(uint256) = 10
# How many places of the pool one draw looks at. Up to so many verifiers, it looks at all.
PICKS: constant(uint256) = 64

_BITS: constant(uint256) = 24


@internal
@pure
def _number_at(panel: uint256, seat: uint256) -> uint256:
    """
    @notice Who sits there; 0: nobody.
    """
    return (panel >> unsafe_mul(seat, _BITS)) & (2**24 - 1)


@internal
@pure
def _seat_of(panel: uint256, number: uint256) -> uint256:
    """
    @notice Where a verifier sits; `SEATS` if nowhere. Looked up for 0: the first vacant seat.
    """
    rest: uint256 = panel
    for seat: uint256 in range(SEATS):
        if rest & (2**24 - 1) == number:
            return seat
        rest >>= _BITS
    return SEATS


@internal
@pure
def _seated(panel: uint256, seat: uint256, number: uint256) -> uint256:
    """
    @notice The panel with that verifier in that seat, which is vacant.
    """
    return panel | number << unsafe_mul(seat, _BITS)


@internal
@pure
def _vacated(panel: uint256, seat: uint256) -> uint256:
    """
    @notice The panel without whoever sits in that seat.
    """
    return panel ^ (self._number_at(panel, seat) << unsafe_mul(seat, _BITS))


@internal
@pure
def _count(seats: uint256) -> uint256:
    """
    @notice How many seats a bit field names.
    """
    # pairs, then fours, eights, sixteens of bits are added, all at once
    count: uint256 = (seats & 21845) + ((seats >> 1) & 21845)
    count = (count & 13107) + ((count >> 2) & 13107)
    count = (count & 3855) + ((count >> 4) & 3855)
    return (count & 255) + (count >> 8)


@internal
@pure
def _jump(seed: bytes32, step: uint256, length: uint256) -> uint256:
    """
    @notice Step `step` of a Fisher-Yates shuffle of `length` places: with which place, from
            `step` on, this one changes contents. The remainder favours the lower places by
            less than one part in 2**192.
    """
    random: uint256 = convert(sha256(concat(seed, convert(step, bytes32))), uint256)
    return step + random % (length - step)


@internal
@pure
def _origin(jumps: DynArray[uint256, PICKS], step: uint256) -> uint256:
    """
    @notice Which place's contents come out at step `step`. Step k put into place `jumps[k]`
            what stood in place k; going back through the steps follows it to where it began,
            so that neither storage nor a table of the pool is shuffled.
    """
    place: uint256 = jumps[step]
    for back: uint256 in range(step, bound=PICKS):
        earlier: uint256 = step - 1 - back
        if jumps[earlier] == place:
            place = earlier
    return place
