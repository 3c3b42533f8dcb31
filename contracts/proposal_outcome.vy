# pragma version 0.4.3
"""
@title Rounds of proposals from beginning to end
@license Apache-2.0
@notice As `peer_outcome`, where members propose. How a round is decided is the rule's to say, in
        `coalition` and in `referee`; here is what both begin and end with.
@dev A proposal of a member that is shown to be a cheat wins nothing. Proposals of others that
     hold the cheat stand as they were rated: were they void, a member that all think well of
     could bring them down together; were it struck out of them, it could have vouched for a
     poisoned delta by one of its own that undoes it, and go when the ballots are in.
"""

import borda
import lanes
import membership
import peer_outcome
import peer_round
import peer_terms
import proposal_round

uses: membership
uses: peer_outcome
uses: peer_round
uses: peer_terms
uses: proposal_round


# A proposal that counts, and a ballot that counts, as their events said them.
struct Proposal:
    member: uint256
    members: uint256


struct Rated:
    member: uint256
    entries: Bytes[borda.MAX_BYTES]


# Chosen are proposals, by proposer, and the winners those who are in one of them: bit fields.
# Scores are by proposer: what the rule makes of the ballots. The seed decides between equals,
# where the rule draws lots.
event Selected:
    round: indexed(uint256)
    winners: uint256
    chosen: uint256
    scores: DynArray[uint256, lanes.CAPACITY]
    seed: bytes32


# `bcfl.consensus.spec.domain.RoundState`: as `peer_outcome.State`, and who has proposed.
struct State:
    round: uint256
    phase: uint256
    model: bytes32
    expected: uint256
    committed: uint256
    sealed: uint256
    voted: uint256
    winners: uint256
    equivocators: uint256
    opened_at: uint256
    commit_deadline: uint256
    seal_deadline: uint256
    ballot_deadline: uint256
    abstained: uint256
    proposed: uint256
    proposal_deadline: uint256


# What is known of a round when it is to be decided.
struct Begun:
    header: uint256
    proposers: uint256
    voters: uint256
    abstainers: uint256
    barred: uint256


@external
def open_round(base: bytes32, expected: uint256):
    """
    @notice Opens a round: see `peer_outcome`.
    """
    self._open(peer_outcome._idle(base), base, expected)


@external
def close_round(round: uint256, model: bytes32, expected: uint256):
    """
    @notice Ends a round, and opens the next: see `peer_outcome`.
    """
    header: uint256 = peer_outcome._close(round, model)
    if expected != 0:
        self._open(header, model, expected)


@external
@view
def state() -> State:
    """
    @notice Everything about the current round, or the last one.
    """
    header: uint256 = peer_round.header
    deadlines: uint256[4] = empty(uint256[4])
    if peer_round._round(header) != 0:
        deadlines = proposal_round._deadlines(header)
    winners: uint256 = 0
    if header & (peer_round.OPEN | peer_round.VOID) == 0:
        winners = membership.barred >> membership.UPPER
    return State(
        round=peer_round._round(header),
        phase=proposal_round._phase(header),
        model=peer_round.model,
        expected=membership.roll >> membership.UPPER,
        committed=header & membership.SET,
        sealed=peer_round._sealers(header),
        voted=proposal_round._voters(header),
        winners=winners,
        equivocators=membership.barred & membership.SET,
        opened_at=peer_round._opened_at(header),
        commit_deadline=deadlines[0],
        seal_deadline=deadlines[2],
        ballot_deadline=deadlines[3],
        abstained=proposal_round._abstainers(header),
        proposed=proposal_round._proposers(header),
        proposal_deadline=deadlines[1],
    )


@internal
def _open(header: uint256, base: bytes32, expected: uint256):
    """
    @notice Opens the round after that of `header`, which is idle.
    """
    opened: uint256 = peer_outcome._begin(header, expected)
    deadlines: uint256[4] = proposal_round._deadlines(opened)
    log peer_outcome.Opened(
        round=peer_round._round(opened),
        base=base,
        expected=expected,
        commit_deadline=deadlines[0],
        seal_deadline=deadlines[2],
        ballot_deadline=deadlines[3],
    )


@internal
@view
def _begun() -> Begun:
    """
    @notice Reverts unless the round is to be decided.
    """
    header: uint256 = peer_round.header
    phase: uint256 = proposal_round._phase(header)
    assert phase == peer_round.SELECT, "consensus: not in this phase"
    return Begun(
        header=header,
        proposers=proposal_round._proposers(header),
        voters=proposal_round._voters(header),
        abstainers=proposal_round._abstainers(header),
        barred=membership.barred & membership.SET,
    )


@internal
@view
def _expect_all(begun: Begun, proposals: bytes32, ballots: bytes32):
    """
    @notice Reverts unless these are the heads of the round's hash chains.
    """
    assert (
        proposals == proposal_round._proposal_chain(begun.proposers)
        and ballots == proposal_round._ballot_chain(begun.voters)
    ), "consensus: not all of the round"


@internal
@view
def _takes_part(begun: Begun, eligible: uint256) -> bool:
    """
    @notice Whether so many are enough for a round to count.
    @param eligible The proposals that can win, by proposer.
    """
    committed: uint256 = lanes._count(begun.header & membership.SET)
    proposals: uint256 = lanes._count(begun.proposers)
    ballots: uint256 = lanes._count(begun.voters)
    if unsafe_mul(proposals, 2) <= committed or unsafe_mul(ballots, 2) <= committed:
        return False
    return ballots >= peer_terms.quorum and lanes._count(eligible) >= peer_terms.quorum


@internal
def _end(
    begun: Begun,
    chosen: uint256,
    winners: uint256,
    scores: DynArray[uint256, lanes.CAPACITY],
    seed: bytes32,
):
    """
    @notice Ends a round with its winners; with none, it is void.
    """
    round: uint256 = peer_round._round(begun.header)
    if winners == 0:
        peer_round.header = (begun.header ^ peer_round.OPEN) | peer_round.VOID
        log peer_outcome.Voided(
            round=round,
            committed=begun.header & membership.SET,
            voted=begun.voters,
            abstained=begun.abstainers,
        )
        return
    peer_round.header = begun.header ^ (peer_round.OPEN | peer_round.DECIDED)
    membership.barred = begun.barred | (winners << membership.UPPER)
    log Selected(round=round, winners=winners, chosen=chosen, scores=scores, seed=seed)
