# pragma version 0.4.3
"""
@title The court of a settlement
@license Apache-2.0
@notice What came of a round, found once more from all that was signed in it, by the functions
        by which `PeerConsensus` finds it. No step is left to anybody's word.
@dev The root is a chain of hashes: of every commitment, and then of every ballot, in the order
     of their members. What is good of them counts; what is wrong is passed over, as ever.
     Between equal points lots decide, as ever; their seed is the hash of all the ballots that
     count, which nobody could know who committed.
"""

import lanes
import membership
import peer_ballots
import peer_outcome
import peer_round
import peer_terms
import refusals
import selection
import settlement_rounds
import typed_data

uses: membership
uses: peer_outcome
uses: peer_round
uses: peer_terms
uses: typed_data

_COMMITMENT_TYPE: constant(bytes32) = keccak256(
    "Commitment(uint64 round,bytes32 base,bytes32 digest,uint64 timestamp)"
)
_BALLOT_TYPE: constant(bytes32) = keccak256("Ballot(uint64 round,bytes entries)")


@internal
def _agrees(
    record: settlement_rounds.Record,
    commitments: DynArray[settlement_rounds.SignedCommitment, lanes.CAPACITY],
    ballots: DynArray[settlement_rounds.SignedBallot, lanes.CAPACITY],
) -> bool:
    """
    @notice Whether the coordinator has said of the round what follows from all that was signed.
            Reverts unless this is what was signed, by its root.
    """
    domain: bytes32 = typed_data._domain()
    roster: Bytes[membership.MAX_ROSTER] = membership._read_roster()
    root: bytes32 = empty(bytes32)

    committed: uint256 = 0
    for one: settlement_rounds.SignedCommitment in commitments:
        root = keccak256(abi_encode(root, one))
        bit: uint256 = (1 << one.member) & record.members
        # In the order of their members, each once.
        if bit <= committed or one.timestamp < record.opened_at or one.timestamp > record.settled_at:
            continue
        structure: bytes32 = keccak256(
            abi_encode(_COMMITMENT_TYPE, record.round, record.base, one.digest, one.timestamp)
        )
        signer: address = typed_data._signer(domain, structure, one.r, one.vs)
        if membership._stands(extract32(roster, unsafe_mul(one.member, 20)), signer):
            committed |= bit

    count: peer_ballots.Count = empty(peer_ballots.Count)
    count.size = lanes._count(record.members)
    count.header = committed | (count.size << peer_round.SIZE_AT)
    count.committed = committed
    count.words = peer_round._words(committed)
    seed: bytes32 = empty(bytes32)
    brought: uint256 = 0
    spoken: uint256 = 0
    for one: settlement_rounds.SignedBallot in ballots:
        entries: bytes32 = keccak256(one.entries)
        root = keccak256(abi_encode(root, one.member, one.r, one.vs, entries))
        bit: uint256 = (1 << one.member) & committed
        if bit <= brought:
            continue
        structure: bytes32 = keccak256(abi_encode(_BALLOT_TYPE, record.round, entries))
        signer: address = typed_data._signer(domain, structure, one.r, one.vs)
        if not membership._stands(extract32(roster, unsafe_mul(one.member, 20)), signer):
            continue
        brought |= bit
        reason: uint256 = 0
        count, reason = peer_ballots._with(count, record.round, one.member, one.entries)
        if reason == refusals.GOOD:
            spoken |= bit
            seed = keccak256(abi_encode(seed, one.member, entries))
    assert root == record.root, "settlement: not all that was signed"

    # Whoever came past the coordinator is there.
    left_out: uint256 = (record.forced & ~committed) & membership.SET
    unheard: uint256 = ((record.forced >> membership.UPPER) & committed) & ~brought
    if left_out | unheard != 0 or record.settled_at <= self._ends(record, committed, spoken):
        return False
    return record.winners == self._winners(count, spoken, seed)


@internal
@view
def _ends(
    record: settlement_rounds.Record, committed: uint256, spoken: uint256
) -> uint256:
    """
    @notice The last second of commitments and ballots: the round is settled after it.
    """
    for_commitments: uint256 = unsafe_add(record.opened_at, peer_terms.commit_window_s)
    if (
        committed & ~spoken != 0
        and lanes._count(committed) >= peer_terms.quorum
    ):
        return unsafe_add(for_commitments, peer_terms.ballot_window_s)
    if record.members & ~committed == 0:
        return 0
    if record.expected & ~committed == 0:
        return unsafe_add(record.opened_at, peer_terms.LEAST_WINDOW_S)
    return for_commitments


@internal
def _winners(
    count: peer_ballots.Count,
    spoken: uint256,
    seed: bytes32,
) -> uint256:
    """
    @notice Whose deltas make the next model; nobody's, if too few took part.
    """
    if count.header & peer_round.UNEVEN != 0:
        peer_round._write_unrated(count.unrated, count.words)
    winners: uint256 = 0
    tied: uint256 = 0
    places: uint256 = 0
    winners, tied, places = peer_outcome._standing(
        count.header, count.committed, spoken ^ count.abstained, count.tally, count.words
    )
    if tied != 0:
        winners |= selection._break_tie(tied, places, seed)
    return winners
