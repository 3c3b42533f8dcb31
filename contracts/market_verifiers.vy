# pragma version 0.4.3
"""
@title Model marketplace: verifiers
@license Apache-2.0
@notice Who lends hardware: registration, entering a task's pool at a bond, leaving it, and
        being drawn. Nobody is drawn for a task whose terms it has not seen.
@dev A pool is an endless row of places, of which [first, next) are in use. A place is never
     used twice: who enters gets the next one, who goes leaves a hole. Holes are removed by
     moving the verifier in the first place to the end, which gives it a second place and keeps
     the first one readable. Nobody leaves while a submission of the task waits for its panel:
     else whoever has friends in a small pool could have them leave it too small for a panel
     that does not please. Therefore, once a draw is armed, with the row as it is and with a
     block that does not exist yet, nothing that anybody does can change it: who enters later
     stands behind it, who moves is found in the old place, and who is struck off over another
     submission only takes itself out. As anyone may draw, whoever wants to leave can.
"""

import market_accounts
import market_panel
import market_tasks
import market_terms

uses: market_accounts
uses: market_tasks
uses: market_terms


struct Place:
    number: uint256  # the verifier's; 0: it was never in this pool; 24 bits
    busy: uint256  # panels of this task that wait for it; 24 bits
    position: uint256  # where it stands in the row; 0: nowhere; 40 bits


struct Row:
    first: uint256
    next: uint256
    entered: uint256  # how many verifiers are in the pool now


event Registered:
    verifier: indexed(address)
    number: uint256
    public_key: Bytes[64]


event Entered:
    task: indexed(uint256)
    verifier: indexed(address)
    bond: uint256


event Left:
    task: indexed(uint256)
    verifier: indexed(address)


event StruckOff:
    verifier: indexed(address)
    submission: indexed(bytes32)
    forfeited: uint256


event Drawn:
    submission: indexed(bytes32)
    seed: bytes32
    seats: uint256  # how many were filled


event Seated:
    submission: indexed(bytes32)
    verifier: indexed(address)
    task: indexed(uint256)
    seat: uint256


# Holes taken out when one enters or goes. Two for each one that can appear keeps at least
# half of the row in use, so that a draw soon finds its panel.
_TIDIED: constant(uint256) = 2

# By task and place: who got, or gets it; empty where the one who had it has gone.
pool: public(HashMap[uint256, HashMap[uint256, address]])

_numbered: uint256
_verifiers: HashMap[uint256, address]  # by number
_rows: HashMap[uint256, uint256]  # by task
_places: HashMap[uint256, HashMap[address, uint256]]  # by task


@external
def register(public_key: Bytes[64]):
    """
    @notice Become a verifier, who may enter pools. Anyone, once and for good.
    @param public_key The sender's own secp256k1 key, x then y, to which contributors encrypt.
           Being the key of an Ethereum address, it is a point on the curve, so nobody can be
           blamed for failing to encrypt to it.
    """
    assert len(public_key) == 64, "model marketplace: a public key is 64 bytes"
    owner: address = convert(
        convert(keccak256(public_key), uint256) & (2**160 - 1), address
    )
    assert owner == msg.sender, "model marketplace: not the sender's public key"
    account: market_accounts.Account = market_accounts._account(msg.sender)
    assert account.number == 0, "model marketplace: already registered"
    self._numbered += 1
    assert self._numbered <= (2**24 - 1), "model marketplace: no numbers left"
    account.number = self._numbered
    self._verifiers[account.number] = msg.sender
    market_accounts._keep(msg.sender, account)
    log Registered(verifier=msg.sender, number=account.number, public_key=public_key)


@external
@payable
def enter(task: uint256):
    """
    @notice Come into a task's pool, for every draw that is armed from now on. A verifier other
            than the initiator, with the task's bond.
    @param task Its number.
    """
    initiator: address = market_tasks._initiator_of(task)
    assert initiator != empty(address), "model marketplace: no such task"
    assert msg.sender != initiator, "model marketplace: the initiator does not verify"
    number: uint256 = market_accounts._account(msg.sender).number
    assert number != 0, "model marketplace: not registered"
    place: Place = self._place(task, msg.sender)
    assert place.position == 0, "model marketplace: already in the pool"
    bond: uint256 = market_terms._bond_of(task)
    assert msg.value == bond, "model marketplace: the bond, and no other sum"
    place.number = number
    row: Row = self._row(task)
    row.entered += 1
    row = self._appended(task, row, msg.sender, place)
    self._keep_row(task, self._tidied(task, row))
    log Entered(task=task, verifier=msg.sender, bond=bond)


@external
def leave(task: uint256):
    """
    @notice Go out of a task's pool, and get the bond back. A verifier on whom no panel waits,
            while no submission waits for its panel.
    @param task Its number.
    """
    place: Place = self._place(task, msg.sender)
    assert place.position != 0, "model marketplace: not in the pool"
    assert place.busy == 0, "model marketplace: a panel waits for you"
    assert market_tasks._pot(task).drawing == 0, "model marketplace: a draw is due"
    self._remove(task, msg.sender, place)
    market_accounts._credit(msg.sender, market_terms._bond_of(task))
    log Left(task=task, verifier=msg.sender)


