"""The verification contributor: drawn by lot, it opens, fuses, measures and reports.

PROTOCOL, System B, verification contributor and contract event 1. What makes a model fit is
``bcfl.apps.market.fitness``; what is checked before it is measured, ``examination``.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path

from bcfl.adapters.accounts import Account
from bcfl.adapters.journal import Journal
from bcfl.apps.market.fitness import Fitness
from bcfl.apps.market.roles.examination import Examiner, refused
from bcfl.apps.market.roles.history import (
    History,
    Story,
    expect_task,
    read_history,
    read_story,
    state_of,
)
from bcfl.apps.market.roles.opening import address_bytes
from bcfl.apps.market.roles.turn import Turn, attempt, earliest, short
from bcfl.core.architecture import DEFAULT_LIMITS, Limits
from bcfl.core.errors import BlobMissing
from bcfl.core.market import MarketPhase, Submission
from bcfl.core.market_report import Reason, Report, seal
from bcfl.ports.blob_store import BlobStore
from bcfl.ports.market_ledger import MarketLedger

__all__ = ["Verifier"]


class Verifier:
    """One account's seats on panels (:class:`bcfl.apps.market.roles.turn.Role`).

    Parameters
    ----------
    ledger : MarketLedger
        Sends from ``account``.
    store : BlobStore
    account : Account
    folder : Path
        Of this verifier alone: what it found, until it may be said.
    limits : Limits
        The largest models that this machine is lent for.
    """

    def __init__(
        self,
        ledger: MarketLedger,
        store: BlobStore,
        account: Account,
        folder: Path,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._account = account
        self._found = Journal(folder / "reports.jsonl")
        self._examiner = Examiner(ledger, store, account, limits)

    def register(self) -> bool:
        """Become a verifier, with the bond; False if it is one already."""
        if self._ledger.account_of(self._account.address).is_registered:
            return False
        self._ledger.register(self._account.public_key)
        return True

    def leave(self) -> None:
        """Stop being a verifier, and take bond and fees.

        Raises
        ------
        ContractReverted
            A panel waits for this verifier.
        """
        if self._ledger.account_of(self._account.address).is_registered:
            self._ledger.leave()
        self.withdraw()

    def withdraw(self) -> int:
        """Take the fees earned so far; how many wei."""
        credit = self._ledger.account_of(self._account.address).credit
        if credit:
            self._ledger.withdraw()
        return credit

    def turn(self) -> Turn:
        """Report on what there is to judge; settle what is overdue where it sits."""
        history = read_history(self._ledger)
        deeds: list[str] = []
        wake: int | None = None
        for story in history.pending():
            found = state_of(self._ledger, story)
            seat = found.seat_of(self._account.address)
            if seat is None:
                continue
            deed, due = self._act(story, found, seat)
            if deed:
                deeds.append(f"{deed} ({short(story.submission)})")
            wake = earliest(wake, due)
        return Turn(tuple(deeds), wake)

    def examine(self, history: History, story: Story, *, patient: bool) -> Fitness:
        """What this verifier finds of a submission: see ``Examiner.examine``."""
        return self._examiner.examine(history, story, patient=patient)

    def _act(self, story: Story, found: Submission, seat: int) -> tuple[str, int | None]:
        """What was done, and when there is more to do although nobody else does anything."""
        ledger, submission = self._ledger, story.submission
        now, bit = ledger.now(), 1 << seat
        if now > found.deadline:
            settle = partial(ledger.settle, submission)
            return attempt(ledger, submission, settle, "settled what was overdue"), None
        if found.phase is MarketPhase.SEAL and not found.sealed & bit:
            return self._seal(story, found, now)
        if found.phase is MarketPhase.REVEAL and found.sealed & bit and not found.revealed & bit:
            report = self._report(story, patient=False)
            reveal = partial(ledger.reveal_report, submission, report, self._salt(story))
            said = f"reported {report.fitness / 1e6:.4f}, {report.reason.name.lower()}"
            return attempt(ledger, submission, reveal, said), None
        return "", found.deadline + 1

    def _seal(self, story: Story, found: Submission, now: int) -> tuple[str, int | None]:
        window = expect_task(self._ledger, story.task).conditions.report_window
        last_try = found.deadline - window // 2
        try:
            report = self._report(story, patient=now < last_try)
        except BlobMissing as error:
            if now < last_try:
                return "", last_try  # it may be on its way
            report = self._keep(story, refused(Reason.UNOPENABLE, error))
        ledger, submission = self._ledger, story.submission
        promise = seal(submission, self._account.address, report, self._salt(story))
        act = partial(ledger.seal_report, submission, promise)
        return attempt(ledger, submission, act, "sealed its report"), None

    def _report(self, story: Story, *, patient: bool) -> Report:
        """What this verifier found; measured once, so that it reveals what it has sealed."""
        for entry in self._found:
            if entry["submission"] == story.submission.hex():
                return Report(entry["fitness"], Reason(entry["reason"]))
        history, story = read_story(self._ledger, story)
        return self._keep(story, self.examine(history, story, patient=patient))

    def _keep(self, story: Story, fitness: Fitness) -> Report:
        entry = asdict(fitness.report) | {"submission": story.submission.hex()}
        self._found.append(entry | {"finding": fitness.finding})
        return fitness.report

    def _salt(self, story: Story) -> bytes:
        market = address_bytes(self._ledger.address)
        return self._account.derive_secret(b"bcfl market salt/" + market + story.submission)
