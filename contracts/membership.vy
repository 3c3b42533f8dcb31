# pragma version 0.4.3
"""
@title Membership
@license Apache-2.0
@notice Who is a member, by whose leave, and at what stake.
@dev Members are counted from 0 to at most 127. Whoever comes back gets the old index, unless
     all 128 seats were given and somebody else has come to that one; whoever was barred does
     not come back. So the events, in their order, say whose an index was, and when.
     Sets of members are bit fields of 128 bits. `roll` and `barred` use the lower half of
     their word; the upper half belongs to the importer, which has more sets to keep and
     pays for words, not for bits.

     When members may come and go, and who may say so, is the importer's to decide.
"""

import lanes

event MemberJoined:
    member: indexed(uint256)
    account: address

event MemberLeft:
    member: indexed(uint256)
    account: address

# A set, and where the upper half of a word begins.
SET: constant(uint256) = 2**lanes.CAPACITY - 1
UPPER: constant(uint256) = lanes.CAPACITY

# A contract that answers every call with what stands behind these 11 bytes in its code:
#   PUSH1 11, CODESIZE, SUB, DUP1, PUSH1 11, PUSH0, CODECOPY, PUSH0, RETURN
# As init code it deploys what stands behind, so that the roster's begins with it twice.
_ECHO: constant(Bytes[11]) = x"600b380380600b5f395ff3"
# After the addresses, so that the last one can be read with a whole word.
_TAIL: constant(Bytes[12]) = x"000000000000000000000000"
MAX_ROSTER: constant(uint256) = 20 * lanes.CAPACITY + 12

# Who has each seat, or had it last; those from 0 to `_count` - 1 are meant.
_accounts: address[lanes.CAPACITY]
_count: uint256
# One more than the index; 0 for strangers.
_seats: HashMap[address, uint256]
# Of `_seats`: an equivocator whose seat is another's now.
_BANNED: constant(uint256) = max_value(uint256)
# Lower half: who is a member now. Upper half: the importer's (who is expected).
roll: uint256
# Lower half: who was proven a cheat. Upper half: the importer's (who has won).
barred: uint256
# All accounts as the code of a contract: one cold read for all instead of one for each.
_roster: address


@internal
def _join(account: address) -> uint256:
    """
    @notice Makes `account` a member. Gives the index.
    """
    assert account != empty(address), "membership: the zero address cannot sign"
    seat: uint256 = self._seats[account]
    assert seat != _BANNED, "membership: an equivocator does not come back"
    if seat == 0:
        seat = unsafe_add(self._empty_seat(), 1)
        self._accounts[unsafe_sub(seat, 1)] = account
        self._seats[account] = seat
    member: uint256 = unsafe_sub(seat, 1)
    bit: uint256 = 1 << member
    assert self.roll & bit == 0, "membership: a member already"
    assert self.barred & bit == 0, "membership: an equivocator does not come back"
    self.roll |= bit
    log MemberJoined(member=member, account=account)
    return member


@internal
def _empty_seat() -> uint256:
    """
    @notice A seat for somebody new: one that nobody had yet, else the first whose member left.
    """
    if self._count < lanes.CAPACITY:
        self._count = unsafe_add(self._count, 1)
        return unsafe_sub(self._count, 1)
    left: uint256 = ~self.roll & SET
    assert left != 0, "membership: there are 128 seats"
    # The lowest bit, alone; one less has as many bits as its index says.
    bit: uint256 = left & unsafe_add(~left, 1)
    member: uint256 = lanes._count(unsafe_sub(bit, 1))
    self._seats[self._accounts[member]] = _BANNED if self.barred & bit != 0 else 0
    self.barred &= ~bit
    return member


@internal
def _leave(member: uint256) -> address:
    """
    @notice Ends a membership. Gives the account whose it was.
    """
    bit: uint256 = (1 << member) & SET
    assert self.roll & bit != 0, "membership: not a member"
    self.roll ^= bit
    account: address = self._accounts[member]
    log MemberLeft(member=member, account=account)
    return account


@internal
@view
def _seat(account: address) -> uint256:
    """
    @notice The index of an account that is or was a member, and has its seat still.
    """
    seat: uint256 = self._seats[account]
    assert seat != 0 and seat != _BANNED, "membership: not a member"
    return unsafe_sub(seat, 1)


@internal
@view
def _account(member: uint256) -> address:
    """
    @notice The account that is member `member`, or was it last.
    """
    assert member < self._count, "membership: not a member"
    return self._accounts[member]


@internal
def _write_roster():
    """
    @notice Deploys all accounts as code, for `_read_roster`. Due after anybody joined.
    """
    code: Bytes[22 + MAX_ROSTER] = concat(_ECHO, _ECHO)
    for member: uint256 in range(self._count, bound=lanes.CAPACITY):
        account: bytes20 = convert(self._accounts[member], bytes20)
        code = convert(concat(code, account), Bytes[22 + MAX_ROSTER])
    self._roster = raw_create(concat(code, _TAIL))


@internal
@view
def _read_roster() -> Bytes[MAX_ROSTER]:
    """
    @notice All accounts, 20 bytes each by index, and 12 bytes of nothing.
    """
    return raw_call(self._roster, b"", max_outsize=MAX_ROSTER, is_static_call=True)


@internal
@pure
def _stands(word: bytes32, account: address) -> bool:
    """
    @notice Whether this account is at the beginning of a word of the roster. That of a member
            begins at 20 times its index.
    """
    return convert(account, uint256) == convert(word, uint256) >> 96


@internal
@view
def _everybody() -> DynArray[address, lanes.CAPACITY]:
    accounts: DynArray[address, lanes.CAPACITY] = []
    for member: uint256 in range(self._count, bound=lanes.CAPACITY):
        accounts.append(self._accounts[member])
    return accounts


@external
@view
def members() -> DynArray[address, lanes.CAPACITY]:
    """
    @notice Who has each index, or had it last. `active` says who is a member now.
    """
    return self._everybody()


@external
@view
def active() -> uint256:
    """
    @notice Bit field of the members of now.
    """
    return self.roll & SET


@external
@view
def member_of(account: address) -> uint256:
    """
    @notice The index of an account that is or was a member; reverts for a stranger, and for
            one whose seat another has taken.
    """
    return self._seat(account)
