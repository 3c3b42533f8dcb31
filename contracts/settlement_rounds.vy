# pragma version 0.4.3
"""
@title Settled rounds
@license Apache-2.0
@notice A round in one transaction: the coordinator says what was signed, by its root, who won,
        and what the next model is, and the next round begins.
@dev A round is kept as the hash of what was said of it; whoever speaks of it later shows that.
     Of `peer_round.header` the set of the committed holds those whose commitment was brought
     here, past the coordinator; `TALLIED` says that ballots were.
     Of `membership.barred` the upper half says who was a member when the round was opened.
"""

import lanes
import membership
import peer_round
import peer_terms
import settlement_terms
import typed_data

uses: membership
uses: peer_round
uses: peer_terms
uses: settlement_terms
uses: typed_data


# What is known of a round. Sets of members are bit fields, times are seconds.
struct Record:
    round: uint256
    # Of all that was signed, see `settlement_court`.
    root: bytes32
    base: bytes32
    model: bytes32
    # Nobody: the round is void, and the model stays.
    winners: uint256
    # Who was a member when it was opened, and whom the coordinator waited for.
    members: uint256
    expected: uint256
    # Lower half: whose commitment came past the coordinator. Upper half: whose ballot did.
    forced: uint256
    opened_at: uint256
    settled_at: uint256


# A commitment that its author signed as `Commitment(uint64 round,bytes32 base,bytes32 digest,
# uint64 timestamp)`. `r` and `vs` are the signature, see `typed_data`.
struct SignedCommitment:
    member: uint256
    timestamp: uint256
    digest: bytes32
    r: uint256
    vs: uint256


# A ballot that its author signed as `Ballot(uint64 round,bytes entries)`. Entries: see `borda`.
struct SignedBallot:
    member: uint256
    r: uint256
    vs: uint256
    entries: Bytes[_MAX_BYTES]


# A commitment that came past the coordinator, with all that it needs to bring it as well.
event CommitmentShown:
    round: indexed(uint256)
    member: indexed(uint256)
    timestamp: uint256
    digest: bytes32
    r: uint256
    vs: uint256


# A ballot that did; what it says is looked at where all are counted.
event BallotShown:
    round: indexed(uint256)
    member: indexed(uint256)
    r: uint256
    vs: uint256
    entries: Bytes[_MAX_BYTES]


event Begun:
    round: indexed(uint256)
    base: bytes32
    members: uint256


event Settled:
    round: indexed(uint256)
    root: bytes32
    base: bytes32
    model: bytes32
    winners: uint256
    members: uint256
    expected: uint256
    forced: uint256
    opened_at: uint256


# What stands of a task. `open`: a round is. `time`: when the last one was opened, or settled.
struct Standing:
    round: uint256
    open: bool
    model: bytes32
    members: uint256
    forced: uint256
    time: uint256
    equivocators: uint256
    void_from: uint256
    deposited: bool
    challenges: uint256


_COMMITMENT_TYPE: constant(bytes32) = keccak256(
    "Commitment(uint64 round,bytes32 base,bytes32 digest,uint64 timestamp)"
)
_BALLOT_TYPE: constant(bytes32) = keccak256("Ballot(uint64 round,bytes entries)")
# As `borda.MAX_BYTES`.
_MAX_BYTES: constant(uint256) = lanes.CAPACITY * 5 + 34

# By round: the hash of its record; empty once nobody can challenge it any more.
records: public(HashMap[uint256, bytes32])
# Whose ballots of the open round came past the coordinator; of meaning while `TALLIED` is up.
_shown: uint256
# The first round that counts for nothing, as the coordinator was convicted of it; or 0.
void_from: uint256
# Whether the deposit is here still.
deposited: bool
# How many challenges wait for an answer.
challenges: uint256