@external
@view
def bond(task: uint256) -> uint256:
    """
    @notice What a verifier deposits to enter this task's pool, in wei. It is forfeited by
            vanishing, and is the price of being in the draw many times under many names.
    @param task Its number.
    """
    return market_terms._bond_of(task)


@external
@view
def row(task: uint256) -> Row:
    """
    @notice Which places of a task's pool are in use, and by how many.
    @param task Its number.
    """
    return self._row(task)


@external
@view
def place(task: uint256, verifier: address) -> Place:
    """
    @notice Where a verifier stands in a task's pool; zeros if it was never there.
    @param task The task's number.
    @param verifier Its address.
    """
    return self._place(task, verifier)


@internal
def _fill(
    task: uint256,
    submission: bytes32,
    seated: uint256,
    seats: uint256,
    seed: bytes32,
    first: uint256,
    length: uint256,
    contributor: address,
) -> uint256:
    """
    @notice Draws verifiers, all equally likely, for the vacant seats of a panel.
    @param seated The panel as it is.
    @param seats How many seats it has.
    @param seed The random number.
    @param first Where the row began when the draw was armed.
    @param length How long it was.
    @param contributor Who is not drawn in any case.
    @return The panel, with vacant seats left if there are too few verifiers.
    """
    panel: uint256 = seated
    filled: uint256 = 0
    jumps: DynArray[uint256, market_panel.PICKS] = []
    for step: uint256 in range(market_panel.PICKS):
        seat: uint256 = market_panel._seat_of(panel, 0)
        if seat >= seats or step == length:
            break
        jumps.append(market_panel._jump(seed, step, length))
        verifier: address = self.pool[task][first + market_panel._origin(jumps, step)]
        if verifier == empty(address) or verifier == contributor:
            continue
        place: Place = self._place(task, verifier)
        if place.position == 0:
            continue
        # who is in the row is there once: only who sat before can be met again
        if seated != 0 and market_panel._seat_of(seated, place.number) != market_panel.SEATS:
            continue
        place.busy += 1
        self._keep_place(task, verifier, place)
        panel = market_panel._seated(panel, seat, place.number)
        filled += 1
        log Seated(submission=submission, verifier=verifier, task=task, seat=seat)
    log Drawn(submission=submission, seed=seed, seats=filled)
    return panel


@internal
def _excuse(task: uint256, verifier: address):
    """
    @notice A panel no longer waits for this verifier: it has reported, or nobody need.
    """
    place: Place = self._place(task, verifier)
    place.busy -= 1
    self._keep_place(task, verifier, place)


@internal
def _strike(task: uint256, number: uint256, submission: bytes32) -> uint256:
    """
    @notice This verifier has vanished: it loses its place, so that no other panel waits for it
            in vain, and its bond. It may enter again.
    @return What it forfeits, in wei; 0 if it had been struck off before.
    """
    verifier: address = self._verifiers[number]
    place: Place = self._place(task, verifier)
    place.busy -= 1
    if place.position == 0:
        self._keep_place(task, verifier, place)
        return 0
    self._remove(task, verifier, place)
    bond: uint256 = market_terms._bond_of(task)
    log StruckOff(verifier=verifier, submission=submission, forfeited=bond)
    return bond


@internal
@view
def _address_of(number: uint256) -> address:
    return self._verifiers[number]


@internal
def _appended(task: uint256, row: Row, verifier: address, place: Place) -> Row:
    longer: Row = row
    placed: Place = place
    placed.position = row.next
    self._keep_place(task, verifier, placed)
    self.pool[task][row.next] = verifier
    longer.next += 1
    return longer


@internal
def _remove(task: uint256, verifier: address, place: Place):
    # the place is emptied, lest one who comes back be found in two places of one row
    self.pool[task][place.position] = empty(address)
    gone: Place = place
    gone.position = 0
    self._keep_place(task, verifier, gone)
    row: Row = self._row(task)
    row.entered -= 1
    self._keep_row(task, self._tidied(task, row))


@internal
def _tidied(task: uint256, row: Row) -> Row:
    tidy: Row = row
    for _: uint256 in range(_TIDIED):
        if tidy.next - tidy.first == tidy.entered:
            return tidy
        verifier: address = self.pool[task][tidy.first]
        if verifier != empty(address):
            tidy = self._appended(task, tidy, verifier, self._place(task, verifier))
        tidy.first += 1
    return tidy


@internal
@view
def _row(task: uint256) -> Row:
    """
    @dev The first place is 1, so that a verifier's 0 says that it has none.
    """
    word: uint256 = self._rows[task]
    return Row(
        first=1 + (word & (2**40 - 1)),
        next=1 + ((word >> 40) & (2**40 - 1)),
        entered=word >> 80,
    )


@internal
def _keep_row(task: uint256, row: Row):
    self._rows[task] = (row.first - 1) | (row.next - 1) << 40 | row.entered << 80


@internal
@view
def _place(task: uint256, verifier: address) -> Place:
    word: uint256 = self._places[task][verifier]
    return Place(
        number=word & (2**24 - 1),
        busy=(word >> 24) & (2**24 - 1),
        position=word >> 48,
    )


@internal
def _keep_place(task: uint256, verifier: address, place: Place):
    self._places[task][verifier] = place.number | place.busy << 24 | place.position << 48
