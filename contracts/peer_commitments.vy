# pragma version 0.4.3
"""
@title Commitments
@license Apache-2.0
@notice S2 and S3: members say, by digest, to which delta they commit, and cannot say two things.
"""

import lanes
import membership
import peer_round
import peer_terms
import refusals
import typed_data

uses: membership
uses: peer_round
uses: peer_terms
uses: typed_data


# One of two commitments of one member for one round.
struct Evidence:
    base: bytes32
    digest: bytes32
    timestamp: uint256
    r: uint256
    vs: uint256


# A batch as it was relayed. Bit i of `counted`: whether the i-th of it counts.
event CommitmentsRelayed:
    round: indexed(uint256)
    counted: uint256
    batch: Bytes[_ENTRY * lanes.CAPACITY]


event Committed:
    round: indexed(uint256)
    member: indexed(uint256)
    digest: bytes32
    timestamp: uint256


event Equivocated:
    round: indexed(uint256)
    member: indexed(uint256)
    digest_a: bytes32
    digest_b: bytes32


# How many bytes of a batch a commitment takes.
_ENTRY: constant(uint256) = 38

_TYPE: constant(bytes32) = keccak256(
    "Commitment(uint64 round,bytes32 base,bytes32 digest,uint64 timestamp)"
)

# An account without a key, as is the custom.
_NOBODY: constant(address) = 0x000000000000000000000000000000000000dEaD


@external
def commit(
    round: uint256,
    batch: Bytes[_ENTRY * lanes.CAPACITY],
    signatures: DynArray[typed_data.Signature, lanes.CAPACITY],
):
    """
    @notice Relays commitments. Whoever has committed already is passed over, so that a direct
            commitment cannot block a batch; so is what is wrong, with `Refused`.
    @param round The current round.
    @param batch Commitments, at most one of which counts for each member; of each the member
           (1 byte), the timestamp (5) and the digest (32).
    @param signatures Its author's of each, as `Commitment(uint64 round,bytes32 base,
           bytes32 digest,uint64 timestamp)`; see `typed_data`.
    """
    assert len(batch) == _ENTRY * len(signatures), "consensus: not a batch"
    header: uint256 = peer_round._in_phase(round, peer_round.COMMIT)
    base: bytes32 = peer_round.model
    domain: bytes32 = typed_data._domain()
    roster: Bytes[membership.MAX_ROSTER] = membership._read_roster()
    roll: uint256 = membership.roll
    opened_at: uint256 = peer_round._opened_at(header)
    counted: uint256 = 0
    for i: uint256 in range(len(signatures), bound=lanes.CAPACITY):
        at: uint256 = unsafe_mul(i, _ENTRY)
        head: uint256 = extract32(batch, at, output_type=uint256)
        member: uint256 = head >> 248
        bit: uint256 = (1 << member) & membership.SET
        if header & bit != 0:
            continue
        timestamp: uint256 = (head >> 208) & (2**40 - 1)
        reason: uint256 = self._fault(roll, bit, timestamp, opened_at)
        if reason == refusals.GOOD:
            digest: bytes32 = extract32(batch, unsafe_add(at, 6))
            structure: bytes32 = keccak256(abi_encode(_TYPE, round, base, digest, timestamp))
            signer: address = typed_data._signer(
                domain, structure, signatures[i].r, signatures[i].vs
            )
            if not membership._stands(extract32(roster, unsafe_mul(member, 20)), signer):
                reason = refusals.SIGNATURE
        if reason != refusals.GOOD:
            log refusals.Refused(round=round, member=member, reason=reason)
            continue
        header |= bit
        counted |= 1 << i
    # Nothing new moves no block's number, or whoever dislikes its hash could ask for another.
    if counted != 0:
        self._write(header, roll)
        log CommitmentsRelayed(round=round, counted=counted, batch=batch)


@external
def commit_direct(round: uint256, digest: bytes32, timestamp: uint256):
    """
    @notice Commits the sender, who needs no signature and no relayer.
    @param round The current round.
    @param digest SHA-256 of the encoded delta.
    @param timestamp When the delta was made: since the round was opened.
    """
    header: uint256 = peer_round._in_phase(round, peer_round.COMMIT)
    roll: uint256 = membership.roll
    member: uint256 = membership._seat(msg.sender)
    bit: uint256 = 1 << member
    assert header & bit == 0, "consensus: has committed already"
    refusals._expect_none(self._fault(roll, bit, timestamp, peer_round._opened_at(header)))
    self._write(header | bit, roll)
    log Committed(round=round, member=member, digest=digest, timestamp=timestamp)


@external
def prove_equivocation(member: uint256, round: uint256, a: Evidence, b: Evidence):
    """
    @notice Shows two commitments that one member signed for one round. It can commit no more
            and wins no more; no proof is needed twice.
    @dev A stake is forfeited to nobody: whoever got it would have a reason to bring two
         signatures about. It is sent where no key can fetch it.
    @param member Who signed both.
    @param round The current round or one before.
    @param a One commitment.
    @param b Another, with another digest.
    """
    current: uint256 = peer_round._round(peer_round.header)
    assert 0 < round and round <= current, "consensus: no such round"
    assert a.digest != b.digest, "consensus: the digests are equal"
    account: address = membership._account(member)
    bit: uint256 = 1 << member
    assert membership.barred & bit == 0, "consensus: proven already"
    domain: bytes32 = typed_data._domain()
    for one: Evidence in [a, b]:
        structure: bytes32 = keccak256(
            abi_encode(_TYPE, round, one.base, one.digest, one.timestamp)
        )
        signer: address = typed_data._signer(domain, structure, one.r, one.vs)
        assert signer == account, "consensus: signed by someone else"
    membership.barred |= bit
    if membership.roll & bit != 0:
        membership.roll ^= bit
        if peer_terms.stake != 0:
            send(_NOBODY, peer_terms.stake)
    log Equivocated(round=round, member=member, digest_a=a.digest, digest_b=b.digest)


@internal
@view
def _fault(roll: uint256, bit: uint256, timestamp: uint256, opened_at: uint256) -> uint256:
    """
    @notice Why a commitment of this member, signed then, does not count; 0 if it does.
    """
    if roll & bit == 0:
        return refusals.NOT_A_MEMBER
    if timestamp < opened_at:
        return refusals.TOO_EARLY
    if timestamp > block.timestamp:
        return refusals.TOO_LATE
    return refusals.GOOD


@internal
def _write(header: uint256, roll: uint256):
    complete: uint256 = 0
    if (roll >> membership.UPPER) & ~header == 0:
        complete = peer_round.COMPLETE
    if roll & membership.SET & ~header == 0:
        complete |= peer_round.EVERYBODY
    peer_round.header = peer_round._stamped(header) | complete
