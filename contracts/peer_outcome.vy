# pragma version 0.4.3
"""
@title Rounds from beginning to end
@license Apache-2.0
@notice S1, S4 and S5: a round is opened on a model, decided by its ballots, closed with the
        next model.
"""

import lanes
import membership
import peer_round
import peer_terms
import selection

uses: membership
uses: peer_round
uses: peer_terms


event Opened:
    round: indexed(uint256)
    base: bytes32
    expected: uint256
    commit_deadline: uint256
    seal_deadline: uint256
    ballot_deadline: uint256


# Scores are lanes: the doubled points of member i are the 16 bits from bit 16 * (i % 16) of
# scores[i // 16]. The seed is the hash of a block, see `peer_round`; it decides between equals.
event Selected:
    round: indexed(uint256)
    winners: uint256
    scores: DynArray[uint256, lanes.WORDS]
    seed: bytes32


event Voided:
    round: indexed(uint256)
    committed: uint256
    voted: uint256
    abstained: uint256


event Closed:
    round: indexed(uint256)
    model: bytes32


# `bcfl.consensus.spec.domain.RoundState`. Sets are bit fields, times are seconds. Who abstained
# has not voted.
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


@external
def open_round(base: bytes32, expected: uint256):
    """
    @notice Opens a round: the coordinator announces the model and whom it waits for.
    @param base Digest of the global model, which must be the current one.
    @param expected Bit field of active members. Once all these came, commitments end with the
           least window; once all active members did, at once.
    """
    self._open(self._idle(base), base, expected)


@external
def select():
    """
    @notice Lets the contract choose the winners, or void the round if too few took part: where
            the last ballot has not done it. The caller decides nothing.
    @dev The ballots of equivocators stay counted: what they say is about others, and the outcome
         must not depend on when the proof came. A delta wins only if more than half of the
         ballots of others rate it.
    """
    header: uint256 = peer_round.header
    words: uint256 = peer_round._words(header & membership.SET)
    tally: uint256[lanes.WORDS] = peer_round._read_tally(header, words)
    done: uint256 = peer_round._voters(tally, words)
    peer_round._check_phase(header, peer_round._round(header), done, peer_round.SELECT)
    self._decide(header, tally, words, done, False)


@external
def close_round(round: uint256, model: bytes32, expected: uint256):
    """
    @notice Ends a round: the coordinator says what model the winners' deltas made; and opens the
            next, so that both are one transaction.
    @param round The current round.
    @param model Its digest. Whoever holds the blobs can compute it as well.
    @param expected Whom the next round waits for, see `open_round`. Nobody: none is opened.
    """
    header: uint256 = self._close(round, model)
    if expected != 0:
        self._open(header, model, expected)


@external
@view
def state() -> State:
    """
    @notice Everything about the current round, or the last one.
    """
    header: uint256 = peer_round.header
    committed: uint256 = header & membership.SET
    words: uint256 = peer_round._words(committed)
    done: uint256 = peer_round._voters(peer_round._read_tally(header, words), words)
    abstained: uint256 = peer_round._abstainers(header)
    deadlines: uint256[3] = empty(uint256[3])
    if peer_round._round(header) != 0:
        deadlines = peer_round._deadlines(header)
    winners: uint256 = 0
    if header & (peer_round.OPEN | peer_round.VOID) == 0:
        winners = membership.barred >> membership.UPPER
    return State(
        round=peer_round._round(header),
        phase=peer_round._phase(header, done),
        model=peer_round.model,
        expected=membership.roll >> membership.UPPER,
        committed=committed,
        sealed=peer_round._sealers(header),
        voted=done ^ abstained,
        winners=winners,
        equivocators=membership.barred & membership.SET,
        opened_at=peer_round._opened_at(header),
        commit_deadline=deadlines[0],
        seal_deadline=deadlines[1],
        ballot_deadline=deadlines[2],
        abstained=abstained,
    )


@external
@view
def scores() -> DynArray[uint256, lanes.WORDS]:
    """
    @notice The points of the current round so far, or of the last one, in lanes.
    """
    header: uint256 = peer_round.header
    words: uint256 = peer_round._words(header & membership.SET)
    return peer_round._points(peer_round._read_tally(header, words), words)


@internal
@view
def _idle(base: bytes32) -> uint256:
    """
    @notice The header, if the coordinator may open a round on this model.
    """
    peer_terms._only_coordinator()
    header: uint256 = peer_round.header
    peer_round._check_idle(header)
    assert base == peer_round.model, "consensus: base is not the current model"
    return header


@internal
def _close(round: uint256, model: bytes32) -> uint256:
    """
    @notice Ends a round with the next model; gives the header.
    """
    peer_terms._only_coordinator()
    header: uint256 = peer_round._in_phase(round, peer_round.SELECTED) ^ peer_round.DECIDED
    peer_round.header = header
    peer_round.model = model
    log Closed(round=round, model=model)
    return header


