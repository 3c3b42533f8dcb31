# pragma version 0.4.3
"""
@title Peer consensus by coalitions
@license Apache-2.0
@notice One learning task, as `PeerConsensus`, with `rule=coalition`: members propose sets of
        members, and rate what was proposed instead of single deltas.
        PROTOCOL, System A, Rules.
@dev Who may call what, when; all else is as `PeerConsensus` has it.

     function             who               phase
     propose              anybody           PROPOSE
     propose_direct       committed member  PROPOSE
     select               anybody           SELECT

     The phases are COMMIT, PROPOSE, SEAL (where ballots are sealed), BALLOT, SELECT, SELECTED,
     IDLE. Read on in `proposal_round`, `proposals`, `proposal_ballots`, `borda`,
     `proposal_outcome`, `coalition`.
"""

import coalition
import lanes
import membership
import peer_ballots
import peer_commitments
import peer_members
import peer_outcome
import peer_round
import peer_terms
import proposal_ballots
import proposal_outcome
import proposal_round
import proposals
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
initializes: proposal_round[peer_round := peer_round, peer_terms := peer_terms]
initializes: proposals[
    membership := membership,
    proposal_round := proposal_round,
    typed_data := typed_data,
]
initializes: proposal_ballots[
    membership := membership,
    peer_ballots := peer_ballots,
    peer_terms := peer_terms,
    proposal_round := proposal_round,
    typed_data := typed_data,
]
initializes: proposal_outcome[
    membership := membership,
    peer_outcome := peer_outcome,
    peer_round := peer_round,
    peer_terms := peer_terms,
    proposal_round := proposal_round,
]
initializes: coalition[peer_terms := peer_terms, proposal_outcome := proposal_outcome]
initializes: peer_members[
    membership := membership,
    peer_round := peer_round,
    peer_terms := peer_terms,
    pull_payments := pull_payments,
]

exports: (
    coalition.__interface__,
    membership.__interface__,
    peer_commitments.__interface__,
    peer_members.__interface__,
    peer_terms.__interface__,
    proposal_ballots.__interface__,
    proposal_outcome.__interface__,
    proposals.__interface__,
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
    @notice Begins a task: see `PeerConsensus`. Of the proposals the share `kappa_ppm_` wins.
            The window for ballots is that for proposals, too.
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
    proposal_ballots.__init__(False)
    if stake_ == 0:
        assert len(members_) >= 2, "consensus: fewer than 2 members"
    else:
        assert len(members_) == 0, "consensus: with a stake, members join by themselves"
    for account: address in members_:
        membership._join(account)
    peer_round.model = genesis
    peer_round.header = peer_round.STALE
