"""The marketplace's contract once more, in Python: what each of its events must have brought.

The reference of ``contracts/ModelMarketplace.vy`` and its modules, by the rules of
``bcfl.market.spec``. It is told the first event of a call and says all that the call must have
logged; money is kept to the wei. What no event tells, it infers: that somebody settled a
submission whose panel never came together, so that those who had sealed may still reveal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from bcfl.chain.event import Event
from bcfl.core.errors import BcflError
from bcfl.keys.public_keys import address_of
from bcfl.keys.sealing import secret_commitment
from bcfl.market.contract import events as logged
from bcfl.market.spec.draw import HORIZON, draw_seed
from bcfl.market.spec.pool import Pool
from bcfl.market.spec.report import Reason
from bcfl.market.spec.terms import (
    MarketPhase,
    Task,
    bond,
    deposit,
    least_draw_window_s,
    least_stake,
    submission_cost,
)

_LONGEST_TASK_S: Final = 366 * 86_400
_EMPTY: Final = bytes(32)
_WAITING: Final = (MarketPhase.DRAW, MarketPhase.GRANT, MarketPhase.SHARE)


class Impossible(Exception):
    """The contract's code cannot have done that."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}; found {found}")
        self.expected, self.found = expected, found


@dataclass(slots=True)
class TaskState:
    """One task."""

    launched: logged.Launched
    free: int
    bond: int
    opened: int = 0
    taken: int = 0
    pending: int = 0
    paid: int = 0
    drawing: int = 0
    pool: Pool = field(default_factory=Pool)

    def task(self) -> Task:
        """As the contract's view says it."""
        told = self.launched
        return Task(
            told.initiator, told.description, told.rules, told.conditions,
            self.free, self.opened, self.taken, self.pending, self.paid, self.drawing,
        )  # fmt: skip


@dataclass(slots=True)
class SubmissionState:
    """One submission; bit fields are over the seats."""

    submitted: logged.Submitted
    task: TaskState
    panel: list[str | None]
    phase: MarketPhase = MarketPhase.NONE
    cause: MarketPhase = MarketPhase.NONE
    redraws: int = 0
    short: bool = False
    deadline: int | None = 0  #: None: it began with a settlement that no event tells of
    anchor: int = 0
    first: int = 0
    length: int = 0
    seals: dict[str, bytes] = field(default_factory=dict)  #: not yet revealed, by verifier
    sealed: int = 0
    revealed: int = 0
    above: int = 0
    junk: int = 0
    ungranted: int = 0

    @property
    def digest(self) -> bytes:
        """Its name."""
        return self.submitted.submission

    @property
    def reserved(self) -> int:
        """Wei set aside for it, beside its stake."""
        if not MarketPhase.DRAW <= self.phase <= MarketPhase.DISCLOSE:
            return 0
        rules = self.task.launched.rules
        if self.phase is MarketPhase.DISCLOSE:
            return rules.reward
        return rules.reward + (rules.seats - self.revealed.bit_count()) * rules.fee

    def lapsed(self, event: Event) -> bool:
        """Whether what its phase waits for can be done no more."""
        unseen = event.block > self.anchor + HORIZON
        if self.phase is MarketPhase.DRAW and not self.short and unseen:
            return True
        return self.deadline is None or event.timestamp > self.deadline

    def in_time(self, event: Event) -> bool:
        """Whether it can be done still, as far as is known."""
        return self.deadline is None or event.timestamp <= self.deadline


