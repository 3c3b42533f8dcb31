# pragma version 0.4.3
"""
@title Ballots on proposals
@license Apache-2.0
@notice Members rate what was proposed; whoever is rated on a ballot stands for its proposal. A
        ballot is checked when it comes and counted when the round is decided. Proposals are
        open even where ballots are sealed: who copies one adds nothing to it.
"""

import borda
import lanes
import membership
import peer_ballots
import peer_round
import peer_terms
import proposal_round
import ranking
import refusals
import typed_data

uses: membership
uses: peer_ballots
uses: peer_terms
uses: proposal_round
uses: typed_data


# The ballots of a round, as far as they came.
struct Count:
    header: uint256
    proposers: uint256
    voters: uint256
    abstainers: uint256
    head: bytes32


_BALLOT_TYPE: constant(bytes32) = keccak256("Ballot(uint64 round,bytes entries)")

# Whether a ballot rates its author's proposal, too.
_of_oneself: immutable(bool)


@deploy
def __init__(of_oneself: bool):
    """
    @notice Settles whose proposals a ballot rates.
    """
    _of_oneself = of_oneself


@external
def seal(round: uint256, batch: DynArray[peer_ballots.SignedSeal, lanes.CAPACITY]):
    """
    @notice Relays seals of ballots: see `peer_ballots`.
    """
    peer_ballots._relay_seals(proposal_round._in_phase(round, peer_round.SEAL), round, batch)


@external
def seal_direct(round: uint256, seal: bytes32):
    """
    @notice Seals the sender's ballot.
    """
    peer_ballots._seal_own(proposal_round._in_phase(round, peer_round.SEAL), round, seal)


@external
def cast_ballots(
    round: uint256,
    batch: Bytes[peer_ballots.MAX_BATCH],
    proofs: DynArray[typed_data.Signature, peer_ballots.MOST_BALLOTS],
):
    """
    @notice Relays ballots. Whoever has voted or abstained already is passed over; so is what is
            wrong, with `Refused`.
    @param round The current round.
    @param batch, proofs See `peer_ballots`.
    """
    count: Count = self._begun(round)
    domain: bytes32 = typed_data._domain()
    roster: Bytes[membership.MAX_ROSTER] = membership._read_roster()
    counted: uint256 = 0
    at: uint256 = 0
    for i: uint256 in range(len(proofs), bound=peer_ballots.MOST_BALLOTS):
        head: uint256 = convert(slice(batch, at, 3), uint256)
        member: uint256 = head >> 16
        length: uint256 = head & 65535
        entries: Bytes[borda.MAX_BYTES] = convert(
            slice(batch, unsafe_add(at, 3), length), Bytes[borda.MAX_BYTES]
        )
        at = unsafe_add(unsafe_add(at, 3), length)
        bit: uint256 = 1 << member
        if (count.voters | count.abstainers) & bit != 0:
            continue
        reason: uint256 = refusals.GOOD
        if count.header & membership.SET & bit == 0:
            reason = refusals.NOT_COMMITTED
        elif peer_terms.sealed_ballots:
            reason = peer_ballots._seal_fault(count.header, member, entries, proofs[i].r)
        else:
            structure: bytes32 = keccak256(abi_encode(_BALLOT_TYPE, round, keccak256(entries)))
            signer: address = typed_data._signer(domain, structure, proofs[i].r, proofs[i].vs)
            if not membership._stands(extract32(roster, unsafe_mul(member, 20)), signer):
                reason = refusals.SIGNATURE
        if reason == refusals.GOOD:
            count, reason = self._with(count, round, member, entries)
        if reason != refusals.GOOD:
            log refusals.Refused(round=round, member=member, reason=reason)
        elif count.voters & bit != 0:
            counted |= 1 << i
    assert at == len(batch), "consensus: not a batch"
    if counted != 0:
        log peer_ballots.BallotsRelayed(round=round, counted=counted, batch=batch)
    self._keep(count, round)


@external
def cast_ballot_direct(round: uint256, entries: Bytes[borda.MAX_BYTES], salt: bytes32):
    """
    @notice Casts the sender's ballot.
    @param round The current round.
    @param entries See `borda`.
    @param salt Where ballots are sealed, what it was sealed with; else of no meaning.
    """
    count: Count = self._begun(round)
    member: uint256 = membership._seat(msg.sender)
    bit: uint256 = 1 << member
    assert (count.voters | count.abstainers) & bit == 0, "consensus: has voted already"
    reason: uint256 = refusals.GOOD
    if count.header & membership.SET & bit == 0:
        reason = refusals.NOT_COMMITTED
    elif peer_terms.sealed_ballots:
        reason = peer_ballots._seal_fault(
            count.header, member, entries, convert(salt, uint256)
        )
    if reason == refusals.GOOD:
        count, reason = self._with(count, round, member, entries)
    refusals._expect_none(reason)
    if count.voters & bit != 0:
        log peer_ballots.BallotCast(round=round, member=member, entries=entries)
    self._keep(count, round)


@internal
@view
def _begun(round: uint256) -> Count:
    """
    @notice What came before; reverts if no ballots are taken.
    """
    header: uint256 = proposal_round._in_phase(round, peer_round.BALLOT)
    voters: uint256 = proposal_round._voters(header)
    return Count(
        header=header,
        proposers=proposal_round._proposers(header),
        voters=voters,
        abstainers=proposal_round._abstainers(header),
        head=proposal_round._ballot_chain(voters),
    )


@internal
def _with(
    before: Count, round: uint256, member: uint256, entries: Bytes[borda.MAX_BYTES]
) -> (Count, uint256):
    """
    @notice Takes one ballot more, or says why it does not count.
    """
    count: Count = before
    bit: uint256 = 1 << member
    candidates: uint256 = count.proposers
    if not _of_oneself:
        candidates &= ~bit
    ranking_: ranking.Ranking = ranking._read(entries, candidates)
    said: borda.Said = ranking_.said
    if said.reason != refusals.GOOD:
        return count, said.reason
    if said.missing != 0 and lanes._count(said.missing) > lanes._count(candidates) // 4:
        count.abstainers |= bit
        log peer_ballots.Abstained(round=round, member=member, missing=said.missing)
    else:
        count.voters |= bit
        count.head = proposal_round._linked(count.head, member, keccak256(entries))
    return count, refusals.GOOD


@internal
def _keep(count: Count, round: uint256):
    proposal_round._write_ballots(round, count.voters, count.head)
    if count.abstainers != 0:
        proposal_round._write_abstainers(round, count.abstainers)
