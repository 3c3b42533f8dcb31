# pragma version 0.4.3
"""
@title Terms of a settlement
@license Apache-2.0
@notice What is agreed beside the task's terms: for how long anybody may challenge, at what bond,
        and what the coordinator has deposited.
"""

# For how long a round may be challenged after it was settled, and a challenge be answered.
challenge_window_s: public(immutable(uint256))
# What a challenger puts down, in wei. It pays for the answer, where there is a good one.
bond: public(immutable(uint256))
# What the coordinator has put down, in wei.
deposit: public(immutable(uint256))

# Long enough for a transaction of anybody's.
LEAST_WINDOW_S: public(constant(uint256)) = 30
_MAX_WINDOW_S: constant(uint256) = 2**32


@deploy
@payable
def __init__(challenge_window_s_: uint256, bond_: uint256):
    """
    @notice Settles the terms; the deposit is what the deployment was sent with.
    """
    assert LEAST_WINDOW_S <= challenge_window_s_, "settlement: challenge_window_s below 30"
    assert challenge_window_s_ <= _MAX_WINDOW_S, "settlement: challenge_window_s above 2**32"
    assert bond_ != 0 and bond_ < 2**128, "settlement: bond not in 1..2**128-1"
    assert msg.value != 0, "settlement: nothing deposited"
    challenge_window_s = challenge_window_s_
    bond = bond_
    deposit = msg.value
