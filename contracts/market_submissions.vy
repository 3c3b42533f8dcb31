# pragma version 0.4.3
"""
@title Model marketplace: submissions
@license Apache-2.0
@notice What is kept of a submission. All of it that changes, but the panel's names and seals,
        is in one word of storage.
"""

import market_accounts
import market_panel
import market_terms
import market_verifiers

uses: market_accounts
uses: market_terms
uses: market_verifiers

# The phases. Each that can be left by a deadline has one, and every deadline leads on.
DRAW: constant(uint256) = 1  # waits for its panel
GRANT: constant(uint256) = 2  # waits for the initiator, who owes the panel its measuring half
SHARE: constant(uint256) = 3  # waits for the contributor's keys for the panel
SEAL: constant(uint256) = 4  # waits for sealed reports
REVEAL: constant(uint256) = 5  # waits for the reports themselves
DISCLOSE: constant(uint256) = 6  # accepted; waits for the contributor's key
PAID: constant(uint256) = 7
REJECTED: constant(uint256) = 8
VOID: constant(uint256) = 9
JUNK: constant(uint256) = 10  # no model, or a copy, as most reports say


struct State:
    task: uint256
    seats: uint256  # as in the task's rules, which need not be read for it
    phase: uint256
    cause: uint256  # the phase that failed for good; no verifier is replaced any more
    redraws: uint256  # so far
    short: uint256  # 1: when the draw was armed, the pool was too small for the panel
    deadline: uint256  # seconds; the last moment to do what the phase waits for
    anchor: uint256  # block whose hash draws
    first: uint256  # where the pool began when the draw was armed
    length: uint256  # how long it was
    sealed: uint256  # bit field over the seats
    revealed: uint256  # bit field over the seats, within `sealed`
    above: uint256  # bit field over the seats, within `revealed`: more than MAFR
    junk: uint256  # the same: no model, or a copy
    ungranted: uint256  # the same: the initiator's grant was not what it had promised


event Armed:
    submission: indexed(bytes32)
    anchor: uint256
    redraws: uint256


# How far back a contract sees the hashes of blocks.
HORIZON: constant(uint256) = 256

_states: HashMap[bytes32, uint256]
_contributors: HashMap[bytes32, address]
_commitments: HashMap[bytes32, bytes32]
_panels: HashMap[bytes32, uint256]
_seals: HashMap[bytes32, HashMap[uint256, bytes32]]  # by seat


@internal
def _arm(submission: bytes32, state: State):
    """
    @notice A draw is due, for whichever seats are vacant.
    """
    armed: State = state
    armed.phase = DRAW
    armed.deadline = market_terms._draw_deadline(state.task)
    self._rearm(submission, armed)


@internal
def _rearm(submission: bytes32, state: State):
    """
    @notice The draw will be among those who are in the pool now, by a block that is to come.
    """
    armed: State = state
    row: market_verifiers.Row = market_verifiers._row(state.task)
    armed.anchor = block.number + market_terms.DRAW_DELAY
    armed.first = row.first
    armed.length = row.next - row.first
    armed.short = 0
    if row.entered < state.seats:
        armed.short = 1
    self._keep(submission, armed)
    log Armed(submission=submission, anchor=armed.anchor, redraws=armed.redraws)


@internal
@view
def _has_lapsed(state: State) -> bool:
    """
    @notice Whether what the phase waits for can be done no more. A draw lapses, too, when its
            block is out of sight: were it armed again, whoever dislikes the panel could wait
            for that. With a pool too small for the panel there is nothing to like or dislike.
    """
    if state.phase == DRAW and state.short == 0 and block.number > state.anchor + HORIZON:
        return True
    return block.timestamp > state.deadline


@internal
@view
def _seat(submission: bytes32, number: uint256) -> uint256:
    """
    @notice Where a verifier sits; it must.
    """
    assert number != 0, "model marketplace: not on the panel"
    seat: uint256 = market_panel._seat_of(self._panels[submission], number)
    assert seat != market_panel.SEATS, "model marketplace: not on the panel"
    return seat


@internal
@view
def _state(submission: bytes32) -> State:
    word: uint256 = self._states[submission]
    return State(
        task=word >> 216,
        seats=(word >> 212) & (2**4 - 1),
        phase=word & (2**4 - 1),
        cause=(word >> 4) & (2**4 - 1),
        redraws=(word >> 8) & (2**4 - 1),
        short=(word >> 12) & (2**4 - 1),
        deadline=(word >> 16) & (2**40 - 1),
        anchor=(word >> 56) & (2**40 - 1),
        first=(word >> 96) & (2**40 - 1),
        length=(word >> 136) & (2**26 - 1),
        sealed=(word >> 162) & (2**10 - 1),
        revealed=(word >> 172) & (2**10 - 1),
        above=(word >> 182) & (2**10 - 1),
        junk=(word >> 192) & (2**10 - 1),
        ungranted=(word >> 202) & (2**10 - 1),
    )


@internal
def _keep(submission: bytes32, state: State):
    self._states[submission] = (
        state.phase
        | state.cause << 4
        | state.redraws << 8
        | state.short << 12
        | state.deadline << 16
        | state.anchor << 56
        | state.first << 96
        | state.length << 136
        | state.sealed << 162
        | state.revealed << 172
        | state.above << 182
        | state.junk << 192
        | state.ungranted << 202
        | state.seats << 212
        | state.task << 216
    )


@internal
@view
def _current(submission: bytes32) -> State:
    """
    @notice The state, with what time alone has changed: sealing ends at its deadline if a
            quorum has sealed, or if some have and nobody can be replaced any more. Those who
            have done the work are still to be paid for it.
    """
    state: State = self._state(submission)
    if state.phase == SEAL and block.timestamp > state.deadline:
        rules: market_terms.Rules = market_terms._rules_of(state.task)
        enough: bool = market_panel._count(state.sealed) >= convert(rules.quorum, uint256)
        last: bool = state.redraws == convert(rules.redraws, uint256)
        if enough or (last and state.sealed != state.revealed):
            state.phase = REVEAL
            window: uint24 = market_terms._conditions_of(state.task).report_window
            state.deadline += convert(window, uint256)
            if not enough:
                state.cause = SEAL
    return state


@internal
def _return_stake(submission: bytes32, state: State):
    stake: uint96 = market_terms._conditions_of(state.task).stake
    if stake != 0:
        market_accounts._credit(self._contributors[submission], convert(stake, uint256))


@internal
@view
def _reserved(state: State) -> uint256:
    """
    @notice What is set aside for it, beside the stake: the reward until there is an outcome,
            and until there is a verdict a fee for each report that has not been paid yet.
    """
    if state.phase == 0 or state.phase > DISCLOSE:
        return 0
    rules: market_terms.Rules = market_terms._rules_of(state.task)
    reserved: uint256 = convert(rules.reward, uint256)
    if state.phase != DISCLOSE:
        unpaid: uint256 = state.seats - market_panel._count(state.revealed)
        reserved += unpaid * convert(rules.fee, uint256)
    return reserved
