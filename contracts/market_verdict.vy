# pragma version 0.4.3
"""
@title Model marketplace: outcomes
@license Apache-2.0
@notice How a phase ends when the panel is done, or when somebody has vanished.
"""

import market_panel
import market_submissions
import market_tasks
import market_terms
import market_verifiers

uses: market_submissions
uses: market_tasks
uses: market_terms
uses: market_verifiers


event Judged:
    submission: indexed(bytes32)
    accepted: bool
    above: uint256
    reports: uint256


event Voided:
    submission: indexed(bytes32)
    cause: uint256


@internal
def _conclude(submission: bytes32, state: market_submissions.State):
    """
    @notice Revealing is over: the verdict, or a new draw for those who are missing.
    """
    rules: market_terms.Rules = market_terms._rules_of(state.task)
    reports: uint256 = market_panel._count(state.revealed)
    if reports < convert(rules.quorum, uint256):
        self._replace(submission, state)
        return
    above: uint256 = market_panel._count(state.above)
    accepted: bool = 2 * above > reports
    unspent: uint256 = 0
    missing: uint256 = state.seats - reports
    if missing != 0:
        unspent = missing * convert(rules.fee, uint256)
        unspent += self._strike(submission, state.revealed)
    judged: market_submissions.State = state
    if accepted:
        judged.phase = market_submissions.DISCLOSE
        judged.deadline = market_terms._answer_deadline(state.task)
    else:
        judged.phase = market_submissions.REJECTED
        unspent += convert(rules.reward, uint256)
        market_tasks._finish(state.task, False, True)
        market_submissions._return_stake(submission, state)
    market_tasks._release(state.task, unspent)
    market_submissions._keep(submission, judged)
    log Judged(submission=submission, accepted=accepted, above=above, reports=reports)


@internal
def _replace(submission: bytes32, state: market_submissions.State):
    """
    @notice Too few have sealed, or revealed: strike off the others, and draw for their seats,
            unless that has been done as often as it may.
    """
    kept: market_submissions.State = state
    if state.phase == market_submissions.REVEAL:
        kept.sealed = state.revealed
    market_tasks._release(state.task, self._strike(submission, kept.sealed))
    if state.cause != 0:
        self._void(submission, kept)
    elif state.redraws == convert(market_terms._rules_of(state.task).redraws, uint256):
        kept.cause = state.phase
        self._void(submission, kept)
    else:
        kept.redraws += 1
        market_submissions._arm(submission, kept)


@internal
def _abandon(submission: bytes32, state: market_submissions.State):
    """
    @notice There is no panel, or it never got the keys. Who has sealed before, on a panel that
            was then to be completed, may still reveal and be paid; the others may go.
    """
    panel: uint256 = market_submissions._panels[submission]
    for seat: uint256 in range(market_panel.SEATS):
        number: uint256 = market_panel._number_at(panel, seat)
        if number != 0 and (state.sealed >> seat) & 1 == 0:
            market_verifiers._excuse(number)
            panel = market_panel._vacated(panel, seat)
    market_submissions._panels[submission] = panel
    failed: market_submissions.State = state
    failed.cause = state.phase
    if state.sealed == state.revealed:
        self._void(submission, failed)
        return
    failed.phase = market_submissions.REVEAL
    failed.deadline = market_terms._report_deadline(state.task)
    market_submissions._keep(submission, failed)


@internal
def _void(submission: bytes32, state: market_submissions.State):
    """
    @notice No outcome: what is still set aside is free, and another model may take its place.
            A contributor who kept the keys back forfeits its stake. Were that free, one with
            friends among the verifiers could submit until the panel is full of them.
    """
    freed: uint256 = market_submissions._reserved(state)
    if state.cause == market_submissions.SHARE or state.cause == market_submissions.DISCLOSE:
        freed += convert(market_terms._conditions_of(state.task).stake, uint256)
    else:
        market_submissions._return_stake(submission, state)
    market_tasks._release(state.task, freed)
    market_tasks._finish(state.task, False, False)
    void: market_submissions.State = state
    void.phase = market_submissions.VOID
    market_submissions._keep(submission, void)
    log Voided(submission=submission, cause=state.cause)


@internal
def _strike(submission: bytes32, kept: uint256) -> uint256:
    """
    @notice Strikes off whoever sits in a seat that is not among the `kept`.
    @return What they forfeit, in wei.
    """
    forfeited: uint256 = 0
    panel: uint256 = market_submissions._panels[submission]
    for seat: uint256 in range(market_panel.SEATS):
        number: uint256 = market_panel._number_at(panel, seat)
        if number != 0 and (kept >> seat) & 1 == 0:
            forfeited += market_verifiers._strike(number, submission)
            panel = market_panel._vacated(panel, seat)
    market_submissions._panels[submission] = panel
    return forfeited
