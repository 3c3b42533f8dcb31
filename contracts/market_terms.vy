# pragma version 0.4.3
"""
@title Model marketplace: terms
@license Apache-2.0
@notice What an initiator asks for, and how everything goes. Agreed at launch, never changed;
        and the least that no initiator can go below, because others would pay for it.
@dev Two words of storage a task. What every report needs is in the first.
     `bcfl.market.spec.terms` says the same in Python, and is the reference.

     Windows. Ten minutes are 50 blocks of Ethereum: time to see an event with some blocks upon
     it, to fetch and to measure, to have a transaction mined in spite of full blocks, and to
     restart a program in between. A task whose models take longer to measure needs longer
     windows; a verifier sees them before it enters. The draw's window has two blocks' time
     more for each block that the draw waits for.

     Stake. Half of the reward, and no less than a panel's fees. A contributor that looks at
     its panels and lets the bad ones go pays a stake for each: with half of the reward that is
     a loss until a third of its panels are good, for which it needs 4 of 10 in the pool; a
     contributor whose own verifiers would be the panel pays more than the panel gets.

     Bond. If `quorum` of `seats` reports make a verdict, `seats - quorum + 1` verifiers that
     look at a model and then vanish keep it from being bought. Their bonds together are the
     price of all models that the task can have under way at once: vanishing is never cheaper
     than buying, however many panels wait for the same verifiers.
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
LEAST_WINDOW: constant(uint256) = 600
LONGEST_WINDOW: constant(uint256) = 30 * 86400
LONGEST_TASK: constant(uint256) = 366 * 86400
MOST_REDRAWS: constant(uint256) = 10

# Two of Ethereum's slots: what a block of the draw's delay takes at most.
_SECONDS_PER_BLOCK: constant(uint256) = 24

# The least that a verifier deposits when it enters a task's pool, in wei.
BOND: public(immutable(uint256))
# Blocks from arming a draw to the block whose hash draws.
DRAW_DELAY: public(immutable(uint256))

_rules: HashMap[uint256, uint256]
_conditions: HashMap[uint256, uint256]


@deploy
def __init__(bond: uint256, draw_delay: uint256):
    assert bond <= (2**96 - 1), "model marketplace: bond out of range"
    assert draw_delay > 1 and draw_delay <= 128, "model marketplace: draw delay out of range"
    BOND = bond
    DRAW_DELAY = draw_delay


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
    stake: uint256 = convert(conditions.stake, uint256)
    assert stake >= self._least_stake(rules), "model marketplace: the stake is too low"
    waiting: uint256 = LEAST_WINDOW + DRAW_DELAY * _SECONDS_PER_BLOCK
    self._expect_window(conditions.draw_window, waiting)
    self._expect_window(conditions.answer_window, LEAST_WINDOW)
    self._expect_window(conditions.report_window, LEAST_WINDOW)
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
        | stake << 128
    )


@internal
@pure
def _expect_window(window: uint24, least: uint256):
    seconds: uint256 = convert(window, uint256)
    assert seconds >= least, "model marketplace: a window is too short"
    assert seconds <= LONGEST_WINDOW, "model marketplace: a window is too long"


@internal
@pure
def _least_stake(rules: Rules) -> uint256:
    fees: uint256 = convert(rules.seats, uint256) * convert(rules.fee, uint256)
    return max(fees, (convert(rules.reward, uint256) + 1) // 2)


@internal
@view
def _bond_of(task: uint256) -> uint256:
    """
    @notice What a verifier deposits to enter this task's pool, in wei.
    """
    rules: Rules = self._rules_of(task)
    submissions: uint256 = convert(self._conditions_of(task).submissions, uint256)
    price: uint256 = submissions * convert(rules.reward, uint256)
    vanishing: uint256 = convert(rules.seats, uint256) + 1 - convert(rules.quorum, uint256)
    return max(BOND, (price + vanishing - 1) // vanishing)


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
