# pragma version 0.4.3
"""
@title Peer consensus
@license Apache-2.0
@notice One learning task. Members commit to their deltas and rate each other's; this contract,
        and no server, counts, and says whose deltas make the next global model.
        PROTOCOL, System A; CN110197285A / US11954592B2, claims 1 to 5.
@dev Who may call what, when. The phase is what the clock and the sets say; no transaction is
     needed to change it. "Allow-list" and "stake" are the two kinds of task: without and with
     a stake. A relayer may be anybody, as it brings the members' signatures.

     function             who               phase            kind
     open_round           coordinator       IDLE             any
     commit               anybody           COMMIT           any
     commit_direct        active member     COMMIT           any
     seal                 anybody           SEAL             any
     seal_direct          committed member  SEAL             any
     cast_ballots         anybody           BALLOT           any
     cast_ballot_direct   committed member  BALLOT           any
     select               anybody           SELECT           any
     close_round          coordinator       SELECTED         any
     prove_equivocation   anybody           any              any
     add_member           coordinator       IDLE             allow-list
     remove_member        coordinator       IDLE             allow-list
     join                 non-member        IDLE             stake
     leave                active member     IDLE, SELECTED   stake
     withdraw             creditor          any              any

     The end of a round can open the next: then IDLE is passed through, and nobody joins.

     The coordinator can leave a signed commitment or ballot out (its author can then send it
     directly, within windows of a least length), and it alone names the digest of the new
     model. It can forge nothing. What is wrong in a batch is passed over, with an event.

     Read on in `peer_round`, `peer_commitments`, `peer_ballots`, `borda`, `refusals`,
     `peer_outcome`, `selection`, `peer_members`.
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
import typed_data

initializes: membership
initializes: peer_terms
initializes: pull_payments
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

exports: (
    membership.__interface__,
    peer_ballots.__interface__,
    peer_commitments.__interface__,
    peer_members.__interface__,
    peer_outcome.__interface__,
    peer_terms.__interface__,
    pull_payments.__interface__,
)


@deploy
def __init__(
    members_: DynArray[address, lanes.CAPACITY],
    genesis: bytes32,
    rules_: bytes32,
    kappa_ppm_: uint256,
    quorum_: uint256,
    commit_window_s_: uint256,
    ballot_window_s_: uint256,
    sealed_ballots_: bool,
    stake_: uint256,
):
    """
    @notice Begins a task. The sender is its coordinator for ever.
    @param members_ Accounts of the first members, by index; none where there is a stake.
    @param genesis Digest of the first global model.
    @param rules_ Digest of the rules that the chain does not enforce. Kept, and no more.
    @param kappa_ppm_ Share of the committed whose deltas win, in parts per million.
    @param quorum_ Fewest commitments, and fewest ballots, of a round that counts.
    @param commit_window_s_ For how long commitments are taken at most; at least 30 seconds.
    @param ballot_window_s_ For how long ballots are, and where they are sealed, seals before;
           at least 30 seconds.
    @param sealed_ballots_ Whether ballots are promised by hash before they are shown.
    @param stake_ What a member deposits, in wei. 0: the coordinator says who is a member.
    """
    peer_terms.__init__(
        rules_,
        kappa_ppm_,
        quorum_,
        commit_window_s_,
        ballot_window_s_,
        sealed_ballots_,
        stake_,
    )
    typed_data.__init__()
    if stake_ == 0:
        assert len(members_) >= 2, "consensus: fewer than 2 members"
    else:
        assert len(members_) == 0, "consensus: with a stake, members join by themselves"
    for account: address in members_:
        membership._join(account)
    peer_round.model = genesis
    peer_round.header = peer_round.STALE
