# pragma version 0.4.3
"""
@title The round that is open
@license Apache-2.0
@notice Where a round stands: its phase, who has done what, and the points so far.
@dev A round is packed into few words, as a cold word costs more than the arithmetic on it.
     The phase is what the clock and the sets say; no transaction is needed to change it.
"""

import lanes
import membership
import peer_terms

uses: peer_terms

# As `bcfl.consensus.spec.domain.Phase`.
IDLE: constant(uint256) = 0
COMMIT: constant(uint256) = 1
SEAL: constant(uint256) = 2
BALLOT: constant(uint256) = 3
SELECT: constant(uint256) = 4
SELECTED: constant(uint256) = 5

# The word that every call reads, from its lowest bit:
#   128 committed (set), 40 round, 24 block of the last commitment, 40 opened_at, 8 size (m),
#   then the flags below. Of the block's number these are the lowest bits, see `_seed`.
header: uint256
ROUND_AT: constant(uint256) = 128
BLOCK_AT: constant(uint256) = 168
OPENED_AT: constant(uint256) = 192
_BLOCK: constant(uint256) = 2**24 - 1
SIZE_AT: constant(uint256) = 232
# A round is open and neither selected nor void yet.
OPEN: constant(uint256) = 2**240
# The winners stand and the new model is awaited.
DECIDED: constant(uint256) = 2**241
# The last round ended without winners.
VOID: constant(uint256) = 2**242
# All who were expected have committed: commitments end after the least window.
COMPLETE: constant(uint256) = 2**243
# All members have committed: nobody is left to wait for.
EVERYBODY: constant(uint256) = 2**246
# A ballot of this round leaves somebody unrated: `_unrated` is of this round.
UNEVEN: constant(uint256) = 2**247
# A reviewer of this round abstained: `_abstained` is of this round.
ABSTAINED: constant(uint256) = 2**248
# The tally is of this round and no longer of one before.
TALLIED: constant(uint256) = 2**244
# Somebody joined who is not in the roster.
STALE: constant(uint256) = 2**245

# Of a lane of the tally: raised once its member has voted, or abstained.
FLAG: constant(uint256) = 2**15

# Digest of the global model.
model: bytes32
# Points in lanes, and who has voted or abstained.
_tally: uint256[lanes.WORDS]
# In lanes: how many of the ballots that count leave each unrated.
_unrated: uint256[lanes.WORDS]
# Who missed too much to vote.
_abstained: uint256
# Lower half: who has sealed a ballot. Upper half: in which round.
_sealed: uint256


@internal
@view
def _in_phase(round: uint256, phase: uint256) -> uint256:
    """
    @notice The header, if it is of this round and in this phase, which is not one that depends
            on who has voted.
    """
    header: uint256 = self.header
    self._check_phase(header, round, 0, phase)
    return header


@internal
@view
def _check_phase(header: uint256, round: uint256, voted: uint256, phase: uint256):
    assert round == self._round(header), "consensus: not the current round"
    assert phase == self._phase(header, voted), "consensus: not in this phase"


@internal
@view
def _phase(header: uint256, voted: uint256) -> uint256:
    if header & OPEN == 0:
        return IDLE if header & DECIDED == 0 else SELECTED
    deadlines: uint256[3] = self._deadlines(header)
    if header & EVERYBODY == 0 and block.timestamp <= deadlines[0]:
        return COMMIT
    voters: uint256 = header & membership.SET
    if peer_terms.sealed_ballots:
        sealers: uint256 = self._sealers(header)
        if (
            sealers != voters
            and block.timestamp <= deadlines[1]
            and lanes._count(voters) >= peer_terms.quorum
        ):
            return SEAL
        voters = sealers
    if (
        voters & ~voted == 0
        or block.timestamp > deadlines[2]
        or lanes._count(voters) < peer_terms.quorum
    ):
        return SELECT
    return BALLOT


@internal
@view
def _check_idle(header: uint256):
    assert header & (OPEN | DECIDED) == 0, "consensus: not in phase IDLE"


@internal
@pure
def _round(header: uint256) -> uint256:
    return (header >> ROUND_AT) & (2**40 - 1)


@internal
@pure
def _opened_at(header: uint256) -> uint256:
    return (header >> OPENED_AT) & (2**40 - 1)


@internal
@pure
def _size(header: uint256) -> uint256:
    """
    @notice m, the number of active members when the round was opened.
    """
    return (header >> SIZE_AT) & 255