@internal
def _open(header: uint256, base: bytes32, expected: uint256):
    """
    @notice Opens the round after that of `header`, which is idle.
    """
    opened: uint256 = self._begin(header, expected)
    deadlines: uint256[3] = peer_round._deadlines(opened)
    log Opened(
        round=peer_round._round(opened),
        base=base,
        expected=expected,
        commit_deadline=deadlines[0],
        seal_deadline=deadlines[1],
        ballot_deadline=deadlines[2],
    )


@internal
def _begin(header: uint256, expected: uint256) -> uint256:
    """
    @notice Begins a round without a word; gives its header.
    """
    active: uint256 = membership.roll & membership.SET
    assert expected != 0, "consensus: nobody is expected"
    assert expected & ~active == 0, "consensus: expected someone who is not a member"
    if header & peer_round.STALE != 0:
        membership._write_roster()
    opened: uint256 = (
        (unsafe_add(peer_round._round(header), 1) << peer_round.ROUND_AT)
        | (block.timestamp << peer_round.OPENED_AT)
        | (lanes._count(active) << peer_round.SIZE_AT)
        | peer_round.OPEN
    )
    peer_round.header = opened
    membership.roll = active | (expected << membership.UPPER)
    return opened


@internal
def _decide(
    header: uint256,
    tally: uint256[lanes.WORDS],
    words: uint256,
    done: uint256,
    if_cheap: bool,
):
    """
    @notice Ends the ballots of a round: its winners stand, or it is void.
    @param done Who has voted or abstained.
    @param if_cheap Whether to leave lots to `select` for which the gas might not suffice.
    """
    round: uint256 = peer_round._round(header)
    committed: uint256 = header & membership.SET
    barred: uint256 = membership.barred & membership.SET
    abstained: uint256 = peer_round._abstainers(header)
    voted: uint256 = done ^ abstained
    winners: uint256 = 0
    tied: uint256 = 0
    places: uint256 = 0
    winners, tied, places = self._standing(header, committed & ~barred, voted, tally, words)
    if winners | tied == 0:
        peer_round.header = (header ^ peer_round.OPEN) | peer_round.VOID
        log Voided(round=round, committed=committed, voted=voted, abstained=abstained)
        return
    if if_cheap and msg.gas < 40_000 + 200 * lanes._count(tied) ** 2:
        return
    seed: bytes32 = peer_round._seed(header)
    if tied != 0:
        winners |= selection._break_tie(tied, places, seed)
    peer_round.header = header ^ (peer_round.OPEN | peer_round.DECIDED)
    membership.barred = barred | (winners << membership.UPPER)
    log Selected(
        round=round, winners=winners, scores=peer_round._points(tally, words), seed=seed
    )


@internal
@view
def _standing(
    header: uint256,
    candidates: uint256,
    voted: uint256,
    tally: uint256[lanes.WORDS],
    words: uint256,
) -> (uint256, uint256, uint256):
    """
    @notice Who wins for sure, who is tied for the rest of the places, and how many these are.
            Nobody, if too few took part: a round needs a quorum of candidates, and ballots of a
            quorum and of more than half of the committed.
    """
    votes: uint256 = lanes._count(voted)
    committed: uint256 = lanes._count(header & membership.SET)
    count: uint256 = lanes._count(candidates)
    quorum: uint256 = peer_terms.quorum
    if count < quorum or votes < quorum or unsafe_mul(votes, 2) <= committed:
        return 0, 0, 0
    seen: uint256 = candidates & self._seen(header, voted, votes, words)
    places: uint256 = selection._winner_count(peer_terms.kappa_ppm, count)
    if lanes._count(seen) <= places:
        return seen, 0, 0
    size: uint256 = peer_round._size(header)
    sure: uint256 = 0
    tied: uint256 = 0
    # A ballot gives at most 2 m - 2 points to one, and there are fewer than m ballots of others.
    sure, tied = selection._best(
        seen, tally, words, places, unsafe_mul(unsafe_mul(size, size), 2)
    )
    return sure, tied, unsafe_sub(places, lanes._count(sure))


@internal
@view
def _seen(header: uint256, voted: uint256, votes: uint256, words: uint256) -> uint256:
    """
    @notice Bit field of those whom more than half of the ballots of others rate; others than
            members may be in it as well.
    """
    unrated: uint256[lanes.WORDS] = peer_round._read_unrated(header, words)
    seen: uint256 = 0
    for word: uint256 in range(words, bound=lanes.WORDS):
        # The flag stays up if the others' ballots are more than twice those without a rating.
        own: uint256 = lanes._spread(voted >> (word << 4)) >> 15
        others: uint256 = unsafe_sub(unsafe_mul(votes, lanes.ONES), own)
        least: uint256 = unsafe_add(unsafe_mul(unrated[word], 2), lanes.ONES)
        flags: uint256 = unsafe_sub(others | lanes.FLAGS, least) & lanes.FLAGS
        seen |= lanes._gather(flags) << (word << 4)
    return seen
