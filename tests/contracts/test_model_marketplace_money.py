"""Random histories: every wei that goes in comes out once, and nobody's comes out twice.

A state machine of initiators, contributors, verifiers and strangers, who do what they should,
or anything at any time. After each call an account of our own, kept by a few rules, has to
agree with the contract's, account by account, and with what was burnt. At the end nobody has
more than it brought, and was paid for a model or for reports. A coalition of anybody has what
others' tasks paid it, less what it paid others and what its forfeits burnt: nothing of what
anybody forfeited comes back to it, be it through friends. ``BCFL_FUZZ=1`` runs 1,000 histories.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import boa
from boa.util.abi import Address
from eth_utils.crypto import keccak
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bcfl.audit.market.machine import Machine
from bcfl.chain.contract import Log
from bcfl.chain.event import Event
from bcfl.market.contract.events import Armed
from bcfl.market.contract.words import event_of
from bcfl.market.spec.report import Report, seal
from bcfl.market.spec.terms import Conditions, MarketPhase, TaskRules, deposit
from tests.contracts.market_world import (
    CONTRIBUTOR,
    ETHER,
    FUZZ,
    INITIATOR,
    SALT,
    SECRET,
    STRANGER,
    UNGRANTED,
    UNOPENABLE,
    VERIFIERS,
    Person,
    World,
    block_hash,
    terms,
    word,
)

PEOPLE = [INITIATOR, CONTRIBUTOR, STRANGER, *VERIFIERS[:7]]
#: Above MAFR, below it, exactly it, and what is the contributor's or the initiator's doing.
REPORTS = [Report(900_000), Report(100_000), Report(500_000), UNOPENABLE, UNGRANTED]
KEPT_BACK = (MarketPhase.SHARE, MarketPhase.DISCLOSE)
STAKE = 500


def event_of_boa(log: Any, number: str, block: int, index: int, now: int) -> Event:
    """As web3 would decode it from a node's answer."""
    told = {name: getattr(log, name) for name in log._fields if name != "address"}
    plain = {k: str(value) if isinstance(value, Address) else value for k, value in told.items()}
    return event_of(Log(type(log).__name__, plain, number, block, index, now))


successes: Counter[str] = Counter()
refusals: Counter[str] = Counter()
outcomes: Counter[str] = Counter()
coalitions: Counter[tuple[bool, bool]] = Counter()  # that others paid, and that paid others

somebody = st.sampled_from(PEOPLE)
report = st.sampled_from([REPORTS[0], *REPORTS])
steps = st.sampled_from([9, 9, 6, 4, 2])  # of a submission's life; 6 are all, without redraws
present = st.sampled_from([6, 6, 2, 2, 1, 0])  # how many of a panel do their work
redraws = st.integers(0, 2)