@internal
@view
def _deadlines(header: uint256) -> uint256[3]:
    """
    @notice The last seconds for commitments, seals and ballots.
    @dev Once all who were expected have committed, the least window is the one for
         commitments; whoever has not been asked may come within it all the same.
    """
    opened_at: uint256 = self._opened_at(header)
    for_commitments: uint256 = unsafe_add(opened_at, peer_terms.commit_window_s)
    for_seals: uint256 = for_commitments
    if peer_terms.sealed_ballots:
        for_seals = unsafe_add(for_seals, peer_terms.ballot_window_s)
    for_ballots: uint256 = unsafe_add(for_seals, peer_terms.ballot_window_s)
    if header & COMPLETE != 0:
        for_commitments = unsafe_add(opened_at, peer_terms.LEAST_WINDOW_S)
    return [for_commitments, for_seals, for_ballots]


@internal
@view
def _stamped(header: uint256) -> uint256:
    """
    @notice The header with this block as the one of the last commitment.
    """
    return (header & ~(_BLOCK << BLOCK_AT)) | ((block.number & _BLOCK) << BLOCK_AT)


@internal
@view
def _behind(header: uint256) -> uint256:
    """
    @notice How many blocks have begun since the one of the last commitment.
    """
    return unsafe_sub(block.number, header >> BLOCK_AT) & _BLOCK


@internal
@view
def _seed(header: uint256) -> bytes32:
    """
    @notice What nobody knew who committed in this round: the hash of the block that holds its
            last commitment; where 256 blocks or more have passed since, of the latest block
            that lies a multiple of 256 behind it.
    """
    behind: uint256 = self._behind(header)
    assert behind != 0, "consensus: wait for a block"
    return blockhash(unsafe_sub(block.number, unsafe_add(unsafe_sub(behind, 1) % 256, 1)))


@internal
@view
def _sealers(header: uint256) -> uint256:
    """
    @notice Who has sealed a ballot in this round.
    """
    word: uint256 = self._sealed
    if word >> membership.UPPER != self._round(header):
        return 0
    return word & membership.SET


@internal
def _write_sealers(round: uint256, sealers: uint256):
    self._sealed = (round << membership.UPPER) | sealers


@internal
@pure
def _words(members: uint256) -> uint256:
    """
    @notice How many words the lanes of these members fill.
    """
    rest: uint256 = members
    for word: uint256 in range(lanes.WORDS):
        if rest == 0:
            return word
        rest >>= 16
    return lanes.WORDS


@internal
@view
def _read_tally(header: uint256, words: uint256) -> uint256[lanes.WORDS]:
    """
    @notice This round's tally; what stands in storage before the first ballot is older.
    """
    tally: uint256[lanes.WORDS] = empty(uint256[lanes.WORDS])
    if header & TALLIED != 0:
        for word: uint256 in range(words, bound=lanes.WORDS):
            tally[word] = self._tally[word]
    return tally


@internal
def _write_tally(header: uint256, tally: uint256[lanes.WORDS], words: uint256):
    """
    @notice Keeps it, and the header, in which the flag `TALLIED` is due.
    """
    for word: uint256 in range(words, bound=lanes.WORDS):
        self._tally[word] = tally[word]
    self.header = header


@internal
@view
def _read_unrated(header: uint256, words: uint256) -> uint256[lanes.WORDS]:
    """
    @notice By member, how many of this round's ballots leave it unrated.
    """
    unrated: uint256[lanes.WORDS] = empty(uint256[lanes.WORDS])
    if header & UNEVEN != 0:
        for word: uint256 in range(words, bound=lanes.WORDS):
            unrated[word] = self._unrated[word]
    return unrated


@internal
def _write_unrated(unrated: uint256[lanes.WORDS], words: uint256):
    """
    @notice Keeps them. Due is also the flag `UNEVEN` of the header.
    """
    for word: uint256 in range(words, bound=lanes.WORDS):
        self._unrated[word] = unrated[word]


@internal
@view
def _abstainers(header: uint256) -> uint256:
    """
    @notice Who has abstained in this round.
    """
    if header & ABSTAINED == 0:
        return 0
    return self._abstained


@internal
@pure
def _voters(tally: uint256[lanes.WORDS], words: uint256) -> uint256:
    """
    @notice Bit field of those who have voted, or abstained.
    """
    voted: uint256 = 0
    for word: uint256 in range(words, bound=lanes.WORDS):
        voted |= lanes._gather(tally[word] & lanes.FLAGS) << (word << 4)
    return voted


@internal
@pure
def _points(tally: uint256[lanes.WORDS], words: uint256) -> DynArray[uint256, lanes.WORDS]:
    """
    @notice The lanes without the flags.
    """
    points: DynArray[uint256, lanes.WORDS] = []
    for word: uint256 in range(words, bound=lanes.WORDS):
        points.append(tally[word] & ~lanes.FLAGS)
    return points
