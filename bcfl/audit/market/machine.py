"""The marketplace's contract once more, in Python: what each of its events must have brought.

The reference of ``contracts/ModelMarketplace.vy`` and its modules, by the rules of
``bcfl.market.spec``. It is told the first event of a call and says all that the call must have
logged; money is kept to the wei. What no event tells, it infers: that somebody settled a
submission whose panel never came together, so that those who had sealed may still reveal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from bcfl.audit.market.lives import Lives
from bcfl.audit.market.state import WAITING, Impossible, SubmissionState, TaskState
from bcfl.chain.event import Event
from bcfl.core.errors import BcflError
from bcfl.keys.public_keys import address_of
from bcfl.market.contract import events as logged
from bcfl.market.spec.terms import (
    bond,
    deposit,
    least_draw_window_s,
    least_stake,
    submission_cost,
)

_LONGEST_TASK_S: Final = 366 * 86_400
_EMPTY: Final = bytes(32)


class Machine(Lives):
    """A marketplace, an event at a time.

    Parameters
    ----------
    least_bond, draw_delay : int
        What the contract was deployed with.
    hashes : mapping
        As ``Lives``.
    """

    def __init__(self, least_bond: int, draw_delay: int, hashes: Mapping[int, bytes]) -> None:
        super().__init__(draw_delay, hashes)
        self._least_bond = least_bond
        self.tasks: dict[int, TaskState] = {}
        self.submissions: dict[bytes, SubmissionState] = {}
        self.numbers: dict[str, int] = {}  #: of verifiers

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
                stuck = submission.phase in WAITING and submission.lapsed(event)
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

    def _task(self, number: int) -> TaskState:
        if number not in self.tasks:
            raise Impossible("a task that was launched", f"task {number}")
        return self.tasks[number]


def _words(event: Event) -> str:
    own = {
        name: value.hex() if isinstance(value, bytes) else value
        for name in event.__dataclass_fields__
        if name not in ("log_index", "timestamp")
        for value in [getattr(event, name)]
    }
    return f"{type(event).__name__} {own}"
