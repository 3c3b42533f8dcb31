# pragma version 0.4.3
"""
@title Proposals
@license Apache-2.0
@notice Members propose sets of members, whose deltas together would make the next model. What a
        set is good for, the ballots say. PROTOCOL, System A, Rules.
"""

import lanes
import membership
import peer_round
import proposal_round
import refusals
import typed_data

uses: membership
uses: proposal_round
uses: typed_data


# A set that its author signed as `Proposal(uint64 round,uint128 members)`: a bit field.
struct SignedProposal:
    member: uint256
    members: uint256
    r: uint256
    vs: uint256


event Proposed:
    round: indexed(uint256)
    member: indexed(uint256)
    members: uint256


_TYPE: constant(bytes32) = keccak256("Proposal(uint64 round,uint128 members)")


@external
def propose(round: uint256, batch: DynArray[SignedProposal, lanes.CAPACITY]):
    """
    @notice Relays proposals. Whoever has proposed already is passed over; so is what is wrong,
            with `Refused`.
    @param round The current round.
    @param batch Proposals: of committed members, at least one.
    """
    header: uint256 = proposal_round._in_phase(round, proposal_round.PROPOSE)
    domain: bytes32 = typed_data._domain()
    roster: Bytes[membership.MAX_ROSTER] = membership._read_roster()
    proposers: uint256 = proposal_round._proposers(header)
    head: bytes32 = proposal_round._proposal_chain(proposers)
    for one: SignedProposal in batch:
        bit: uint256 = 1 << one.member
        if proposers & bit != 0:
            continue
        reason: uint256 = self._fault(header, bit, one.members)
        if reason == refusals.GOOD:
            structure: bytes32 = keccak256(abi_encode(_TYPE, round, one.members))
            signer: address = typed_data._signer(domain, structure, one.r, one.vs)
            if not membership._stands(extract32(roster, unsafe_mul(one.member, 20)), signer):
                reason = refusals.SIGNATURE
        if reason != refusals.GOOD:
            log refusals.Refused(round=round, member=one.member, reason=reason)
            continue
        proposers |= bit
        head = proposal_round._linked(head, one.member, convert(one.members, bytes32))
        log Proposed(round=round, member=one.member, members=one.members)
    proposal_round._write_proposals(round, proposers, head)


@external
def propose_direct(round: uint256, members: uint256):
    """
    @notice Proposes a set for the sender.
    @param round The current round.
    @param members See `propose`.
    """
    header: uint256 = proposal_round._in_phase(round, proposal_round.PROPOSE)
    member: uint256 = membership._seat(msg.sender)
    bit: uint256 = 1 << member
    proposers: uint256 = proposal_round._proposers(header)
    assert proposers & bit == 0, "consensus: has proposed already"
    reason: uint256 = self._fault(header, bit, members)
    assert reason != refusals.SET, "consensus: not of committed"
    refusals._expect_none(reason)
    head: bytes32 = proposal_round._linked(
        proposal_round._proposal_chain(proposers), member, convert(members, bytes32)
    )
    proposal_round._write_proposals(round, proposers | bit, head)
    log Proposed(round=round, member=member, members=members)


@internal
@pure
def _fault(header: uint256, bit: uint256, members: uint256) -> uint256:
    """
    @notice Why this set, of this member, does not count; 0 if it does.
    """
    if header & membership.SET & bit == 0:
        return refusals.NOT_COMMITTED
    if members == 0 or members & ~(header & membership.SET) != 0:
        return refusals.SET
    return refusals.GOOD