class Machine:
    """A marketplace, an event at a time.

    Parameters
    ----------
    least_bond, draw_delay : int
        What the contract was deployed with.
    hashes : mapping
        By number: the hashes of the blocks that draw; of one that is missing nothing is checked.
    """

    def __init__(self, least_bond: int, draw_delay: int, hashes: Mapping[int, bytes]) -> None:
        self._least_bond, self._draw_delay, self._hashes = least_bond, draw_delay, hashes
        self.tasks: dict[int, TaskState] = {}
        self.submissions: dict[bytes, SubmissionState] = {}
        self.numbers: dict[str, int] = {}  #: of verifiers
        self.credits: Counter[str] = Counter()  #: wei that ``withdraw`` pays out
        self.paid_in = self.paid_out = self.burnt = 0  #: wei
        self._event: Event  # that is being taken

    @property
    def held(self) -> int:
        """Wei that must be on the contract."""
        bonds = sum(task.pool.entered * task.bond for task in self.tasks.values())
        free = sum(task.free for task in self.tasks.values())
        pending = [s for s in self.submissions.values() if not s.phase.is_final]
        stakes = sum(s.task.launched.conditions.stake for s in pending)
        return sum(self.credits.values()) + bonds + free + stakes + sum(s.reserved for s in pending)

    def replay(self, events: Iterable[Event]) -> None:
        """Take all events, in order. Raises Impossible at the first that cannot be."""
        due: list[Event] = []
        last = (-1, -1)
        for event in events:
            if (at := (event.block, event.log_index)) <= last:
                raise Impossible(f"an event after block {last[0]}, log {last[1]}", str(at))
            last = at
            if not due:
                due = self._take(event)
            expected, found = due.pop(0), replace(event, log_index=0)
            if expected != found:
                raise Impossible(_words(expected), _words(found))
        if due:
            raise Impossible(_words(due[0]), "nothing")

    def abandoned(self, submission: SubmissionState) -> None:
        """Somebody settled it, which nothing was logged of; who has sealed may still reveal."""
        task = submission.task
        if submission.phase is MarketPhase.DRAW:
            task.drawing -= 1
        self._excuse_unsealed(submission)
        submission.cause, submission.phase = submission.phase, MarketPhase.REVEAL
        submission.deadline = None

    def current(self, submission: SubmissionState, timestamp: int) -> None:
        """Let time do what it does: sealing ends if enough have sealed, or nobody can follow."""
        rules = submission.task.launched.rules
        deadline = submission.deadline
        if submission.phase is MarketPhase.SEAL and deadline is not None and timestamp > deadline:
            enough = submission.sealed.bit_count() >= rules.quorum
            last = submission.redraws == rules.redraws
            if enough or (last and submission.sealed != submission.revealed):
                submission.phase = MarketPhase.REVEAL
                submission.deadline = deadline + submission.task.launched.conditions.report_window
                submission.cause = submission.cause if enough else MarketPhase.SEAL

    def _take(self, event: Event) -> list[Event]:
        self._event = event
        kinds: dict[type[Event], Callable[[Any], list[Event]]] = {
            logged.Launched: self._launch,
            logged.Collected: self._collect,
            logged.Registered: self._register,
            logged.Entered: self._enter,
            logged.Left: self._leave,
            logged.Withdrawn: self._withdraw,
            logged.Submitted: self._submit,
        }
        if (take := kinds.get(type(event))) is not None:
            return take(event)
        digest = getattr(event, "submission", _EMPTY)
        submission = self.submissions.get(digest)
        if submission is None:
            raise Impossible("an event of a submission that was made", _words(event))
        self.current(submission, event.timestamp)
        return self._of_submission(submission, event)

    def _of_submission(self, submission: SubmissionState, event: Event) -> list[Event]:
        stuck = submission.phase in _WAITING and submission.lapsed(event)
        silent = stuck and submission.sealed != submission.revealed
        match event:
            case logged.Seated() | logged.Drawn():
                return self._draw(submission)
            case logged.Armed():
                return self._arm_again(submission)
            case logged.Granted():
                self._move(submission, MarketPhase.GRANT, MarketPhase.SHARE, "answer_window")
                return [self._log(logged.Granted, submission, opening=event.opening)]
            case logged.Shared():
                self._move(submission, MarketPhase.SHARE, MarketPhase.SEAL, "report_window")
                return [self._log(logged.Shared, submission, keys=event.keys)]
            case logged.ReportSealed():
                return self._seal(submission, event)
            case logged.Reported():
                if silent:
                    self.abandoned(submission)
                return self._reveal(submission, event)
            case logged.Disclosed():
                return self._disclose(submission, event)
        if silent:
            self.abandoned(submission)
        return self._settle(submission)

    # whoever comes, and goes

    def _launch(self, event: logged.Launched) -> list[Event]:
        rules, conditions, now = event.rules, event.conditions, event.timestamp
        self._expect(event.task == len(self.tasks) + 1, f"task {len(self.tasks) + 1}", event.task)
        self._expect(event.description != _EMPTY, "a description", "none")
        stake = least_stake(rules)
        self._expect(conditions.stake >= stake, f"a stake of {stake} wei", conditions.stake)
        closing = now < conditions.deadline <= now + _LONGEST_TASK_S
        self._expect(closing, "a deadline to come", conditions.deadline)
        window = least_draw_window_s(self._draw_delay)
        self._expect(
            conditions.draw_window >= window, f"a window of {window} s", conditions.draw_window
        )
        whole = deposit(rules, conditions)
        self.tasks[event.task] = TaskState(event, whole, bond(rules, conditions, self._least_bond))
        self.paid_in += whole
        return [replace(event, log_index=0)]

    def _collect(self, event: logged.Collected) -> list[Event]:
        task = self._task(event.task)
        closed = task.task().is_closed(event.timestamp)
        self._expect(closed, "a closed task to be collected from", "one that is open")
        told = self._log(
            logged.Collected, task=event.task, initiator=task.launched.initiator, amount=task.free
        )
        self._expect(task.free > 0, "something to collect", "nothing")
        self.credits[task.launched.initiator] += task.free
        task.free = 0
        return [told]

    def _register(self, event: logged.Registered) -> list[Event]:
        self._expect(event.verifier not in self.numbers, "a registration once", "it twice")
        try:
            owner = address_of(event.public_key)
        except BcflError:
            owner = "nobody's"
        self._expect(owner == event.verifier, f"the public key of {event.verifier}", owner)
        number = self.numbers[event.verifier] = len(self.numbers) + 1
        return [replace(event, number=number, log_index=0)]

    def _enter(self, event: logged.Entered) -> list[Event]:
        task, who = self._task(event.task), event.verifier
        self._expect(who in self.numbers, "a registered verifier", who)
        self._expect(who != task.launched.initiator, "anybody but the initiator", who)
        self._expect(who not in task.pool, "one who is not in the pool", who)
        task.pool.enter(who)
        self.paid_in += task.bond
        return [replace(event, bond=task.bond, log_index=0)]

    def _leave(self, event: logged.Left) -> list[Event]:
        task, who = self._task(event.task), event.verifier
        self._expect(who in task.pool, "one who is in the pool to leave it", who)
        if task.pool.busy[who] or task.drawing:
            for submission in self.submissions.values():
                stuck = submission.phase in _WAITING and submission.lapsed(event)
                if submission.task is task and stuck and submission.sealed != submission.revealed:
                    self.abandoned(submission)
        self._expect(not task.pool.busy[who], "one on whom no panel waits to leave", who)
        self._expect(not task.drawing, "nobody to leave while a draw is due", who)
        task.pool.remove(who)
        self.credits[who] += task.bond
        return [replace(event, log_index=0)]

    def _withdraw(self, event: logged.Withdrawn) -> list[Event]:
        owed = self.credits.pop(event.owner, 0)
        self._expect(owed > 0, f"something that is owed to {event.owner}", "nothing")
        self.paid_out += owed
        return [replace(event, amount=owed, log_index=0)]

    def _submit(self, event: logged.Submitted) -> list[Event]:
        task, who = self._task(event.task), event.contributor
        rules, conditions = task.launched.rules, task.launched.conditions
        cost = submission_cost(rules)
        self._expect(event.submission not in self.submissions, "a new submission", "a known one")
        self._expect(event.timestamp <= conditions.deadline, "a submission in time", "one too late")
        self._expect(task.taken < conditions.submissions, "a submission to a task with places", who)
        self._expect(task.free >= cost, f"{cost} wei free", task.free)
        self._expect(who not in task.pool, "a contributor outside of the pool", who)
        self._expect(task.pool.entered >= rules.seats, f"{rules.seats} verifiers in the pool", who)
        task.free -= cost
        task.opened += 1
        task.taken += 1
        task.pending += 1
        task.drawing += 1
        self.paid_in += conditions.stake
        submission = SubmissionState(event, task, [None] * rules.seats)
        self.submissions[event.submission] = submission
        return [replace(event, number=task.opened, log_index=0), *self._arm(submission)]

    # a submission's life

    def _arm(self, submission: SubmissionState) -> list[Event]:
        submission.phase = MarketPhase.DRAW
        self._until(submission, "draw_window")
        return self._rearm(submission)

    def _rearm(self, submission: SubmissionState) -> list[Event]:
        pool = submission.task.pool
        submission.anchor = self._event.block + self._draw_delay
        submission.first, submission.length = pool.first, pool.length
        submission.short = pool.entered < len(submission.panel)
        return [
            self._log(
                logged.Armed, submission, anchor=submission.anchor, redraws=submission.redraws
            )
        ]

    def _arm_again(self, submission: SubmissionState) -> list[Event]:
        """A draw that was due, of a pool too small, and whose block is out of sight."""
        if submission.phase is not MarketPhase.DRAW:
            return self._settle(submission)
        unseen = self._event.block > submission.anchor + HORIZON
        self._expect(submission.short and unseen, "a draw", "one that was armed again")
        self._expect(not submission.lapsed(self._event), "a draw in time", "one too late")
        return self._rearm(submission)

    def _draw(self, submission: SubmissionState) -> list[Event]:
        event, task = self._event, submission.task
        due = submission.phase is MarketPhase.DRAW and not submission.lapsed(event)
        self._expect(due, "a draw that is due", f"one in {submission.phase.name}")
        seen = submission.anchor < event.block <= submission.anchor + HORIZON
        self._expect(seen, f"a draw after block {submission.anchor}", f"block {event.block}")
        block_hash = self._hashes.get(submission.anchor)
        self._expect(block_hash is not None, f"a block {submission.anchor}", "none")
        assert block_hash is not None
        seed = draw_seed(block_hash, submission.digest)
        vacant = [seat for seat, who in enumerate(submission.panel) if who is None]
        seated = {who for who in submission.panel if who is not None}
        drawn = task.pool.draw(
            seed,
            submission.first,
            submission.length,
            len(vacant),
            {*seated, submission.submitted.contributor},
        )
        told: list[Event] = []
        for seat, who in zip(vacant, drawn, strict=False):
            submission.panel[seat] = who
            task.pool.busy[who] += 1
            number = submission.submitted.task
            told.append(self._log(logged.Seated, submission, verifier=who, task=number, seat=seat))
        told.append(self._log(logged.Drawn, submission, seed=seed, seats=len(drawn)))
        if None in submission.panel:
            return told + self._rearm(submission)
        task.drawing -= 1
        submission.phase = MarketPhase.GRANT
        self._until(submission, "answer_window")
        return told

    def _move(
        self, submission: SubmissionState, before: MarketPhase, after: MarketPhase, window: str
    ) -> None:
        found, name = submission.phase, type(self._event).__name__
        self._expect(found is before, f"{name} in {before.name}", f"in {found.name}")
        self._expect(submission.in_time(self._event), f"{name} in time", "one too late")
        submission.phase = after
        self._until(submission, window)

    def _seal(self, submission: SubmissionState, event: logged.ReportSealed) -> list[Event]:
        bit = self._bit(submission, event.verifier)
        due = submission.phase is MarketPhase.SEAL and submission.in_time(event)
        self._expect(due, "a seal that is due", f"one in {submission.phase.name}")
        self._expect(not submission.sealed & bit, "a seal once", "it twice")
        submission.sealed |= bit
        submission.seals[event.verifier] = event.seal
        if submission.sealed.bit_count() == len(submission.panel):
            submission.phase = MarketPhase.REVEAL
            self._until(submission, "report_window")
        return [replace(event, log_index=0)]

    def _reveal(self, submission: SubmissionState, event: logged.Reported) -> list[Event]:
        bit, rules = self._bit(submission, event.verifier), submission.task.launched.rules
        due = submission.phase is MarketPhase.REVEAL and submission.in_time(event)
        self._expect(due, "a report that is due", f"one in {submission.phase.name}")
        open_ = submission.sealed & bit and not submission.revealed & bit
        self._expect(bool(open_), "a report that was sealed", "one that was not, or twice")
        measured = event.reason is Reason.MEASURED
        possible = 0 <= event.fitness <= 10**6 and (measured or event.fitness == 0)
        self._expect(possible, "a fitness of what was measured", event.fitness)
        submission.revealed |= bit
        submission.task.pool.busy[event.verifier] -= 1
        self.credits[event.verifier] += rules.fee
        if event.fitness > rules.mafr:
            submission.above |= bit
        elif event.reason is Reason.UNGRANTED:
            submission.ungranted |= bit
        elif event.reason.is_junk:
            submission.junk |= bit
        told = [replace(event, log_index=0)]
        whole = submission.revealed == submission.sealed
        return told + (self._conclude(submission) if whole else [])

    def _disclose(self, submission: SubmissionState, event: logged.Disclosed) -> list[Event]:
        due = submission.phase is MarketPhase.DISCLOSE and submission.in_time(event)
        self._expect(due, "a disclosure that is due", f"one in {submission.phase.name}")
        committed = submission.submitted.key_commitment
        fits = secret_commitment(event.key) == committed
        self._expect(fits, f"a secret with the hash {committed.hex()}", event.key.hex())
        terms, contributor = submission.task.launched, submission.submitted.contributor
        submission.phase = MarketPhase.PAID
        self.credits[contributor] += terms.rules.reward + terms.conditions.stake
        self._finish(submission, bought=True, counts=True)
        return [self._log(logged.Disclosed, submission, contributor=contributor, key=event.key)]

    def _settle(self, submission: SubmissionState) -> list[Event]:
        phase = submission.phase
        due = MarketPhase.DRAW <= phase <= MarketPhase.DISCLOSE and submission.lapsed(self._event)
        self._expect(due, "a deadline that has passed, to be settled", f"one in {phase.name}")
        match phase:
            case MarketPhase.DISCLOSE:
                submission.cause = phase
                return self._void(submission)
            case MarketPhase.REVEAL:
                return self._conclude(submission)
            case MarketPhase.SEAL:
                return self._replace(submission)
        if phase is MarketPhase.DRAW:
            submission.task.drawing -= 1
        self._excuse_unsealed(submission)
        submission.cause = phase
        return self._void(submission)

    # outcomes

    def _conclude(self, submission: SubmissionState) -> list[Event]:
        rules, reports = submission.task.launched.rules, submission.revealed.bit_count()
        if reports < rules.quorum:
            return self._replace(submission)
        above, junk = submission.above.bit_count(), submission.junk.bit_count()
        ungranted = submission.ungranted.bit_count()
        accepted = 2 * above > reports
        told = [
            self._log(
                logged.Judged,
                submission,
                accepted=accepted,
                above=above,
                junk=junk,
                ungranted=ungranted,
                reports=reports,
            )
        ]
        unspent = (rules.seats - reports) * rules.fee
        told += self._strike(submission, submission.revealed)
        if 2 * ungranted > reports:
            submission.cause = MarketPhase.GRANT
            return told + self._void(submission)
        if accepted:
            submission.phase = MarketPhase.DISCLOSE
            self._until(submission, "answer_window")
        elif 2 * junk > reports:
            submission.phase = MarketPhase.JUNK
            self._finish(submission, bought=False, counts=False)
            told += self._burn(submission, submission.task.launched.conditions.stake)
        else:
            submission.phase = MarketPhase.REJECTED
            self._finish(submission, bought=False, counts=True)
            self._return_stake(submission)
        submission.task.free += unspent + (0 if accepted else rules.reward)
        return told

    def _replace(self, submission: SubmissionState) -> list[Event]:
        task, phase = submission.task, submission.phase
        if phase is MarketPhase.REVEAL:
            submission.sealed = submission.revealed
        told = self._strike(submission, submission.sealed)
        if submission.cause is MarketPhase.NONE:
            if submission.redraws < task.launched.rules.redraws:
                submission.redraws += 1
                task.drawing += 1
                return told + self._arm(submission)
            submission.cause = phase
        return told + self._void(submission)

    def _void(self, submission: SubmissionState) -> list[Event]:
        task, cause, reserved = submission.task, submission.cause, submission.reserved
        ungranted = cause is MarketPhase.GRANT
        let_go = cause is MarketPhase.DRAW and not submission.short
        told: list[Event] = []
        if let_go or cause in (MarketPhase.SHARE, MarketPhase.DISCLOSE):
            told += self._burn(submission, task.launched.conditions.stake)
        else:
            self._return_stake(submission)
        if ungranted:
            told += self._burn(submission, reserved)
        else:
            task.free += reserved
        submission.phase = MarketPhase.VOID
        self._finish(submission, bought=False, counts=ungranted)
        return [*told, self._log(logged.SubmissionVoided, submission, cause=cause)]

    def _strike(self, submission: SubmissionState, kept: int) -> list[Event]:
        task, told = submission.task, list[Event]()
        for seat, who in enumerate(submission.panel):
            if who is None or kept >> seat & 1:
                continue
            task.pool.busy[who] -= 1
            submission.panel[seat] = None
            if who in task.pool:
                task.pool.remove(who)
                told.append(
                    self._log(logged.StruckOff, submission, verifier=who, forfeited=task.bond)
                )
        return told + self._burn(submission, len(told) * task.bond)

    def _burn(self, submission: SubmissionState, amount: int) -> list[Event]:
        self.burnt += amount
        return [self._log(logged.Burnt, submission, amount=amount)] if amount else []

    def _return_stake(self, submission: SubmissionState) -> None:
        stake = submission.task.launched.conditions.stake
        self.credits[submission.submitted.contributor] += stake

    def _finish(self, submission: SubmissionState, *, bought: bool, counts: bool) -> None:
        submission.task.pending -= 1
        submission.task.paid += bought
        submission.task.taken -= not counts

    def _excuse_unsealed(self, submission: SubmissionState) -> None:
        for seat, who in enumerate(submission.panel):
            if who is not None and not submission.sealed >> seat & 1:
                submission.task.pool.busy[who] -= 1
                submission.panel[seat] = None

    def _until(self, submission: SubmissionState, window: str) -> None:
        conditions = submission.task.launched.conditions
        submission.deadline = self._event.timestamp + int(getattr(conditions, window))

    def _bit(self, submission: SubmissionState, verifier: str) -> int:
        self._expect(verifier in submission.panel, "one who sits on the panel", verifier)
        return 1 << submission.panel.index(verifier)

    def _task(self, number: int) -> TaskState:
        if number not in self.tasks:
            raise Impossible("a task that was launched", f"task {number}")
        return self.tasks[number]

    def _log(
        self, kind: type[Event], submission: SubmissionState | None = None, **fields: Any
    ) -> Event:
        event = self._event
        if submission is not None:
            fields["submission"] = submission.digest
        return kind(event.transaction, event.block, 0, event.timestamp, **fields)

    def _expect(self, holds: bool, expected: str, found: object) -> None:
        if not holds:
            name = type(self._event).__name__
            raise Impossible(f"{expected} ({name}, block {self._event.block})", f"{found}")


def _words(event: Event) -> str:
    own = {
        name: value.hex() if isinstance(value, bytes) else value
        for name in event.__dataclass_fields__
        if name not in ("log_index", "timestamp")
        for value in [getattr(event, name)]
    }
    return f"{type(event).__name__} {own}"
