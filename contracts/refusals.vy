# pragma version 0.4.3
"""
@title Refusals
@license Apache-2.0
@notice Why something that was sent does not count. In a batch it is passed over, with an event,
        so that it costs nobody else anything; sent by its author alone it reverts.
@dev `bcfl.consensus.contract.events.Refusal` has the same numbers. Anybody may relay anything
     in anybody's name: that something was refused says nothing of the member whose it was said
     to be.
"""

event Refused:
    round: indexed(uint256)
    member: indexed(uint256)
    reason: uint256

GOOD: constant(uint256) = 0
NOT_A_MEMBER: constant(uint256) = 1
NOT_COMMITTED: constant(uint256) = 2
SIGNATURE: constant(uint256) = 3
TOO_EARLY: constant(uint256) = 4
TOO_LATE: constant(uint256) = 5
NOT_SEALED: constant(uint256) = 6
SALT: constant(uint256) = 7
NOT_THE_SEALED: constant(uint256) = 8
LENGTH: constant(uint256) = 9
PLACES: constant(uint256) = 10
STRANGER: constant(uint256) = 11
UNRATED: constant(uint256) = 12
SET: constant(uint256) = 13


@internal
@pure
def _expect_none(reason: uint256):
    """
    @notice Reverts, with words, unless there is nothing to refuse.
    """
    assert reason == GOOD, concat("consensus: refused, see Refusal ", uint2str(reason))
