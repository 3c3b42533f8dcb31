# pragma version 0.4.3
"""
@title Model marketplace: terms
@license Apache-2.0
@notice What an initiator asks for, and how everything goes. Agreed at launch, never changed.
@dev Two words of storage a task. What every report needs is in the first.
"""

import market_panel

# What is paid, and for what.
struct Rules:
    reward: uint96  # wei for each accepted model
    fee: uint96  # wei for each report
    mafr: uint32  # minimum acceptable fitness rate, parts per million
    seats: uint8  # verifiers on a panel
    quorum: uint8  # reports that suffice for a verdict
    redraws: uint8  # how often vanished verifiers are replaced
    members_only: bool  # accepted models are for the initiator and its panels alone


# How many may try, at what stake, and how long everything may take.
struct Conditions:
    submissions: uint16  # how many models are judged at most
    stake: uint96  # wei that a contributor deposits with a submission, and may forfeit
    deadline: uint40  # seconds; the last moment to submit
    draw_window: uint24  # seconds that the panel may take to be drawn
    answer_window: uint24  # seconds for each turn of the contributor or the initiator
    report_window: uint24  # seconds to seal a report, and again to reveal it


MILLION: constant(uint256) = 10**6
LONGEST_WINDOW: constant(uint256) = 30 * 86400
LONGEST_TASK: constant(uint256) = 366 * 86400
MOST_REDRAWS: constant(uint256) = 10

_rules: HashMap[uint256, uint256]
_conditions: HashMap[uint256, uint256]


@internal
def _agree(task: uint256, rules: Rules, conditions: Conditions):
    """
    @notice Keeps the terms of a new task, if they are within limits.
    """
    assert rules.reward > 0 and rules.fee > 0, "model marketplace: reward and fee are positive"
    assert conditions.submissions > 0, "model marketplace: at least one submission"
    closing: uint256 = convert(conditions.deadline, uint256)
    assert closing > block.timestamp, "model marketplace: the deadline has passed"
    assert closing <= block.timestamp + LONGEST_TASK, "model marketplace: the deadline is too far"
    assert convert(rules.mafr, uint256) < MILLION, "model marketplace: MAFR is below 1,000,000"
    seats: uint256 = convert(rules.seats, uint256)
    assert seats > 0 and seats <= market_panel.SEATS, "model marketplace: 1 to 10 verifiers"
    quorum: uint256 = convert(rules.quorum, uint256)
    assert quorum > 0 and quorum <= seats, "model marketplace: quorum out of range"
    assert convert(rules.redraws, uint256) <= MOST_REDRAWS, "model marketplace: too many redraws"
    windows: uint24[3] = [
        conditions.draw_window,
        conditions.answer_window,
        conditions.report_window,
    ]
    for window: uint24 in windows:
        assert window > 0, "model marketplace: a window is at least a second"
        seconds: uint256 = convert(window, uint256)
        assert seconds <= LONGEST_WINDOW, "model marketplace: a window is too long"
    self._rules[task] = (
        convert(rules.reward, uint256)
        | convert(rules.fee, uint256) << 96
        | convert(rules.mafr, uint256) << 192
        | convert(rules.seats, uint256) << 224
        | convert(rules.quorum, uint256) << 232
        | convert(rules.redraws, uint256) << 240
        | convert(rules.members_only, uint256) << 248
    )
    self._conditions[task] = (
        convert(conditions.submissions, uint256)
        | convert(conditions.deadline, uint256) << 16
        | convert(conditions.draw_window, uint256) << 56
        | convert(conditions.answer_window, uint256) << 80
        | convert(conditions.report_window, uint256) << 104
        | convert(conditions.stake, uint256) << 128
    )


@internal
@pure
def _cost(rules: Rules) -> uint256:
    """
    @notice What one submission can cost: the reward, and a fee for every seat.
    """
    fees: uint256 = convert(rules.seats, uint256) * convert(rules.fee, uint256)
    return convert(rules.reward, uint256) + fees


@internal
@view
def _rules_of(task: uint256) -> Rules:
    word: uint256 = self._rules[task]
    return Rules(
        reward=convert(word & (2**96 - 1), uint96),
        fee=convert((word >> 96) & (2**96 - 1), uint96),
        mafr=convert((word >> 192) & (2**32 - 1), uint32),
        seats=convert((word >> 224) & (2**8 - 1), uint8),
        quorum=convert((word >> 232) & (2**8 - 1), uint8),
        redraws=convert((word >> 240) & (2**8 - 1), uint8),
        members_only=(word >> 248) != 0,
    )


@internal
@view
def _conditions_of(task: uint256) -> Conditions:
    word: uint256 = self._conditions[task]
    return Conditions(
        submissions=convert(word & (2**16 - 1), uint16),
        stake=convert(word >> 128, uint96),
        deadline=convert((word >> 16) & (2**40 - 1), uint40),
        draw_window=convert((word >> 56) & (2**24 - 1), uint24),
        answer_window=convert((word >> 80) & (2**24 - 1), uint24),
        report_window=convert((word >> 104) & (2**24 - 1), uint24),
    )


@internal
@view
def _draw_deadline(task: uint256) -> uint256:
    return block.timestamp + convert(self._conditions_of(task).draw_window, uint256)


@internal
@view
def _answer_deadline(task: uint256) -> uint256:
    return block.timestamp + convert(self._conditions_of(task).answer_window, uint256)


@internal
@view
def _report_deadline(task: uint256) -> uint256:
    return block.timestamp + convert(self._conditions_of(task).report_window, uint256)
