# pragma version 0.4.3
"""
@title The round that is open, where members propose
@license Apache-2.0
@notice As `peer_round`, with a phase more: between commitments and ballots, members propose sets.
        Who has proposed and who has voted is kept; what they said is kept as the head of a hash
        chain, and shown again when the round is decided.
@dev PROTOCOL, System A, Rules. The phase is what the clock and the sets say:

     COMMIT, PROPOSE, SEAL (where ballots are sealed), BALLOT, SELECT, SELECTED, IDLE
"""

import lanes
import membership
import peer_round
import peer_terms

uses: peer_round
uses: peer_terms

# As `bcfl.consensus.spec.domain.Phase`.
PROPOSE: constant(uint256) = 6

# In the lower half: who has proposed, whose ballots count, who abstained. Upper half: in which
# round.
_proposed: uint256
_voted: uint256
_abstained: uint256
# Hash chains of (member, set) and of (member, hash of the ballot), in the order of the events.
_proposals: bytes32
_ballots: bytes32


@internal
@view
def _in_phase(round: uint256, phase: uint256) -> uint256:
    """
    @notice The header, if it is of this round and in this phase.
    """
    header: uint256 = peer_round.header
    assert round == peer_round._round(header), "consensus: not the current round"
    assert phase == self._phase(header), "consensus: not in this phase"
    return header


@internal
@view
def _phase(header: uint256) -> uint256:
    if header & peer_round.OPEN == 0:
        return peer_round.IDLE if header & peer_round.DECIDED == 0 else peer_round.SELECTED
    deadlines: uint256[4] = self._deadlines(header)
    if header & peer_round.EVERYBODY == 0 and block.timestamp <= deadlines[0]:
        return peer_round.COMMIT
    voters: uint256 = header & membership.SET
    count: uint256 = lanes._count(voters)
    if count < peer_terms.quorum:
        return peer_round.SELECT
    proposed: uint256 = self._proposers(header)
    if proposed != voters and block.timestamp <= deadlines[1]:
        return PROPOSE
    proposals: uint256 = lanes._count(proposed)
    if proposals < peer_terms.quorum or unsafe_mul(proposals, 2) <= count:
        return peer_round.SELECT
    if peer_terms.sealed_ballots:
        sealers: uint256 = peer_round._sealers(header)
        if sealers != voters and block.timestamp <= deadlines[2]:
            return peer_round.SEAL
        voters = sealers
    if (
        voters & ~(self._voters(header) | self._abstainers(header)) == 0
        or block.timestamp > deadlines[3]
        or lanes._count(voters) < peer_terms.quorum
    ):
        return peer_round.SELECT
    return peer_round.BALLOT


@internal
@view
def _deadlines(header: uint256) -> uint256[4]:
    """
    @notice The last seconds for commitments, proposals, seals and ballots.
    """
    window: uint256 = peer_terms.ballot_window_s
    for_proposals: uint256 = unsafe_add(
        unsafe_add(peer_round._opened_at(header), peer_terms.commit_window_s), window
    )
    for_seals: uint256 = for_proposals
    if peer_terms.sealed_ballots:
        for_seals = unsafe_add(for_seals, window)
    return [
        peer_round._deadlines(header)[0],
        for_proposals,
        for_seals,
        unsafe_add(for_seals, window),
    ]


@internal
@view
def _proposers(header: uint256) -> uint256:
    """
    @notice Who has proposed in this round.
    """
    return self._of_round(self._proposed, header)


@internal
@view
def _voters(header: uint256) -> uint256:
    """
    @notice Whose ballots of this round count.
    """
    return self._of_round(self._voted, header)


@internal
@view
def _abstainers(header: uint256) -> uint256:
    """
    @notice Who has abstained in this round.
    """
    return self._of_round(self._abstained, header)


@internal
@pure
def _of_round(word: uint256, header: uint256) -> uint256:
    if word >> membership.UPPER != peer_round._round(header):
        return 0
    return word & membership.SET


@internal
@view
def _proposal_chain(proposers: uint256) -> bytes32:
    """
    @notice Where the chain of proposals stands; what is stored before the first is older.
    """
    return empty(bytes32) if proposers == 0 else self._proposals


@internal
@view
def _ballot_chain(voters: uint256) -> bytes32:
    """
    @notice Where the chain of ballots stands; what is stored before the first is older.
    """
    return empty(bytes32) if voters == 0 else self._ballots


@internal
def _write_proposals(round: uint256, proposers: uint256, head: bytes32):
    self._proposed = (round << membership.UPPER) | proposers
    self._proposals = head


@internal
def _write_ballots(round: uint256, voters: uint256, head: bytes32):
    self._voted = (round << membership.UPPER) | voters
    self._ballots = head


@internal
def _write_abstainers(round: uint256, abstainers: uint256):
    self._abstained = (round << membership.UPPER) | abstainers


@internal
@pure
def _linked(head: bytes32, member: uint256, said: bytes32) -> bytes32:
    return keccak256(abi_encode(head, member, said))
