# pragma version 0.4.3
"""
@title Ballots
@license Apache-2.0
@notice S3 and S4: members rate each other's deltas, and the contract counts. Where ballots are
        sealed, each is promised by hash before any is shown, so that none can be copied.
"""

import borda
import lanes
import membership
import peer_outcome
import peer_round
import peer_terms
import refusals
import typed_data

uses: membership
uses: peer_outcome
uses: peer_round
uses: peer_terms
uses: typed_data


# The hash of a ballot, signed as `Seal(uint64 round,bytes32 seal)`.
struct SignedSeal:
    member: uint256
    seal: bytes32
    r: uint256
    vs: uint256


event Sealed:
    round: indexed(uint256)
    member: indexed(uint256)
    seal: bytes32


# A batch as it was relayed. Bit i of `counted`: whether the i-th of it counts.
event BallotsRelayed:
    round: indexed(uint256)
    counted: uint256
    batch: Bytes[MAX_BATCH]


event BallotCast:
    round: indexed(uint256)
    member: indexed(uint256)
    entries: Bytes[borda.MAX_BYTES]


# A reviewer who missed more than a quarter of the others: the ballot gives no points and is
# none of the quorum's, and says who is missing.
event Abstained:
    round: indexed(uint256)
    member: indexed(uint256)
    missing: uint256


# The ballots of a round, as far as they are counted.
struct Count:
    header: uint256
    committed: uint256
    words: uint256
    size: uint256
    tally: uint256[lanes.WORDS]
    unrated: uint256[lanes.WORDS]
    abstained: uint256


_SEAL_TYPE: constant(bytes32) = keccak256("Seal(uint64 round,bytes32 seal)")
_BALLOT_TYPE: constant(bytes32) = keccak256("Ballot(uint64 round,bytes entries)")

# How many bytes of ballots one transaction can relay, and how many ballots. Every call pays for
# the room.
MAX_BATCH: public(constant(uint256)) = 2**14
MOST_BALLOTS: public(constant(uint256)) = 64

_seals: bytes32[lanes.CAPACITY]


@external
def seal(round: uint256, batch: DynArray[SignedSeal, lanes.CAPACITY]):
    """
    @notice Relays seals of ballots. Whoever has sealed already is passed over; so is what is
            wrong, with `Refused`.
    @param round The current round.
    @param batch keccak256(entries, salt) of each ballot. The last byte of the salt is the
           member's index, so that nobody can use the seal of another.
    """
    self._relay_seals(peer_round._in_phase(round, peer_round.SEAL), round, batch)


@external
def seal_direct(round: uint256, seal: bytes32):
    """
    @notice Seals the sender's ballot.
    @param round The current round.
    @param seal See `seal`.
    """
    self._seal_own(peer_round._in_phase(round, peer_round.SEAL), round, seal)


@external
def cast_ballots(
    round: uint256,
    batch: Bytes[MAX_BATCH],
    proofs: DynArray[typed_data.Signature, MOST_BALLOTS],
):
    """
    @notice Relays ballots and counts them. Whoever has voted or abstained already is passed
            over; so is what is wrong, with `Refused`. The last ballot of a round decides it.
    @param round The current round.
    @param batch Of each ballot the member (1 byte), how many bytes follow (2), and the entries,
           see `borda`.
    @param proofs Of each its author's signature, as `Ballot(uint64 round,bytes entries)`; where
           ballots are sealed, the salt and 32 bytes of no meaning.
    """
    count: Count = self._begun(round)
    domain: bytes32 = typed_data._domain()
    roster: Bytes[membership.MAX_ROSTER] = membership._read_roster()
    done: uint256 = peer_round._voters(count.tally, count.words)
    counted: uint256 = 0
    at: uint256 = 0
    for i: uint256 in range(len(proofs), bound=MOST_BALLOTS):
        head: uint256 = convert(slice(batch, at, 3), uint256)
        member: uint256 = head >> 16
        length: uint256 = head & 65535
        entries: Bytes[borda.MAX_BYTES] = convert(
            slice(batch, unsafe_add(at, 3), length), Bytes[borda.MAX_BYTES]
        )
        at = unsafe_add(unsafe_add(at, 3), length)
        bit: uint256 = 1 << member
        if done & bit != 0:
            continue
        reason: uint256 = refusals.GOOD
        if count.committed & bit == 0:
            reason = refusals.NOT_COMMITTED
        elif peer_terms.sealed_ballots:
            reason = self._seal_fault(count.header, member, entries, proofs[i].r)
        else:
            structure: bytes32 = keccak256(abi_encode(_BALLOT_TYPE, round, keccak256(entries)))
            signer: address = typed_data._signer(domain, structure, proofs[i].r, proofs[i].vs)
            if not membership._stands(extract32(roster, unsafe_mul(member, 20)), signer):
                reason = refusals.SIGNATURE
        if reason == refusals.GOOD:
            count, reason = self._with(count, round, member, entries)
        if reason != refusals.GOOD:
            log refusals.Refused(round=round, member=member, reason=reason)
            continue
        done |= bit
        if count.abstained & bit == 0:
            counted |= 1 << i
    assert at == len(batch), "consensus: not a batch"
    if counted != 0:
        log BallotsRelayed(round=round, counted=counted, batch=batch)
    self._keep(count, done)


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
    done: uint256 = peer_round._voters(count.tally, count.words)
    assert done & bit == 0, "consensus: has voted already"
    reason: uint256 = refusals.GOOD
    if count.committed & bit == 0:
        reason = refusals.NOT_COMMITTED
    elif peer_terms.sealed_ballots:
        reason = self._seal_fault(count.header, member, entries, convert(salt, uint256))
    if reason == refusals.GOOD:
        count, reason = self._with(count, round, member, entries)
    refusals._expect_none(reason)
    if count.abstained & bit == 0:
        log BallotCast(round=round, member=member, entries=entries)
    self._keep(count, done | bit)