@external
@payable
def open_round(base: bytes32):
    """
    @notice Begins the first round, or one after a pause, or the one that is open once more.
            Where the deposit was released it is sent along.
    @param base Digest of the global model, which must be the current one.
    """
    peer_terms._only_coordinator()
    header: uint256 = peer_round.header
    before: uint256 = self._paused(header)
    assert base == peer_round.model, "consensus: base is not the current model"
    assert self.void_from == 0, "settlement: the coordinator was convicted"
    if self.deposited:
        assert msg.value == 0, "settlement: deposited already"
    else:
        assert msg.value == settlement_terms.deposit, "settlement: not the deposit"
        self.deposited = True
    if header & peer_round.STALE != 0:
        membership._write_roster()
    self._begin(before, base)


@external
def pause():
    """
    @notice No round is open any more, so that members can come and go, or the deposit be
            released. Not once anybody came past the coordinator.
    """
    peer_terms._only_coordinator()
    header: uint256 = peer_round.header
    before: uint256 = self._paused(header)
    opened_at: uint256 = peer_round._opened_at(header)
    peer_round.header = (
        (before << peer_round.ROUND_AT)
        | (opened_at << peer_round.OPENED_AT)
        | (header & peer_round.STALE)
    )


@external
def settle(
    round: uint256,
    root: bytes32,
    winners: uint256,
    model: bytes32,
    forced: uint256,
    expected: uint256,
    opened_at: uint256,
    due: uint256,
):
    """
    @notice Ends the round that is open, and begins the next.
    @param root See `settlement_court`.
    @param winners Bit field. Nobody: too few took part, and the model stays.
    @param model Digest of what the winners' deltas made of the model.
    @param forced Who came past the coordinator, as it knows: in the lower half those with a
           commitment, in the upper half those with a ballot. If somebody else has, it has to
           count again.
    @param expected Whom the coordinator waited for. Once all these had committed, commitments
           ended with the least window; once all members had, at once.
    @param opened_at When the round began, as the coordinator knows. Where a reorganisation has
           moved it, what was signed may count no more.
    @param due From when on what was signed ends the round.
    """
    peer_terms._only_coordinator()
    header: uint256 = peer_round.header
    assert header & peer_round.OPEN != 0, "settlement: no round is open"
    assert round == peer_round._round(header), "consensus: not the current round"
    assert opened_at == peer_round._opened_at(header), "settlement: the round has begun anew"
    assert due <= block.timestamp, "settlement: the round is not over"
    assert forced == self._forced(header), "settlement: somebody came past the coordinator"
    base: bytes32 = peer_round.model
    assert winners != 0 or model == base, "settlement: a void round changes nothing"
    record: Record = Record(
        round=round,
        root=root,
        base=base,
        model=model,
        winners=winners,
        members=membership.barred >> membership.UPPER,
        expected=expected,
        forced=forced,
        opened_at=opened_at,
        settled_at=block.timestamp,
    )
    self.records[round] = keccak256(abi_encode(record))
    log Settled(
        round=round,
        root=root,
        base=base,
        model=model,
        winners=winners,
        members=record.members,
        expected=expected,
        forced=forced,
        opened_at=opened_at,
    )
    peer_round.model = model
    self._begin(round, model)


@external
def show_commitment(round: uint256, one: SignedCommitment):
    """
    @notice Brings a signed commitment past the coordinator, who then has to bring it as well.
    @param round The current round.
    """
    header: uint256 = self._open(round, 0)
    bit: uint256 = self._bit(one.member)
    assert header & bit == 0, "consensus: has committed already"
    opened_at: uint256 = peer_round._opened_at(header)
    assert opened_at <= one.timestamp, "consensus: signed before the round"
    assert one.timestamp <= block.timestamp, "consensus: signed in the future"
    structure: bytes32 = keccak256(
        abi_encode(_COMMITMENT_TYPE, round, peer_round.model, one.digest, one.timestamp)
    )
    self._check_signed(one.member, structure, one.r, one.vs)
    peer_round.header = header | bit
    log CommitmentShown(
        round=round,
        member=one.member,
        timestamp=one.timestamp,
        digest=one.digest,
        r=one.r,
        vs=one.vs,
    )


