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
    assert 0 < kappa_ppm_ and kappa_ppm_ < 1_000_000, "peer consensus: kappa_ppm not in 1..999999"
    assert 0 < quorum_ and quorum_ <= lanes.CAPACITY, "peer consensus: quorum not in 1..128"
    assert 0 < commit_window_s_, "peer consensus: commit_window_s below 1"
    assert 0 < ballot_window_s_, "peer consensus: ballot_window_s below 1"
    # So that no sum of times can overflow, here or in any client.
    assert commit_window_s_ <= _MAX_WINDOW_S, "peer consensus: commit_window_s above 2**32"
    assert ballot_window_s_ <= _MAX_WINDOW_S, "peer consensus: ballot_window_s above 2**32"
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
    assert msg.sender == coordinator, "peer consensus: not the coordinator"
