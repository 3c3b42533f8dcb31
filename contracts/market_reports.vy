# pragma version 0.4.3
"""
@title Model marketplace: reports
@license Apache-2.0
@notice What the verifiers of a panel say, and their pay: sealed first, so that nobody can copy,
        and revealed when no more seals are taken.
"""

import market_accounts
import market_panel
import market_submissions
import market_terms
import market_verdict
import market_verifiers

uses: market_accounts
uses: market_submissions
uses: market_terms
uses: market_verdict
uses: market_verifiers


event ReportSealed:
    submission: indexed(bytes32)
    verifier: indexed(address)
    seal: bytes32


event Reported:
    submission: indexed(bytes32)
    verifier: indexed(address)
    fitness: uint256
    reason: uint256


# Why a model could not be measured; 0: it was (bcfl.market.spec.report). Reasons below this
# one are the contributor's doing, this one, the last, is the initiator's.
_UNGRANTED: constant(uint256) = 5


@external
def seal(submission: bytes32, seal: bytes32):
    """
    @notice Promise a report without showing it.
    @param submission Its digest.
    @param seal SHA-256 of abi_encode(submission, sender, fitness, reason, salt), five words.
           With the sender in it, a copied seal cannot be revealed.
    """
    state: market_submissions.State = market_submissions._state(submission)
    assert state.phase == market_submissions.SEAL, "model marketplace: no seal is due"
    assert block.timestamp <= state.deadline, "model marketplace: too late to seal"
    number: uint256 = market_verifiers._place(state.task, msg.sender).number
    seat: uint256 = market_submissions._seat(submission, number)
    assert (state.sealed >> seat) & 1 == 0, "model marketplace: already sealed"
    assert seal != empty(bytes32), "model marketplace: no seal"
    market_submissions._seals[submission][seat] = seal
    state.sealed |= 1 << seat
    if market_panel._count(state.sealed) == state.seats:
        state.phase = market_submissions.REVEAL
        state.deadline = market_terms._report_deadline(state.task)
    market_submissions._keep(submission, state)
    log ReportSealed(submission=submission, verifier=msg.sender, seal=seal)


@external
def reveal(submission: bytes32, fitness: uint256, reason: uint256, salt: bytes32):
    """
    @notice Report, as sealed, and be paid. The last report brings the verdict.
    @param submission Its digest.
    @param fitness What the model is worth, parts per million.
    @param reason Why it could not be measured (then its fitness is 0); 0: it was.
    @param salt What kept the seal from being guessed.
    """
    state: market_submissions.State = market_submissions._current(submission)
    assert state.phase == market_submissions.REVEAL, "model marketplace: no report is due"
    assert block.timestamp <= state.deadline, "model marketplace: too late to report"
    number: uint256 = market_verifiers._place(state.task, msg.sender).number
    seat: uint256 = market_submissions._seat(submission, number)
    assert (state.sealed >> seat) & 1 == 1, "model marketplace: nothing sealed"
    assert (state.revealed >> seat) & 1 == 0, "model marketplace: already reported"
    assert fitness <= market_terms.MILLION, "model marketplace: fitness is at most 1,000,000"
    assert reason <= _UNGRANTED, "model marketplace: no such reason"
    assert reason == 0 or fitness == 0, "model marketplace: not measured, and yet a fitness"
    report: bytes32 = sha256(abi_encode(submission, msg.sender, fitness, reason, salt))
    sealed: bytes32 = market_submissions._seals[submission][seat]
    assert report == sealed, "model marketplace: the seal says otherwise"
    rules: market_terms.Rules = market_terms._rules_of(state.task)
    market_submissions._seals[submission][seat] = empty(bytes32)
    market_verifiers._excuse(state.task, msg.sender)
    market_accounts._credit(msg.sender, convert(rules.fee, uint256))
    state.revealed |= 1 << seat
    if fitness > convert(rules.mafr, uint256):
        state.above |= 1 << seat
    elif reason == _UNGRANTED:
        state.ungranted |= 1 << seat
    elif reason != 0:
        state.junk |= 1 << seat
    log Reported(submission=submission, verifier=msg.sender, fitness=fitness, reason=reason)
    if state.revealed == state.sealed:
        market_verdict._conclude(submission, state)
    else:
        market_submissions._keep(submission, state)