@external
def show_ballot(
    round: uint256, member: uint256, r: uint256, vs: uint256, entries: Bytes[_MAX_BYTES]
):
    """
    @notice Brings a signed ballot past the coordinator, who then has to bring it as well.
    @param round The current round.
    """
    header: uint256 = self._open(round, 2)
    bit: uint256 = self._bit(member)
    shown: uint256 = 0
    if header & peer_round.TALLIED != 0:
        shown = self._shown
    assert shown & bit == 0, "consensus: has voted already"
    structure: bytes32 = keccak256(abi_encode(_BALLOT_TYPE, round, keccak256(entries)))
    self._check_signed(member, structure, r, vs)
    self._shown = shown | bit
    peer_round.header = header | peer_round.TALLIED
    log BallotShown(round=round, member=member, r=r, vs=vs, entries=entries)


@external
@view
def standing() -> Standing:
    """
    @notice Everything about the task as it stands.
    """
    header: uint256 = peer_round.header
    return Standing(
        round=peer_round._round(header),
        open=header & peer_round.OPEN != 0,
        model=peer_round.model,
        members=membership.barred >> membership.UPPER,
        forced=self._forced(header),
        time=peer_round._opened_at(header),
        equivocators=membership.barred & membership.SET,
        void_from=self.void_from,
        deposited=self.deposited,
        challenges=self.challenges,
    )


@internal
@view
def _open(round: uint256, window: uint256) -> uint256:
    """
    @notice The header, if this round is open, and so is its window: 0 for commitments, 2 for
            ballots.
    """
    header: uint256 = peer_round.header
    assert header & peer_round.OPEN != 0, "settlement: no round is open"
    assert round == peer_round._round(header), "consensus: not the current round"
    assert (
        block.timestamp <= peer_round._deadlines(header)[window]
    ), "consensus: not in this phase"
    return header


@internal
@view
def _bit(member: uint256) -> uint256:
    bit: uint256 = (1 << member) & membership.SET
    assert membership.roll & bit != 0, "consensus: not an active member"
    return bit


@internal
@view
def _check_signed(member: uint256, structure: bytes32, r: uint256, vs: uint256):
    signer: address = typed_data._signer(typed_data._domain(), structure, r, vs)
    assert signer == membership._account(member), "consensus: signed by someone else"


@internal
@view
def _paused(header: uint256) -> uint256:
    """
    @notice The round before the one that is open; reverts if that cannot be begun anew.
    """
    round: uint256 = peer_round._round(header)
    if header & peer_round.OPEN == 0:
        return round
    assert self._forced(header) == 0, "settlement: somebody came past the coordinator"
    return unsafe_sub(round, 1)


@internal
def _begin(before: uint256, base: bytes32):
    active: uint256 = membership.roll & membership.SET
    round: uint256 = unsafe_add(before, 1)
    peer_round.header = (
        (round << peer_round.ROUND_AT)
        | (block.timestamp << peer_round.OPENED_AT)
        | peer_round.OPEN
    )
    barred: uint256 = membership.barred
    if barred >> membership.UPPER != active:
        membership.barred = (barred & membership.SET) | (active << membership.UPPER)
    log Begun(round=round, base=base, members=active)


@internal
@view
def _forced(header: uint256) -> uint256:
    """
    @notice Who came past the coordinator in the round that is open.
    """
    forced: uint256 = header & membership.SET
    if header & peer_round.TALLIED != 0:
        forced |= self._shown << membership.UPPER
    return forced


@internal
@view
def _check_record(record: Record):
    """
    @notice Reverts unless this is what the coordinator has said of a round, which counts.
    """
    kept: bytes32 = self.records[record.round]
    assert (
        kept != empty(bytes32) and keccak256(abi_encode(record)) == kept
    ), "settlement: not what was said of the round"
    assert (
        self.void_from == 0 or record.round < self.void_from
    ), "settlement: the round is void"


@internal
def _void(round: uint256):
    """
    @notice This round and all after it count for nothing, and there are no more.
    """
    self.void_from = round
    header: uint256 = peer_round.header
    peer_round.header = header & ~peer_round.OPEN
