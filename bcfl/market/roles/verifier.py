"""The verification contributor: drawn by lot, it opens, fuses, measures and reports.

PROTOCOL, System B, verification contributor and contract event 1. How it comes to what it
reports is ``examination``'s; when it does is here.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from functools import partial

from bcfl.amounts import in_ether
from bcfl.core.errors import BcflError, BlobMissing, ConfigurationError, NodeUnreachable
from bcfl.files import Journal
from bcfl.market.judging.fitness import Fitness
from bcfl.market.roles.access import Session
from bcfl.market.roles.examination import Examiner
from bcfl.market.roles.history import (
    MarketHistory,
    SubmissionLog,
    expect_task,
    read_history,
    state_of,
)
from bcfl.market.roles.opening import address_bytes
from bcfl.market.roles.turn import Pending, Role, Turn, TurnLog, earliest, short_name
from bcfl.market.spec.report import Reason, Report, seal
from bcfl.market.spec.terms import MarketPhase, Task


class Verifier(Role):
    """One account's seats on panels; its folder keeps what it found, until it may be said.

    Parameters
    ----------
    tasks : collection of int or None
        Which it enters by itself, each once; None: every open one. Where it has been struck off
        it does not go again.
    """

    def __init__(self, session: Session, tasks: Collection[int] | None = ()) -> None:
        super().__init__(session)
        self._tasks = tasks
        self._found = Journal(session.folder / "reports.jsonl")
        self._examiner = Examiner(session.store, session.account)

    def enter(self, task: int) -> bool:
        """Come into a task's pool, having read what it asks for; False if it is there already.

        The first time, register as a verifier.

        Raises
        ------
        AboveCap
            The bond, and those in other pools, are more than the account's owner allows.
        BlobError, CodecError
            This store has no description or public samples of the task: is it the shared one?
        ConfigurationError
            There is no such task, it is closed, or asks for more than this machine is lent for.
        ContractReverted
            The account launched the task.
        """
        if self._ledger.place_of(task, self._account.address).is_in:
            return False
        terms = expect_task(self._ledger, task)
        if terms.is_closed(self._ledger.now()):
            raise ConfigurationError(f"task {task} is closed: expected an open one")
        self._examiner.expect_bearable(terms)
        pools = read_history(self._ledger).pools
        locked = sum(self._ledger.bond(each) for each, pool in pools.items() if self._me in pool)
        self._ledger.bond(task, most_wei=self._most_bond - locked)
        if not self._ledger.account_of(self._me).is_registered:
            self._ledger.register(self._account.public_key)
        self._ledger.enter(task, most_wei=self._most_bond - locked)
        return True

    def leave(self, task: int) -> bool:
        """Go out of a task's pool, and take bond and fees; False if it is not there.

        Raises
        ------
        ContractReverted
            A panel waits for this verifier, or a submission to the task for its panel.
        """
        if not self._ledger.place_of(task, self._account.address).is_in:
            return False
        self._ledger.leave(task)
        self.withdraw()
        return True

    def turn(self) -> Turn:
        """Report on what there is to judge, the most urgent first; draw; settle what is overdue.

        Finished once it is in no pool, no panel waits for it, and it has none to enter.
        """
        log, history = TurnLog(self._ledger), read_history(self._ledger)
        due = [each for each in history.pending() if self._concerns(history, each)]
        found = [(state_of(self._ledger, submitted), submitted) for submitted in due]
        for _, submitted in sorted(found, key=lambda each: each[0].deadline):
            # its state is read again: the submissions before it may have taken long
            log.act(submitted, partial(self._act, log))
        waits = any(each.seat_of(self._me) is not None for each, _ in found)
        stays = [self._come_or_go(log, history, task) for task in history.launched]
        free = not waits and not any(stays)
        # killed right after it had left, it still has to take what it was paid
        if free and (credit := self.withdraw()):
            log.actions.append(f"withdrew {in_ether(credit)}")
        return log.turn(finished=free and not log.actions and self._tasks is not None)

    @property
    def _me(self) -> str:
        return self._account.address

    def _concerns(self, history: MarketHistory, submitted: SubmissionLog) -> bool:
        """Whether this verifier was drawn for it, or may draw; of other tasks it reads nothing."""
        in_pool = self._me in history.pools[submitted.task]
        return self._me in submitted.seated or (submitted.drawing and in_pool)

    def _come_or_go(self, log: TurnLog, history: MarketHistory, task: int) -> bool:
        """Enter a task that is wanted, leave one that is over; whether it concerns us further."""
        is_in = self._me in history.pools[task]
        wanted = self._tasks is None or task in self._tasks
        if not is_in and not wanted:
            return False
        terms = expect_task(self._ledger, task)
        try:
            if is_in and terms.is_over(self._ledger.now()):
                if self.leave(task):
                    log.actions.append(f"left the pool of task {task}; bond and fees are paid out")
                return False
            log.wake = earliest(log.wake, terms.conditions.deadline + 1)
            if not is_in:
                return self._come(log, task, terms)
        except NodeUnreachable:
            raise
        except BcflError as error:
            log.troubles.append(f"{error} (task {task})")
        return True

    def _come(self, log: TurnLog, task: int, terms: Task) -> bool:
        closed = terms.is_closed(self._ledger.now())
        if closed or self._me == terms.initiator or self._ledger.place_of(task, self._me).number:
            return False
        if self.enter(task):
            log.actions.append(f"entered the pool of task {task}")
        return True

    def examine(
        self, history: MarketHistory, submitted: SubmissionLog, *, patient: bool
    ) -> Fitness:
        """See :meth:`bcfl.market.roles.examination.Examiner.examine`."""
        return self._examiner.examine(history, submitted, patient=patient)

    def _act(self, log: TurnLog, pending: Pending) -> str:
        found = pending.found
        if found.phase is MarketPhase.DRAW:
            return pending.draw(log)
        if (seat := found.seat_of(self._account.address)) is None:
            return ""
        sealed, revealed = found.sealed >> seat & 1, found.revealed >> seat & 1
        if found.phase is MarketPhase.SEAL and not sealed:
            return self._seal(log, pending)
        if found.phase is MarketPhase.REVEAL and sealed and not revealed:
            return self._reveal(pending)
        return ""

    def _seal(self, log: TurnLog, pending: Pending) -> str:
        history, submitted = pending.reread()
        window = history.launched[submitted.task].conditions.report_window
        last_try = pending.found.deadline - window // 2
        try:
            report, finding = self._report(
                history, submitted, patient=self._ledger.now() < last_try
            )
        except BlobMissing as error:
            log.troubles.append(f"{error} It may be on its way ({short_name(submitted.digest)})")
            log.wake = earliest(log.wake, last_try)
            return ""
        promise = seal(submitted.digest, self._account.address, report, self._salt(submitted))
        return pending.attempt(f"sealed its report: {finding}", self._ledger.seal_report, promise)

    def _reveal(self, pending: Pending) -> str:
        history, submitted = pending.reread()
        # patience is over: had the report been lost, what is missing now was missing then
        report, _ = self._report(history, submitted, patient=False)
        said = f"reported {report.fitness / 1e6:.4f}, {report.reason.name.lower()}"
        return pending.attempt(said, self._ledger.reveal_report, report, self._salt(submitted))

    def _report(
        self, history: MarketHistory, submitted: SubmissionLog, *, patient: bool
    ) -> tuple[Report, str]:
        """What this verifier found, and why: once, so that it reveals what it has sealed."""
        if (known := self._known(submitted)) is None:
            fitness = self.examine(history, submitted, patient=patient)
            entry = asdict(fitness.report) | {"market": self._ledger.address}
            self._found.append(
                entry | {"submission": submitted.digest.hex(), "finding": fitness.finding}
            )
            # read back: another process of this verifier may have been first
            known = self._known(submitted)
            assert known is not None
        return known

    def _known(self, submitted: SubmissionLog) -> tuple[Report, str] | None:
        name = (self._ledger.address, submitted.digest.hex())
        for entry in self._found:
            if (entry["market"], entry["submission"]) == name:
                return Report(entry["fitness"], Reason(entry["reason"])), str(entry["finding"])
        return None

    def _salt(self, submitted: SubmissionLog) -> bytes:
        market = address_bytes(self._ledger.address)
        return self._account.derive_secret(b"bcfl market salt/" + market + submitted.digest)