@internal
def _relay_seals(
    header: uint256, round: uint256, batch: DynArray[SignedSeal, lanes.CAPACITY]
):
    """
    @notice See `seal`.
    @param header Of this round, in which seals are taken.
    """
    committed: uint256 = header & membership.SET
    domain: bytes32 = typed_data._domain()
    roster: Bytes[membership.MAX_ROSTER] = membership._read_roster()
    sealers: uint256 = peer_round._sealers(header)
    for one: SignedSeal in batch:
        bit: uint256 = 1 << one.member
        if sealers & bit != 0:
            continue
        reason: uint256 = refusals.GOOD
        if committed & bit == 0:
            reason = refusals.NOT_COMMITTED
        else:
            structure: bytes32 = keccak256(abi_encode(_SEAL_TYPE, round, one.seal))
            signer: address = typed_data._signer(domain, structure, one.r, one.vs)
            if not membership._stands(extract32(roster, unsafe_mul(one.member, 20)), signer):
                reason = refusals.SIGNATURE
        if reason != refusals.GOOD:
            log refusals.Refused(round=round, member=one.member, reason=reason)
            continue
        sealers |= bit
        self._seals[one.member] = one.seal
        log Sealed(round=round, member=one.member, seal=one.seal)
    peer_round._write_sealers(round, sealers)


@internal
def _seal_own(header: uint256, round: uint256, seal: bytes32):
    """
    @notice See `seal_direct`.
    @param header As of `_relay_seals`.
    """
    member: uint256 = membership._seat(msg.sender)
    bit: uint256 = 1 << member
    sealers: uint256 = peer_round._sealers(header)
    assert header & bit != 0, "consensus: has not committed"
    assert sealers & bit == 0, "consensus: has sealed already"
    self._seals[member] = seal
    peer_round._write_sealers(round, sealers | bit)
    log Sealed(round=round, member=member, seal=seal)


@internal
@view
def _begun(round: uint256) -> Count:
    """
    @notice What was counted before; reverts if no ballots are taken.
    """
    header: uint256 = peer_round.header
    committed: uint256 = header & membership.SET
    words: uint256 = peer_round._words(committed)
    tally: uint256[lanes.WORDS] = peer_round._read_tally(header, words)
    peer_round._check_phase(header, round, peer_round._voters(tally, words), peer_round.BALLOT)
    return Count(
        header=header,
        committed=committed,
        words=words,
        size=peer_round._size(header),
        tally=tally,
        unrated=peer_round._read_unrated(header, words),
        abstained=peer_round._abstainers(header),
    )


@internal
def _with(
    before: Count, round: uint256, member: uint256, entries: Bytes[borda.MAX_BYTES]
) -> (Count, uint256):
    """
    @notice Counts one ballot more, or says why it does not count.
    """
    count: Count = before
    others: uint256 = count.committed ^ (1 << member)
    sums: uint256[lanes.WORDS] = empty(uint256[lanes.WORDS])
    said: borda.Said = empty(borda.Said)
    sums, said = borda._counted(count.tally, count.words, entries, count.size, others)
    if said.reason != refusals.GOOD:
        return count, said.reason
    if said.missing != 0 and lanes._count(said.missing) > lanes._count(others) // 4:
        count.abstained |= 1 << member
        log Abstained(round=round, member=member, missing=said.missing)
    else:
        count.tally = sums
        if said.rated != others:
            count.header |= peer_round.UNEVEN
            count.unrated = lanes._raised(count.unrated, count.words, others ^ said.rated, 1)
    count.tally[member >> 4] |= peer_round.FLAG << ((member & 15) << 4)
    return count, refusals.GOOD


@internal
def _keep(count: Count, done: uint256):
    """
    @notice Keeps what was counted, and decides the round if everybody is done. Where no block
            lies between the last commitment and the last ballot, or the gas might not suffice,
            `select` does it: no ballot is lost because others came before it was thought to.
    """
    header: uint256 = count.header | peer_round.TALLIED
    if count.abstained != 0:
        header |= peer_round.ABSTAINED
        peer_round._abstained = count.abstained
    if header & peer_round.UNEVEN != 0:
        peer_round._write_unrated(count.unrated, count.words)
    peer_round._write_tally(header, count.tally, count.words)
    if (
        peer_round._phase(header, done) == peer_round.SELECT
        and peer_round._behind(header) != 0
        and msg.gas > 40_000 + 12_000 * count.words
    ):
        peer_outcome._decide(header, count.tally, count.words, done, True)


@internal
@view
def _seal_fault(
    header: uint256, member: uint256, entries: Bytes[borda.MAX_BYTES], salt: uint256
) -> uint256:
    """
    @notice Why this is not the ballot that the member has sealed; 0 if it is.
    """
    if (peer_round._sealers(header) >> member) & 1 == 0:
        return refusals.NOT_SEALED
    if salt & 255 != member:
        return refusals.SALT
    if keccak256(concat(entries, convert(salt, bytes32))) != self._seals[member]:
        return refusals.NOT_THE_SEALED
    return refusals.GOOD
