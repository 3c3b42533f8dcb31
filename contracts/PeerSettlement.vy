# pragma version 0.4.3
"""
@title Peer consensus, settled
@license Apache-2.0
@notice One learning task, as `PeerConsensus`, of which a round costs one transaction. Members
        sign what they sign there, and give it to the coordinator and to each other; the
        coordinator says here what came of it. Whoever doubts that makes it bring everything,
        to be counted by the functions of `PeerConsensus`; if it cannot, or said something else,
        it loses its deposit, and that round and all after it are void.
@dev Who may call what, when:

     function             who               when
     open_round           coordinator       nobody came past it
     pause                coordinator       nobody came past it
     settle               coordinator       a round is open
     show_commitment      anybody           a round is open, within its window
     show_ballot          anybody           a round is open, within its windows
     challenge            anybody           until the challenge window has passed
     answer               anybody           until then, or while a challenge waits
     convict              anybody           a challenge was not answered in time
     take_back            anybody           the round is void
     prove_equivocation   anybody           any time
     add_member           coordinator       no round is open
     remove_member        coordinator       no round is open
     release              coordinator       all rounds are final
     withdraw             creditor          any time

     What nobody doubts in time stands, whatever it is: somebody honest must look.
     A member that was proven a cheat commits no more from the next round on.

     Read on in `settlement_rounds`, `settlement_challenges`, `settlement_court`.
"""

import lanes
import membership
import peer_ballots
import peer_commitments
import peer_members
import peer_outcome
import peer_round
import peer_terms
import pull_payments
import settlement_challenges
import settlement_court
import settlement_rounds
import settlement_terms
import typed_data

initializes: membership
initializes: peer_terms
initializes: pull_payments
initializes: settlement_terms
initializes: typed_data
initializes: peer_round[peer_terms := peer_terms]
initializes: peer_commitments[
    membership := membership,
    peer_round := peer_round,
    peer_terms := peer_terms,
    typed_data := typed_data,
]
initializes: peer_outcome[
    membership := membership,
    peer_round := peer_round,
    peer_terms := peer_terms,
]
initializes: peer_ballots[
    membership := membership,
    peer_outcome := peer_outcome,
    peer_round := peer_round,
    peer_terms := peer_terms,
    typed_data := typed_data,
]
initializes: peer_members[
    membership := membership,
    peer_round := peer_round,
    peer_terms := peer_terms,
    pull_payments := pull_payments,
]
initializes: settlement_rounds[
    membership := membership,
    peer_round := peer_round,
    peer_terms := peer_terms,
    settlement_terms := settlement_terms,
    typed_data := typed_data,
]
initializes: settlement_court[
    membership := membership,
    peer_outcome := peer_outcome,
    peer_round := peer_round,
    peer_terms := peer_terms,
    typed_data := typed_data,
]
initializes: settlement_challenges[
    peer_round := peer_round,
    peer_terms := peer_terms,
    pull_payments := pull_payments,
    settlement_court := settlement_court,
    settlement_rounds := settlement_rounds,
    settlement_terms := settlement_terms,
]

exports: (
    membership.active,
    membership.members,
    peer_commitments.prove_equivocation,
    peer_members.remove_member,
    peer_terms.ballot_window_s,
    peer_terms.commit_window_s,
    peer_terms.coordinator,
    peer_terms.kappa_ppm,
    peer_terms.quorum,
    peer_terms.rules,
    pull_payments.__interface__,
    settlement_challenges.__interface__,
    settlement_rounds.__interface__,
    settlement_terms.challenge_window_s,
    settlement_terms.bond,
    settlement_terms.deposit,
)


@deploy
@payable
def __init__(
    members_: DynArray[address, lanes.CAPACITY],
    genesis: bytes32,
    rules_: bytes32,
    kappa_ppm_: uint256,
    quorum_: uint256,
    commit_window_s_: uint256,
    ballot_window_s_: uint256,
    challenge_window_s_: uint256,
    bond_: uint256,
):
    """
    @notice Begins a task. The sender is its coordinator for ever; what it sends is its deposit.
    @param members_ Accounts of the first members, by index.
    @param genesis Digest of the first global model.
    @param rules_ Digest of the rules that the chain does not enforce. Kept, and no more.
    @param kappa_ppm_ Share of the committed whose deltas win, in parts per million.
    @param quorum_ Fewest commitments, and fewest ballots, of a round that counts.
    @param commit_window_s_ For how long commitments are taken at most; at least 30 seconds.
    @param ballot_window_s_ For how long ballots are; at least 30 seconds.
    @param challenge_window_s_ For how long a round can be challenged, and a challenge be
           answered; at least 30 seconds.
    @param bond_ What a challenger puts down, in wei.
    """
    peer_terms.__init__(
        rules_, kappa_ppm_, quorum_, commit_window_s_, ballot_window_s_, False, 0
    )
    settlement_terms.__init__(challenge_window_s_, bond_)
    typed_data.__init__()
    assert len(members_) >= 2, "consensus: fewer than 2 members"
    for account: address in members_:
        membership._join(account)
    peer_round.model = genesis
    peer_round.header = peer_round.STALE
    settlement_rounds.deposited = True


@external
def add_member(account: address):
    """
    @notice Makes `account` a member, from the next round. No seat is given twice: a round that
            is counted once more asks whose it was.
    @param account Whose signatures will count. One that was a member gets its old index.
    """
    peer_terms._only_coordinator()
    assert (
        membership._count < lanes.CAPACITY or membership._seats[account] != 0
    ), "membership: there are 128 seats"
    peer_members._take_in(account)
