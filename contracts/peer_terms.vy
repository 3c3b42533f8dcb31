# pragma version 0.4.3
"""
@title Terms of a task
@license Apache-2.0
@notice What is agreed once and never changes: who coordinates, and by which numbers.
"""

import lanes

# Opens and closes rounds, and without a stake says who is a member.
coordinator: public(immutable(address))
# Digest of the rules that the chain does not enforce. Kept, and no more.
rules: public(immutable(bytes32))
# Share of the committed whose deltas win, in parts per million.
kappa_ppm: public(immutable(uint256))
# Fewest commitments, and fewest ballots, of a round that counts.
quorum: public(immutable(uint256))
# For how long commitments are taken at most.
commit_window_s: public(immutable(uint256))
# For how long ballots are, and where they are sealed, seals before them.
ballot_window_s: public(immutable(uint256))
# Whether ballots are promised by hash before they are shown.
sealed_ballots: public(immutable(bool))
# What a member deposits, in wei. 0: the coordinator says who is a member.
stake: public(immutable(uint256))

# For how long commitments, and ballots, are taken at least: long enough for a transaction of
# one's own, whoever else is in a hurry. The contract's own; nobody agrees on less.
LEAST_WINDOW_S: public(constant(uint256)) = 30
_MAX_WINDOW_S: constant(uint256) = 2**32


@deploy
def __init__(
    rules_: bytes32,
    kappa_ppm_: uint256,
    quorum_: uint256,
    commit_window_s_: uint256,
    ballot_window_s_: uint256,
    sealed_ballots_: bool,
    stake_: uint256,
):
    """
    @notice Settles the terms. The sender is the coordinator for ever.
    """
    assert 0 < kappa_ppm_ and kappa_ppm_ < 1_000_000, "consensus: kappa_ppm not in 1..999999"
    assert 0 < quorum_ and quorum_ <= lanes.CAPACITY, "consensus: quorum not in 1..128"
    assert LEAST_WINDOW_S <= commit_window_s_, "consensus: commit_window_s below 30"
    assert LEAST_WINDOW_S <= ballot_window_s_, "consensus: ballot_window_s below 30"
    # So that no sum of times can overflow, here or in any client.
    assert commit_window_s_ <= _MAX_WINDOW_S, "consensus: commit_window_s above 2**32"
    assert ballot_window_s_ <= _MAX_WINDOW_S, "consensus: ballot_window_s above 2**32"
    coordinator = msg.sender
    rules = rules_
    kappa_ppm = kappa_ppm_
    quorum = quorum_
    commit_window_s = commit_window_s_
    ballot_window_s = ballot_window_s_
    sealed_ballots = sealed_ballots_
    stake = stake_


@internal
@view
def _only_coordinator():
    assert msg.sender == coordinator, "consensus: not the coordinator"
