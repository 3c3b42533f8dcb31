# pragma version 0.4.3
"""
@title Model marketplace: tasks
@license Apache-2.0
@notice What an initiator deposits, and what has become of it.
@dev A task's money is either free, or set aside for a pending submission, or already owed to
     somebody (in `market_accounts`). Only the free part is kept as a number here; what is set
     aside follows from the state of the submissions.
"""

import market_accounts
import market_terms

uses: market_accounts
uses: market_terms


struct Task:
    initiator: address
    description: bytes32  # digest of the task description
    rules: market_terms.Rules
    conditions: market_terms.Conditions
    free: uint256  # wei of the deposit that nothing is set aside from
    opened: uint256  # submissions ever made; numbers them
    taken: uint256  # submissions that keep a place among `conditions.submissions`
    pending: uint256  # submissions without an outcome
    paid: uint256  # models bought
    drawing: uint256  # submissions that wait for their panel: nobody leaves the pool meanwhile


struct Pot:
    free: uint256
    opened: uint256
    taken: uint256
    pending: uint256
    paid: uint256
    drawing: uint256


event Launched:
    task: indexed(uint256)
    initiator: indexed(address)
    description: bytes32
    rules: market_terms.Rules
    conditions: market_terms.Conditions


event Collected:
    task: indexed(uint256)
    initiator: indexed(address)
    amount: uint256


# How many tasks there are; the numbers of tasks are 1 to this.
tasks: public(uint256)

_initiators: HashMap[uint256, address]
_descriptions: HashMap[uint256, bytes32]
_pots: HashMap[uint256, uint256]


@external
@payable
def launch(
    description: bytes32, rules: market_terms.Rules, conditions: market_terms.Conditions
) -> uint256:
    """
    @notice Ask for models. Anyone, with the whole deposit: `submissions` times the reward and
            a full panel's fees.
    @param description SHA-256 of the task description in the blob store: input and output,
           the digests of the verification set's two halves, of which the measuring one is
           opened to each panel alone (`grant`), the initiator's public key, maybe an
           architecture.
    @param rules What is paid, and for what.
    @param conditions How many may try, at what stake, and how long everything may take.
    @return The task's number.
    """
    assert description != empty(bytes32), "model marketplace: no description"
    self.tasks += 1
    task: uint256 = self.tasks
    market_terms._agree(task, rules, conditions)
    submissions: uint256 = convert(conditions.submissions, uint256)
    deposit: uint256 = submissions * market_terms._cost(rules)
    assert msg.value == deposit, "model marketplace: the deposit, and no other sum"
    self._initiators[task] = msg.sender
    self._descriptions[task] = description
    self._keep_pot(task, Pot(free=deposit, opened=0, taken=0, pending=0, paid=0, drawing=0))
    log Launched(
        task=task,
        initiator=msg.sender,
        description=description,
        rules=rules,
        conditions=conditions,
    )
    return task


@external
def collect(task: uint256) -> uint256:
    """
    @notice Give the initiator what is left of its deposit, as credit to withdraw. Anyone, once
            no submission is taken any more: after the deadline, or when as many as were asked
            for have an outcome. Again, whenever a pending submission has set more free.
    @param task Its number.
    @return The amount in wei.
    """
    initiator: address = self._initiators[task]
    assert initiator != empty(address), "model marketplace: no such task"
    conditions: market_terms.Conditions = market_terms._conditions_of(task)
    pot: Pot = self._pot(task)
    complete: bool = pot.pending == 0 and pot.taken == convert(conditions.submissions, uint256)
    late: bool = block.timestamp > convert(conditions.deadline, uint256)
    assert complete or late, "model marketplace: submissions are still taken"
    amount: uint256 = pot.free
    assert amount != 0, "model marketplace: nothing to collect"
    pot.free = 0
    self._keep_pot(task, pot)
    market_accounts._credit(initiator, amount)
    log Collected(task=task, initiator=initiator, amount=amount)
    return amount


@external
@view
def task(task: uint256) -> Task:
    """
    @notice Everything about a task; an initiator of zero if there is none.
    @param task Its number.
    """
    pot: Pot = self._pot(task)
    return Task(
        initiator=self._initiators[task],
        description=self._descriptions[task],
        rules=market_terms._rules_of(task),
        conditions=market_terms._conditions_of(task),
        free=pot.free,
        opened=pot.opened,
        taken=pot.taken,
        pending=pot.pending,
        paid=pot.paid,
        drawing=pot.drawing,
    )


@internal
def _set_aside(
    task: uint256, rules: market_terms.Rules, conditions: market_terms.Conditions
) -> Pot:
    """
    @notice Takes one more submission, which waits for its panel, and its cost out of the free
            money.
    """
    assert rules.reward != 0, "model marketplace: no such task"
    closing: uint256 = convert(conditions.deadline, uint256)
    assert block.timestamp <= closing, "model marketplace: the task is closed"
    pot: Pot = self._pot(task)
    assert pot.taken < convert(conditions.submissions, uint256), "model marketplace: all are taken"
    cost: uint256 = market_terms._cost(rules)
    assert pot.free >= cost, "model marketplace: the deposit is used up"
    pot.free -= cost
    pot.opened += 1
    pot.taken += 1
    pot.pending += 1
    pot.drawing += 1
    self._keep_pot(task, pot)
    return pot


@internal
def _release(task: uint256, amount: uint256):
    """
    @notice Money that was set aside is free.
    """
    if amount != 0:
        pot: Pot = self._pot(task)
        pot.free += amount
        self._keep_pot(task, pot)


@internal
def _begin_draw(task: uint256):
    """
    @notice One more submission waits for its panel.
    """
    pot: Pot = self._pot(task)
    pot.drawing += 1
    self._keep_pot(task, pot)


@internal
def _end_draw(task: uint256):
    pot: Pot = self._pot(task)
    pot.drawing -= 1
    self._keep_pot(task, pot)


@internal
def _finish(task: uint256, bought: bool, counts: bool):
    """
    @notice A submission has its outcome.
    @param bought Whether it was paid for.
    @param counts Whether it keeps its place among the submissions asked for.
    """
    pot: Pot = self._pot(task)
    pot.pending -= 1
    if bought:
        pot.paid += 1
    if not counts:
        pot.taken -= 1
    self._keep_pot(task, pot)


@internal
@view
def _initiator_of(task: uint256) -> address:
    return self._initiators[task]


@internal
@view
def _pot(task: uint256) -> Pot:
    word: uint256 = self._pots[task]
    return Pot(
        free=word & (2**128 - 1),
        opened=(word >> 128) & (2**32 - 1),
        taken=(word >> 160) & (2**24 - 1),
        pending=(word >> 184) & (2**24 - 1),
        paid=(word >> 208) & (2**24 - 1),
        drawing=word >> 232,
    )


@internal
def _keep_pot(task: uint256, pot: Pot):
    self._pots[task] = (
        pot.free
        | pot.opened << 128
        | pot.taken << 160
        | pot.pending << 184
        | pot.paid << 208
        | pot.drawing << 232
    )
