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
import peer_round
import peer_terms
import typed_data

uses: membership
uses: peer_round
uses: peer_terms
uses: typed_data


# The hash of a ballot, signed as `Seal(uint64 round,bytes32 seal)`.
struct SignedSeal:
    member: uint256
    seal: bytes32
    r: uint256
    vs: uint256


# A ballot. Where ballots are open, signed as `Ballot(uint64 round,bytes entries)`. Where they
# are sealed, `r_or_salt` is the salt and `vs` is 0. Entries: see `borda`.
struct CastBallot:
    member: uint256
    r_or_salt: uint256
    vs: uint256
    entries: Bytes[borda.MAX_BYTES]


event Sealed:
    round: indexed(uint256)
    member: indexed(uint256)
    seal: bytes32


event BallotCast:
    round: indexed(uint256)
    member: indexed(uint256)
    entries: Bytes[borda.MAX_BYTES]


_SEAL_TYPE: constant(bytes32) = keccak256("Seal(uint64 round,bytes32 seal)")
_BALLOT_TYPE: constant(bytes32) = keccak256("Ballot(uint64 round,bytes entries)")

# How many ballots one transaction can relay. Every call pays for the room.
BALLOT_BATCH: public(constant(uint256)) = 32

_seals: bytes32[lanes.CAPACITY]


@external
def seal(round: uint256, batch: DynArray[SignedSeal, lanes.CAPACITY]):
    """
    @notice Relays seals of ballots. Whoever has sealed already is passed over.
    @param round The current round.
    @param batch keccak256(entries, salt) of each ballot. The last byte of the salt is the
           member's index, so that nobody can use the seal of another.
    """
    header: uint256 = peer_round._in_phase(round, peer_round.SEAL)
    committed: uint256 = header & membership.SET
    domain: bytes32 = typed_data._domain()
    roster: Bytes[membership.MAX_ROSTER] = membership._read_roster()
    sealers: uint256 = peer_round._sealers(header)
    for one: SignedSeal in batch:
        bit: uint256 = 1 << one.member
        assert committed & bit != 0, "peer consensus: has not committed"
        if sealers & bit != 0:
            continue
        structure: bytes32 = keccak256(abi_encode(_SEAL_TYPE, round, one.seal))
        signer: address = typed_data._signer(domain, structure, one.r, one.vs)
        assert convert(signer, uint256) == extract32(
            roster, unsafe_mul(one.member, 20), output_type=uint256
        ) >> 96, "peer consensus: signed by someone else"
        sealers |= bit
        self._seals[one.member] = one.seal
        log Sealed(round=round, member=one.member, seal=one.seal)
    peer_round._write_sealers(round, sealers)


@external
def seal_direct(round: uint256, seal: bytes32):
    """
    @notice Seals the sender's ballot.
    @param round The current round.
    @param seal See `seal`.
    """
    header: uint256 = peer_round._in_phase(round, peer_round.SEAL)
    member: uint256 = membership._seat(msg.sender)
    bit: uint256 = 1 << member
    sealers: uint256 = peer_round._sealers(header)
    assert header & bit != 0, "peer consensus: has not committed"
    assert sealers & bit == 0, "peer consensus: has sealed already"
    self._seals[member] = seal
    peer_round._write_sealers(round, sealers | bit)
    log Sealed(round=round, member=member, seal=seal)


@external
def cast_ballots(round: uint256, batch: DynArray[CastBallot, BALLOT_BATCH]):
    """
    @notice Relays ballots and counts them. Whoever has voted already is passed over.
    @param round The current round.
    @param batch Ballots, signed, or revealed where they were sealed.
    """
    header: uint256 = peer_round.header
    committed: uint256 = header & membership.SET
    words: uint256 = peer_round._words(committed)
    tally: uint256[lanes.WORDS] = peer_round._read_tally(header, words)
    voted: uint256 = peer_round._voters(tally, words)
    peer_round._check_phase(header, round, voted, peer_round.BALLOT)
    size: uint256 = peer_round._size(header)
    domain: bytes32 = typed_data._domain()
    roster: Bytes[membership.MAX_ROSTER] = membership._read_roster()
    for one: CastBallot in batch:
        bit: uint256 = 1 << one.member
        assert committed & bit != 0, "peer consensus: has not committed"
        if voted & bit != 0:
            continue
        if peer_terms.sealed_ballots:
            self._check_seal(header, one.member, one.entries, one.r_or_salt)
        else:
            structure: bytes32 = keccak256(
                abi_encode(_BALLOT_TYPE, round, keccak256(one.entries))
            )
            signer: address = typed_data._signer(domain, structure, one.r_or_salt, one.vs)
            assert convert(signer, uint256) == extract32(
                roster, unsafe_mul(one.member, 20), output_type=uint256
            ) >> 96, "peer consensus: signed by someone else"
        rated: uint256 = 0
        tally, rated = borda._counted(tally, words, one.entries, size)
        assert rated & bit == 0, "peer consensus: nobody rates itself"
        assert rated & ~committed == 0, "peer consensus: rates someone who has not committed"
        voted |= bit
        tally[one.member >> 4] |= peer_round.FLAG << ((one.member & 15) << 4)
        log BallotCast(round=round, member=one.member, entries=one.entries)
    peer_round._write_tally(header, tally, words)


@external
def cast_ballot_direct(round: uint256, entries: Bytes[borda.MAX_BYTES], salt: bytes32):
    """
    @notice Casts the sender's ballot.
    @param round The current round.
    @param entries See `borda`.
    @param salt Where ballots are sealed, what it was sealed with; else of no meaning.
    """
    header: uint256 = peer_round.header
    committed: uint256 = header & membership.SET
    words: uint256 = peer_round._words(committed)
    tally: uint256[lanes.WORDS] = peer_round._read_tally(header, words)
    voted: uint256 = peer_round._voters(tally, words)
    peer_round._check_phase(header, round, voted, peer_round.BALLOT)
    member: uint256 = membership._seat(msg.sender)
    bit: uint256 = 1 << member
    assert committed & bit != 0, "peer consensus: has not committed"
    assert voted & bit == 0, "peer consensus: has voted already"
    if peer_terms.sealed_ballots:
        self._check_seal(header, member, entries, convert(salt, uint256))
    rated: uint256 = 0
    tally, rated = borda._counted(tally, words, entries, peer_round._size(header))
    assert rated & bit == 0, "peer consensus: nobody rates itself"
    assert rated & ~committed == 0, "peer consensus: rates someone who has not committed"
    tally[member >> 4] |= peer_round.FLAG << ((member & 15) << 4)
    peer_round._write_tally(header, tally, words)
    log BallotCast(round=round, member=member, entries=entries)


@internal
@view
def _check_seal(
    header: uint256, member: uint256, entries: Bytes[borda.MAX_BYTES], salt: uint256
):
    """
    @notice Reverts unless this is the ballot that the member has sealed.
    """
    assert (peer_round._sealers(header) >> member) & 1 != 0, "peer consensus: has not sealed"
    assert salt & 255 == member, "peer consensus: the salt does not end in the member's index"
    assert (
        keccak256(concat(entries, convert(salt, bytes32))) == self._seals[member]
    ), "peer consensus: not what was sealed"
