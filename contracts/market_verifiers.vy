# pragma version 0.4.3
"""
@title Model marketplace: verifiers
@license Apache-2.0
@notice Who lends hardware: registration at a bond, leaving, and being drawn.
@dev The pool is an endless row of places, of which [first, next) are in use. A place is never
     used twice: who registers gets the next one, who leaves leaves a hole. Holes are removed by
     moving the verifier in the first place to the end, which gives it a second place and keeps
     the first one readable. Therefore, once a draw is armed, with the row as it is and with a
     block that does not exist yet, nothing that anybody does can change it: who registers later
     stands behind it, who moves is found in the old place, and who leaves only takes itself
     out. If registering or leaving could re-order the pool, whoever saw the random number
     first could try such calls until the panel pleases.
"""

import market_accounts
import market_panel

uses: market_accounts


event Registered:
    verifier: indexed(address)
    number: uint256
    public_key: Bytes[64]


event Left:
    verifier: indexed(address)


event StruckOff:
    verifier: indexed(address)
    submission: indexed(bytes32)
    forfeited: uint256


event Drawn:
    submission: indexed(bytes32)
    seed: bytes32
    verifiers: DynArray[address, market_panel.SEATS]  # for the vacant seats, lowest first


# What a verifier deposits when it registers, in wei. It is forfeited by vanishing, and is the
# price of being in the draw many times under many names.
BOND: public(immutable(uint256))

# Holes taken out at a registration or a departure. Two for each one that can appear keeps
# at least half of the row in use, so that a draw soon finds its panel.
_TIDIED: constant(uint256) = 2

first: public(uint256)
next: public(uint256)
# How many verifiers are registered now.
registered: public(uint256)
# Who got, or gets, a place; empty where the one who had it has left.
pool: public(HashMap[uint256, address])

_numbered: uint256
_verifiers: HashMap[uint256, address]  # by number


@deploy
def __init__(bond: uint256):
    assert bond <= (2**96 - 1), "model marketplace: bond out of range"
    BOND = bond
    # 0 is no place, so that an account can say that it has none
    self.first = 1
    self.next = 1


@external
@payable
def register(public_key: Bytes[64]):
    """
    @notice Become a verifier, for every draw that is armed from now on. Anyone, with the bond.
    @param public_key The sender's own secp256k1 key, x then y, to which contributors encrypt.
           Being the key of an Ethereum address, it is a point on the curve, so nobody can be
           blamed for failing to encrypt to it.
    """
    assert len(public_key) == 64, "model marketplace: a public key is 64 bytes"
    owner: address = convert(
        convert(keccak256(public_key), uint256) & (2**160 - 1), address
    )
    assert owner == msg.sender, "model marketplace: not the sender's public key"
    assert msg.value == BOND, "model marketplace: the bond, and no other sum"
    account: market_accounts.Account = market_accounts._account(msg.sender)
    assert account.position == 0, "model marketplace: already registered"
    if account.number == 0:
        self._numbered += 1
        assert self._numbered <= (2**24 - 1), "model marketplace: no numbers left"
        account.number = self._numbered
        self._verifiers[account.number] = msg.sender
    self._append(msg.sender, account)
    self.registered += 1
    self._tidy()
    log Registered(verifier=msg.sender, number=account.number, public_key=public_key)


@external
def leave():
    """
    @notice Stop being a verifier, and get the bond back. A verifier on whom no panel waits.
    """
    account: market_accounts.Account = market_accounts._account(msg.sender)
    assert account.position != 0, "model marketplace: not registered"
    assert account.busy == 0, "model marketplace: a panel waits for you"
    self._remove(account)
    account.position = 0
    account.credit += BOND
    market_accounts._keep(msg.sender, account)
    self._tidy()
    log Left(verifier=msg.sender)


@internal
def _fill(
    submission: bytes32,
    seated: uint256,
    seats: uint256,
    seed: bytes32,
    first: uint256,
    length: uint256,
    barred: address[2],
) -> uint256:
    """
    @notice Draws verifiers, all equally likely, for the vacant seats of a panel.
    @param seated The panel as it is.
    @param seats How many seats it has.
    @param seed The random number.
    @param first Where the row began when the draw was armed.
    @param length How long it was.
    @param barred Who is not drawn in any case.
    @return The panel, with vacant seats left if there are too few verifiers.
    """
    panel: uint256 = seated
    drawn: DynArray[address, market_panel.SEATS] = []
    jumps: DynArray[uint256, market_panel.PICKS] = []
    for step: uint256 in range(market_panel.PICKS):
        seat: uint256 = market_panel._seat_of(panel, 0)
        if seat >= seats or step == length:
            break
        jumps.append(market_panel._jump(seed, step, length))
        verifier: address = self.pool[first + market_panel._origin(jumps, step)]
        if verifier == empty(address) or verifier in barred:
            continue
        account: market_accounts.Account = market_accounts._account(verifier)
        if account.position == 0:
            continue
        # who is in the row is there once: only who sat before can be met again
        if seated != 0 and market_panel._seat_of(seated, account.number) != market_panel.SEATS:
            continue
        account.busy += 1
        market_accounts._keep(verifier, account)
        panel = market_panel._seated(panel, seat, account.number)
        drawn.append(verifier)
    log Drawn(submission=submission, seed=seed, verifiers=drawn)
    return panel


@internal
def _excuse(number: uint256):
    """
    @notice A panel no longer waits for this verifier, for reasons that are not its own.
    """
    verifier: address = self._verifiers[number]
    account: market_accounts.Account = market_accounts._account(verifier)
    account.busy -= 1
    market_accounts._keep(verifier, account)


@internal
def _strike(number: uint256, submission: bytes32) -> uint256:
    """
    @notice This verifier has vanished: it loses its place, so that no other panel waits for it
            in vain, and its bond. It may register again.
    @return What it forfeits, in wei; 0 if it had been struck off before.
    """
    verifier: address = self._verifiers[number]
    account: market_accounts.Account = market_accounts._account(verifier)
    account.busy -= 1
    if account.position == 0:
        market_accounts._keep(verifier, account)
        return 0
    self._remove(account)
    account.position = 0
    market_accounts._keep(verifier, account)
    self._tidy()
    log StruckOff(verifier=verifier, submission=submission, forfeited=BOND)
    return BOND


@internal
@view
def _address_of(number: uint256) -> address:
    return self._verifiers[number]


@internal
def _append(verifier: address, account: market_accounts.Account):
    placed: market_accounts.Account = account
    placed.position = self.next
    market_accounts._keep(verifier, placed)
    self.pool[placed.position] = verifier
    self.next = placed.position + 1


@internal
def _remove(account: market_accounts.Account):
    # the place is emptied, lest one who comes back be found in two places of one row
    self.pool[account.position] = empty(address)
    self.registered -= 1


@internal
def _tidy():
    for _: uint256 in range(_TIDIED):
        place: uint256 = self.first
        if self.next - place == self.registered:
            return
        verifier: address = self.pool[place]
        if verifier != empty(address):
            self._append(verifier, market_accounts._account(verifier))
        self.first = place + 1
