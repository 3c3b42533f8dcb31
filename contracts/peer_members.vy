# pragma version 0.4.3
"""
@title Coming and going
@license Apache-2.0
@notice Who may become a member and who may leave, between rounds. Without a stake, by the
        coordinator's leave; with one, by one's own will and money.
"""

import membership
import peer_round
import peer_terms
import pull_payments

uses: membership
uses: peer_round
uses: peer_terms
uses: pull_payments


@external
def add_member(account: address):
    """
    @notice Makes `account` a member, from the next round.
    @param account Whose signatures will count. One that was a member gets its old index.
    """
    peer_terms._only_coordinator()
    assert peer_terms.stake == 0, "consensus: with a stake, members join by themselves"
    self._take_in(account)


@external
def remove_member(member: uint256):
    """
    @notice Ends a membership.
    @param member Index of an active member.
    """
    peer_terms._only_coordinator()
    assert peer_terms.stake == 0, "consensus: with a stake, members leave by themselves"
    peer_round._check_idle(peer_round.header)
    membership._leave(member)


@external
@payable
def join():
    """
    @notice Makes the sender a member, from the next round, for exactly the stake.
    """
    assert peer_terms.stake != 0, "consensus: the coordinator adds members"
    assert msg.value == peer_terms.stake, "consensus: not the stake"
    self._take_in(msg.sender)


@external
def leave():
    """
    @notice Ends the sender's membership and owes it its stake, see `withdraw`.
    @dev Also while the new model is awaited, so that a coordinator who is gone keeps nobody's
         stake: everything before that ends by deadlines.
    """
    assert peer_terms.stake != 0, "consensus: the coordinator removes members"
    assert (
        peer_round.header & peer_round.OPEN == 0
    ), "consensus: not in phase IDLE or SELECTED"
    membership._leave(membership._seat(msg.sender))
    pull_payments._credit(msg.sender, peer_terms.stake)


@internal
def _take_in(account: address):
    header: uint256 = peer_round.header
    peer_round._check_idle(header)
    membership._join(account)
    peer_round.header = header | peer_round.STALE