class Market(RuleBasedStateMachine):
    """What everybody may do, and what it should have changed."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor = boa.env.anchor()
        self.anchor.__enter__()
        self.submissions: list[bytes] = []
        self.owed: Counter[str] = Counter()  # what withdraw should pay, by address
        self.paid: Counter[tuple[str, str]] = Counter()  # rewards and fees, from whom to whom
        self.forfeited: Counter[str] = Counter()  # by address; burnt
        self.reports: dict[bytes, dict[str, Report]] = {}  # that were revealed
        self.put_in: Counter[str] = Counter()  # and what else it put in, and got back
        self.paid_in = self.paid_out = self.burnt = 0
        self.sealed: dict[tuple[bytes, str], Report] = {}
        self.changed = False
        self.events: list[Event] = []

    @initialize(
        bond=st.sampled_from([0, 5_000]),
        delay=st.sampled_from([2, 3]),
        trades=st.lists(
            st.tuples(somebody, report, steps, present, redraws), min_size=2, max_size=3
        ),
        coalition=st.frozensets(somebody, min_size=2),
    )
    def deploy(
        self,
        bond: int,
        delay: int,
        trades: list[tuple[Person, Report, int, int, int]],
        coalition: frozenset[Person],
    ) -> None:
        self.coalition = {someone.address for someone in coalition}
        self.world = World(bond, delay)
        self.contract = self.world.contract
        for someone in PEOPLE:
            boa.env.set_balance(someone.address, ETHER)
        self.launch(INITIATOR, 3, 2, 1, STAKE, 3, True)
        for trade in trades:
            self.trade(*trade)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.finish()
        self.anchor.__exit__(None, None, None)

    # calls

    def attempt(self, name: str, call: Callable[[], object], value: int = 0, by: str = "") -> bool:
        """Call, with value from whom; a refusal has to be one of the contract's own."""
        try:
            call()
        except boa.BoaError as error:
            reason = str(error.stack_trace.last_frame.error_detail or "")
            found = str(error)
            assert "model marketplace: " in found, (name, reason, found)
            refusals[name] += 1
            return False
        successes[name] += 1
        self.changed = True
        self.paid_in += value
        self.put_in[by] += value
        number = f"0x{sum(successes.values()):064x}"
        for log in self.contract.get_logs():
            place = self.world.block, len(self.events), self.world.now
            self.events.append(event_of_boa(log, number, *place))
        return True

    @rule(
        by=somebody,
        seats=st.integers(1, 4),
        quorum=st.integers(1, 4),
        redraws=st.integers(0, 2),
        stake=st.sampled_from([0, STAKE, STAKE + 20]),
        submissions=st.integers(1, 3),
        members_only=st.booleans(),
    )
    def launch(
        self,
        by: Person,
        seats: int,
        quorum: int,
        redraws: int,
        stake: int,
        submissions: int,
        members_only: bool,
    ) -> None:
        rules = TaskRules(1_000, 10, 500_000, seats, min(quorum, seats), redraws, members_only)
        until = self.world.now + 5_000
        conditions = Conditions(submissions, stake, until, 700, 650, 600)
        value = deposit(rules, conditions)
        self.attempt(
            "launch",
            lambda: self.contract.launch(
                word("d"), terms(rules), terms(conditions), value=value, sender=by.address
            ),
            value,
            by.address,
        )

    @rule(by=somebody, task=st.integers(0, 6))
    def come_or_go(self, by: Person, task: int) -> None:
        if self.world.is_in(by, task) and self.contract.row(task).entered > 5:
            self.leave(by, task)
        else:
            self.enter(by, task)

    def enter(self, by: Person, task: int) -> None:
        if self.contract.account(by.address).number == 0:
            register = self.contract.register
            self.attempt("register", lambda: register(by.public_key, sender=by.address))
        # the price of no task has no bound, and is refused with any bond
        exists = 0 < task <= self.contract.tasks()
        value = int(self.contract.bond(task)) if exists else 0
        self.attempt(
            "enter",
            lambda: self.contract.enter(task, value=value, sender=by.address),
            value,
            by.address,
        )

    def leave(self, by: Person, task: int) -> None:
        if self.attempt("leave", lambda: self.contract.leave(task, sender=by.address)):
            self.owe_back(by.address, int(self.contract.bond(task)))

    def owe_back(self, who: str, amount: int) -> None:
        self.owed[who] += amount
        self.put_in[who] -= amount

    def pay(self, payer: str, payee: str, amount: int) -> None:
        self.owed[payee] += amount
        self.paid[payer, payee] += amount

    def forfeit(self, who: str, amount: int) -> None:
        self.burnt += amount
        self.forfeited[who] += amount

    @rule(by=somebody, task=st.integers(0, 6), again=st.booleans())
    def submit(self, by: Person, task: int, again: bool) -> None:
        copy = again and self.submissions
        name = self.submissions[-1] if copy else word(f"model {len(self.submissions)}")
        stake = int(self.contract.task(task).conditions.stake)
        commitment = keccak(SECRET)
        if self.attempt(
            "submit",
            lambda: self.contract.submit(task, name, commitment, value=stake, sender=by.address),
            stake,
            by.address,
        ):
            assert name not in self.submissions
            self.submissions.append(name)

    @precondition(lambda self: self.submissions)
    @rule(data=st.data(), report=report, steps=steps, present=present)
    def proceed(self, data: st.DataObject, report: Report, steps: int, present: int) -> None:
        """For some phases whoever is due does what is due, or as many of a panel as come."""
        submission = self.choose(data)
        self.fill_up(int(self.world.state(submission).task))
        for _ in range(steps):
            self.step(submission, report, present)

    def miss(self, submission: bytes, phase: MarketPhase) -> None:
        """If that phase still waits for somebody: nobody comes, and it is over."""
        state = self.world.state(submission)
        if state.phase == phase:
            self.world.wait_past(state.deadline)
            if self.world.state(submission).phase == phase:
                self.settled(submission, late=True)

    @rule(by=somebody, report=report, steps=steps, present=present, redraws=redraws)
    def trade(self, by: Person, report: Report, steps: int, present: int, redraws: int) -> None:
        """A new submission, to a new task if the last one is closed, and how far it comes."""
        task, before = int(self.contract.tasks()), len(self.submissions)
        self.fill_up(task)
        self.submit(by, task, False)
        if len(self.submissions) == before:
            self.launch(STRANGER, 3, 2, redraws, STAKE, 3, members_only=True)
            self.fill_up(int(self.contract.tasks()))
            self.submit(CONTRIBUTOR, int(self.contract.tasks()), False)
        for _ in range(steps):
            self.step(self.submissions[-1], report, present)

    def fill_up(self, task: int) -> None:
        """Panels need verifiers: half of the people, and more than any panel has seats."""
        for someone in VERIFIERS[:5]:
            if not self.world.is_in(someone, task):
                self.enter(someone, task)

    def step(self, submission: bytes, report: Report, present: int) -> None:
        view = self.contract.submission(submission)
        contributor, panel = str(view.contributor), [str(a) for a in view.panel]
        match MarketPhase(view.state.phase):
            case MarketPhase.DRAW:
                block = max(self.world.block, view.state.anchor + 1)
                self.world.travel_to(self.world.now + 1, block)
                self.draw(submission, contributor)
            case MarketPhase.GRANT:
                self.grant(submission, str(self.contract.task(view.state.task).initiator))
            case MarketPhase.SHARE:
                self.share(submission, contributor)
            case MarketPhase.SEAL:
                for verifier in panel[:present]:
                    self.seal(submission, verifier, report)
                self.miss(submission, MarketPhase.SEAL)
            case MarketPhase.REVEAL:
                for verifier in panel[:present]:
                    self.reveal(submission, verifier)
                self.miss(submission, MarketPhase.REVEAL)
            case MarketPhase.DISCLOSE:
                self.disclose(submission, contributor)

    @precondition(lambda self: self.submissions)
    @rule(data=st.data(), by=somebody, report=report)
    def anything(self, data: st.DataObject, by: Person, report: Report) -> None:
        """Anybody calls anything, due or not; members of the panel more often than others."""
        submission = self.choose(data)
        panel = [str(a) for a in self.contract.submission(submission).panel]
        who = data.draw(st.sampled_from([by.address, *panel]))
        match data.draw(st.sampled_from(["draw", "grant", "share", "seal", "reveal", "disclose"])):
            case "draw":
                self.draw(submission, who)
            case "grant":
                self.grant(submission, who)
            case "share":
                self.share(submission, who)
            case "seal":
                self.seal(submission, who, report)
            case "reveal":
                self.reveal(submission, who)
            case _:
                self.disclose(submission, who)

    @precondition(lambda self: self.submissions)
    @rule(data=st.data(), late=st.booleans())
    def settle(self, data: st.DataObject, late: bool) -> None:
        self.settled(self.choose(data), late)

    @rule(by=somebody, task=st.integers(0, 6))
    def take(self, by: Person, task: int) -> None:
        self.withdraw(by)
        self.collect(task, by)

    def withdraw(self, by: Person) -> None:
        before = boa.env.get_balance(by.address)
        if self.attempt("withdraw", lambda: self.world.withdraw(by)):
            paid = boa.env.get_balance(by.address) - before
            assert paid == self.owed.pop(by.address)
            self.paid_out += paid

    def collect(self, task: int, by: Person) -> None:
        free = self.world.free(task)
        if self.attempt("collect", lambda: self.contract.collect(task, sender=by.address)):
            self.owe_back(str(self.contract.task(task).initiator), free)
            assert self.world.free(task) == 0

    @rule(seconds=st.sampled_from([1, 50, 250]), blocks=st.sampled_from([1, 2, 300]))
    def wait(self, seconds: int, blocks: int) -> None:
        self.world.wait(seconds, blocks)

    # what the calls should change

    def draw(self, submission: bytes, by: str) -> None:
        self.attempt("draw", lambda: self.contract.draw(submission, sender=by))

    def grant(self, submission: bytes, by: str) -> None:
        self.attempt("grant", lambda: self.contract.grant(submission, word("g"), sender=by))

    def share(self, submission: bytes, by: str) -> None:
        self.attempt("share", lambda: self.contract.share(submission, word("k"), sender=by))

    def seal(self, submission: bytes, by: str, report: Report) -> None:
        promise = seal(submission, by, report, SALT)
        if self.attempt("seal", lambda: self.contract.seal(submission, promise, sender=by)):
            self.sealed[submission, by] = report

    def reveal(self, submission: bytes, by: str) -> None:
        report = self.sealed.get((submission, by), REPORTS[0])
        task = self.contract.task(self.world.state(submission).task)
        if self.attempt(
            "reveal",
            lambda: self.contract.reveal(
                submission, report.fitness, int(report.reason), SALT, sender=by
            ),
        ):
            del self.sealed[submission, by]
            self.reports.setdefault(submission, {})[by] = report
            self.pay(str(task.initiator), by, int(task.rules.fee))
            self.concluded(submission)

    def disclose(self, submission: bytes, by: str) -> None:
        if self.attempt("disclose", lambda: self.contract.disclose(submission, SECRET, sender=by)):
            view = self.contract.submission(submission)
            task = self.contract.task(view.state.task)
            found = self.reports[submission].values()
            assert 2 * sum(one.fitness > task.rules.mafr for one in found) > len(found)
            self.pay(str(task.initiator), str(view.contributor), task.rules.reward)
            self.owe_back(str(view.contributor), task.conditions.stake)
            outcomes["PAID"] += 1

    def settled(self, submission: bytes, late: bool) -> None:
        state = self.world.state(submission)
        if late:
            self.world.wait_past(state.deadline)
        if self.attempt("settle", lambda: self.world.settle(submission)):
            unseen = state.phase == MarketPhase.DRAW and self.world.block > state.anchor + 256
            assert self.world.now > state.deadline or unseen
            self.concluded(submission)

    def concluded(self, submission: bytes) -> None:
        """What the rules say of the stake, and of what is burnt."""
        for event in self.contract.get_logs():
            if type(event).__name__ == "StruckOff":
                assert str(event.verifier) not in self.reports.get(submission, {})
                self.forfeit(str(event.verifier), event.forfeited)
        view = self.contract.submission(submission)
        phase, cause = MarketPhase(view.state.phase), MarketPhase(view.state.cause)
        if phase not in (MarketPhase.REJECTED, MarketPhase.VOID, MarketPhase.JUNK):
            return
        outcomes[f"{phase.name} {cause.name}"] += 1
        task = self.contract.task(view.state.task)
        undrawn = cause is MarketPhase.DRAW and not view.state.short
        if phase is MarketPhase.JUNK or cause in KEPT_BACK or undrawn:
            self.forfeit(str(view.contributor), task.conditions.stake)
        else:
            self.owe_back(str(view.contributor), task.conditions.stake)
        if cause is MarketPhase.GRANT:
            unpaid = task.rules.seats - int(view.state.revealed).bit_count()
            self.forfeit(str(task.initiator), task.rules.reward + unpaid * task.rules.fee)

    # what always holds

    @invariant()
    def what_a_call_changed_adds_up(self) -> None:
        if self.changed:
            self.everybody_is_owed_what_is_due_and_no_more()
            self.every_wei_is_somewhere()
        self.changed = False  # by a refused call, or by waiting, no wei moves

    def everybody_is_owed_what_is_due_and_no_more(self) -> None:
        for someone in PEOPLE:
            assert self.world.credit(someone) == self.owed[someone.address], someone.name

    def every_wei_is_somewhere(self) -> None:
        contract = self.contract
        tasks = [contract.task(number) for number in range(1, contract.tasks() + 1)]
        views = [contract.submission(submission) for submission in self.submissions]
        pending = [view for view in views if view.state.phase < MarketPhase.PAID]
        held = sum(self.owed.values())
        for number in range(1, len(tasks) + 1):
            held += contract.row(number).entered * contract.bond(number)
        held += sum(task.free for task in tasks)
        held += sum(view.reserved for view in views)
        held += sum(tasks[view.state.task - 1].conditions.stake for view in pending)
        assert self.world.burnt() == self.burnt
        assert self.world.balance() == held == self.paid_in - self.paid_out - self.burnt
        assert sum(task.pending for task in tasks) == len(pending)

    def replay(self) -> None:
        """What the audit makes of the events is what the contract says."""
        anchors = {event.anchor for event in self.events if isinstance(event, Armed)}
        hashes = {number: block_hash(number) for number in anchors}
        machine = Machine(int(self.contract.BOND()), int(self.contract.DRAW_DELAY()), hashes)
        machine.replay(self.events)
        assert +machine.credits == +self.owed
        for submission, state in machine.submissions.items():
            view = self.contract.submission(submission).state
            machine.current(state, self.world.now)
            if MarketPhase(view.phase) is MarketPhase.REVEAL and state.phase < MarketPhase.SEAL:
                machine.abandoned(state)
            assert (state.phase, state.cause) == (view.phase, view.cause)
            assert (state.sealed, state.revealed) == (view.sealed, view.revealed)
        for number, task in machine.tasks.items():
            view = self.contract.task(number)
            mine = task.free, task.opened, task.taken, task.pending, task.paid, task.drawing
            assert mine == (
                view.free, view.opened, view.taken, view.pending, view.paid, view.drawing
            )  # fmt: skip
        assert machine.held == self.world.balance()

    def finish(self) -> None:
        """All deadlines pass; everybody takes what is theirs; nothing is left."""
        self.replay()
        for submission in self.submissions:
            for _ in range(20):
                if MarketPhase(self.world.state(submission).phase).is_final:
                    break
                self.settled(submission, late=True)
        for number in range(1, self.contract.tasks() + 1):
            task = self.contract.task(number)
            assert task.pending == 0
            self.world.wait_past(task.conditions.deadline)
            if task.free:
                self.collect(number, STRANGER)
        for someone in PEOPLE:
            for number in range(1, self.contract.tasks() + 1):
                assert self.world.place(someone, number).busy == 0
                if self.world.is_in(someone, number):
                    self.leave(someone, number)
            if self.owed[someone.address]:
                self.withdraw(someone)
        assert +self.owed == Counter()
        assert self.world.balance() == 0
        self.replay()
        assert self.paid_in == self.paid_out + self.burnt
        gains = {p.address: boa.env.get_balance(p.address) - ETHER for p in PEOPLE}
        for someone, gain in gains.items():
            assert gain == self.due_to({someone})
            assert self.put_in[someone] >= 0
        assert sum(gains[someone] for someone in self.coalition) == self.due_to(self.coalition)

    def due_to(self, coalition: set[str]) -> int:
        """By the rules: what others' tasks paid them, less what they paid others, and forfeits."""
        between = self.paid.items()
        earned = sum(n for (by, to), n in between if to in coalition and by not in coalition)
        spent = sum(n for (by, to), n in between if by in coalition and to not in coalition)
        coalitions[earned > 0, spent > 0] += 1
        return earned - spent - sum(self.forfeited[someone] for someone in coalition)

    def choose(self, data: st.DataObject) -> bytes:
        """One of the submissions, more often a recent one."""
        return data.draw(st.sampled_from(self.submissions[-3:]))


def test_every_wei_that_goes_in_comes_out_once_in_random_histories() -> None:
    for counter in (successes, refusals, outcomes, coalitions):
        counter.clear()
    histories = 1_000 if FUZZ else 8
    run_state_machine_as_test(
        Market, settings=settings(max_examples=histories, stateful_step_count=30)
    )
    counts = f"done {successes}, refused {refusals}, ended {outcomes}"
    print(counts)
    # a machine whose calls are all refused, or all obeyed, would prove nothing
    often = ("enter", "submit", "draw", "grant", "share", "seal", "settle", "collect", "withdraw")
    for call in often:
        assert successes[call] >= histories, counts
    for call in ("launch", "register", "leave", "reveal", "disclose"):
        assert successes[call] >= histories // 2, counts
    assert sum(refusals.values()) >= histories, counts
    assert len(outcomes) >= 4, counts
    assert len(coalitions) >= 3, counts
