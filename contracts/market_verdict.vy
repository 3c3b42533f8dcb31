# pragma version 0.4.3
"""
@title Model marketplace: outcomes
@license Apache-2.0
@notice How a phase ends when the panel is done, or when somebody has vanished.
@dev Who forfeits what, and who could have had it brought about:

     | forfeit           | when                          | who could bring it about            |
     | verifier's bond   | no seal, or no report in time | itself; whoever set the windows     |
     | contributor's     | no draw, no keys, no secret   | itself; whoever set the windows     |
     |   stake           | in time                       |                                     |
     |                   | junk, as most reports say     | itself; most of the panel, who may  |
     |                   |                               | be the initiator's                  |
     | reward and unpaid | no grant in time, or not what | the initiator; most of the panel,   |
     |   fees            | was promised, as most say     | who may be the contributor's        |

     In each row there is one who must not have it, be it through friends; so all is burnt.
"""

import market_accounts
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
    junk: uint256
    ungranted: uint256
    reports: uint256


event SubmissionVoided:
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
    junk: uint256 = market_panel._count(state.junk)
    ungranted: uint256 = market_panel._count(state.ungranted)
    accepted: bool = 2 * above > reports
    log Judged(
        submission=submission,
        accepted=accepted,
        above=above,
        junk=junk,
        ungranted=ungranted,
        reports=reports,
    )
    missing: uint256 = state.seats - reports
    if missing != 0:
        self._strike(submission, state, state.revealed)
    judged: market_submissions.State = state
    if 2 * ungranted > reports:
        judged.cause = market_submissions.GRANT
        self._void(submission, judged)
        return
    unspent: uint256 = missing * convert(rules.fee, uint256)
    if accepted:
        judged.phase = market_submissions.DISCLOSE
        judged.deadline = market_terms._answer_deadline(state.task)
    else:
        unspent += convert(rules.reward, uint256)
        if 2 * junk > reports:
            judged.phase = market_submissions.JUNK
            market_tasks._finish(state.task, False, False)
            self._burn_stake(submission, state)
        else:
            judged.phase = market_submissions.REJECTED
            market_tasks._finish(state.task, False, True)
            market_submissions._return_stake(submission, state)
    market_tasks._release(state.task, unspent)
    market_submissions._keep(submission, judged)


@internal
def _replace(submission: bytes32, state: market_submissions.State):
    """
    @notice Too few have sealed, or revealed: strike off the others, and draw for their seats,
            unless that has been done as often as it may.
    """
    kept: market_submissions.State = state
    if state.phase == market_submissions.REVEAL:
        kept.sealed = state.revealed
    self._strike(submission, kept, kept.sealed)
    if state.cause != 0:
        self._void(submission, kept)
    elif state.redraws == convert(market_terms._rules_of(state.task).redraws, uint256):
        kept.cause = state.phase
        self._void(submission, kept)
    else:
        kept.redraws += 1
        market_tasks._begin_draw(state.task)
        market_submissions._arm(submission, kept)


@internal
def _abandon(submission: bytes32, state: market_submissions.State):
    """
    @notice There is no panel, or it never got samples or keys. Who has sealed before, on a
            panel that was then to be completed, may still reveal and be paid; the others may
            go.
    """
    if state.phase == market_submissions.DRAW:
        market_tasks._end_draw(state.task)
    panel: uint256 = market_submissions._panels[submission]
    for seat: uint256 in range(market_panel.SEATS):
        number: uint256 = market_panel._number_at(panel, seat)
        if number != 0 and (state.sealed >> seat) & 1 == 0:
            market_verifiers._excuse(state.task, market_verifiers._address_of(number))
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
    @notice No outcome. If that is the initiator's doing, what is still set aside is burnt, and
            the place is spent; else it is free, and another model may take the place. A
            contributor who let the draw lapse or kept the keys back forfeits its stake. Were
            that free, one with friends among the verifiers could submit until the panel is
            full of them.
    """
    reserved: uint256 = market_submissions._reserved(state)
    granted: bool = state.cause != market_submissions.GRANT
    lapsed: bool = state.cause == market_submissions.DRAW and state.short == 0
    if lapsed or state.cause == market_submissions.SHARE or (
        state.cause == market_submissions.DISCLOSE
    ):
        self._burn_stake(submission, state)
    else:
        market_submissions._return_stake(submission, state)
    if granted:
        market_tasks._release(state.task, reserved)
    else:
        market_accounts._burn(submission, reserved)
    market_tasks._finish(state.task, False, not granted)
    void: market_submissions.State = state
    void.phase = market_submissions.VOID
    market_submissions._keep(submission, void)
    log SubmissionVoided(submission=submission, cause=state.cause)


@internal
def _burn_stake(submission: bytes32, state: market_submissions.State):
    stake: uint96 = market_terms._conditions_of(state.task).stake
    market_accounts._burn(submission, convert(stake, uint256))


@internal
def _strike(submission: bytes32, state: market_submissions.State, kept: uint256):
    """
    @notice Strikes off whoever sits in a seat that is not among the `kept`, and burns the bonds.
    """
    forfeited: uint256 = 0
    panel: uint256 = market_submissions._panels[submission]
    for seat: uint256 in range(market_panel.SEATS):
        number: uint256 = market_panel._number_at(panel, seat)
        if number != 0 and (kept >> seat) & 1 == 0:
            forfeited += market_verifiers._strike(state.task, number, submission)
            panel = market_panel._vacated(panel, seat)
    market_submissions._panels[submission] = panel
    market_accounts._burn(submission, forfeited)
