"""What becomes of a submission and its money: ``contracts/market_verdict.vy`` once more."""

from __future__ import annotations

from collections import Counter
from typing import Any

from bcfl.audit.market.state import Impossible, SubmissionState
from bcfl.chain.event import Event
from bcfl.market.contract import events as logged
from bcfl.market.spec.terms import MarketPhase


class Outcomes:
    """Verdicts, draws that are due, and what either moves.

    Parameters
    ----------
    draw_delay : int
        What the contract was deployed with, blocks.
    """

    def __init__(self, draw_delay: int) -> None:
        self._draw_delay = draw_delay
        self.credits: Counter[str] = Counter()  #: wei that ``withdraw`` pays out
        self.paid_in = self.paid_out = self.burnt = 0  #: wei
        self._event: Event  # that is being taken

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
