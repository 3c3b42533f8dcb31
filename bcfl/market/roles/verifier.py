"""The verification contributor: drawn by lot, it opens, fuses, measures and reports.

PROTOCOL, System B, verification contributor and contract event 1. How it comes to what it
reports is ``examination``'s; when it does is here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from bcfl.core.errors import BlobMissing
from bcfl.files import Journal
from bcfl.keys.accounts import Account
from bcfl.market.contract.ledger import MarketLedger
from bcfl.market.judging.fitness import Fitness
from bcfl.market.roles.examination import Examiner
from bcfl.market.roles.history import History, Story, read_history, read_story, state_of
from bcfl.market.roles.opening import address_bytes
from bcfl.market.roles.turn import Diary, Turn, attempt, earliest, settle, short
from bcfl.market.spec.architecture import DEFAULT_LIMITS, Limits
from bcfl.market.spec.report import Reason, Report, seal
from bcfl.market.spec.terms import MarketPhase, Submission
from bcfl.store.blob_store import BlobStore

__all__ = ["Verifier"]


class Verifier:
    """One account's seats on panels (:class:`bcfl.market.roles.turn.Role`).

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
        self._account = account
        self._found = Journal(folder / "reports.jsonl")
        self._examiner = Examiner(store, account, limits)

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
        """Report on what there is to judge, the most urgent first; settle what is overdue.

        Finished once it is no verifier any more and no panel waits for it.
        """
        diary = Diary()
        seats = self._seats()
        for story, found in sorted(seats, key=lambda each: each[1].deadline):
            wake: int | None = found.deadline + 1
            with diary.about(story.submission):
                deed, wake = self._act(diary, story)
                if deed:
                    diary.deeds.append(f"{deed} ({short(story.submission)})")
            diary.wake = earliest(diary.wake, wake)
        registered = self._ledger.account_of(self._account.address).is_registered
        return diary.turn(finished=not seats and not registered)

    def _seats(self) -> list[tuple[Story, Submission]]:
        pending = read_history(self._ledger).pending()
        found = [(story, state_of(self._ledger, story)) for story in pending]
        return [each for each in found if each[1].seat_of(self._account.address) is not None]

    def examine(self, history: History, story: Story, *, patient: bool) -> Fitness:
        """See :meth:`bcfl.market.roles.examination.Examiner.examine`."""
        return self._examiner.examine(history, story, patient=patient)

    def _act(self, diary: Diary, story: Story) -> tuple[str, int | None]:
        """What was done, and when there is more to do although nobody else does anything."""
        found = state_of(self._ledger, story)  # others of this turn may have taken long
        seat, now = found.seat_of(self._account.address), self._ledger.now()
        if seat is None or found.phase.is_final:
            return "", None
        if now > found.deadline:
            return settle(self._ledger, story.submission, found), None
        bit = 1 << seat
        if found.phase is MarketPhase.SEAL and not found.sealed & bit:
            return self._seal(diary, story, found, now)
        if found.phase is MarketPhase.REVEAL and found.sealed & bit and not found.revealed & bit:
            return self._reveal(story, found), None
        return "", found.deadline + 1

    def _seal(
        self, diary: Diary, story: Story, found: Submission, now: int
    ) -> tuple[str, int | None]:
        history, story = read_story(self._ledger, story)
        window = history.launched[story.task].conditions.report_window
        last_try = found.deadline - window // 2
        try:
            report, finding = self._report(history, story, patient=now < last_try)
        except BlobMissing as error:
            diary.troubles.append(f"{error} It may be on its way ({short(story.submission)})")
            return "", last_try
        promise = seal(story.submission, self._account.address, report, self._salt(story))
        act = partial(self._ledger.seal_report, story.submission, promise)
        return self._attempt(story, found, act, f"sealed its report: {finding}"), None

    def _reveal(self, story: Story, found: Submission) -> str:
        history, story = read_story(self._ledger, story)
        # patience is over: had the report been lost, what is missing now was missing then
        report, _ = self._report(history, story, patient=False)
        reveal = partial(self._ledger.reveal_report, story.submission, report, self._salt(story))
        said = f"reported {report.fitness / 1e6:.4f}, {report.reason.name.lower()}"
        return self._attempt(story, found, reveal, said)

    def _attempt(
        self, story: Story, found: Submission, act: Callable[[], object], deed: str
    ) -> str:
        return attempt(self._ledger, story.submission, found, act, deed)

    def _report(self, history: History, story: Story, *, patient: bool) -> tuple[Report, str]:
        """What this verifier found, and why: once, so that it reveals what it has sealed."""
        if (known := self._known(story)) is None:
            fitness = self.examine(history, story, patient=patient)
            entry = asdict(fitness.report) | {"market": self._ledger.address}
            self._found.append(
                entry | {"submission": story.submission.hex(), "finding": fitness.finding}
            )
            # read back: another process of this verifier may have been first
            known = self._known(story)
            assert known is not None
        return known

    def _known(self, story: Story) -> tuple[Report, str] | None:
        name = (self._ledger.address, story.submission.hex())
        for entry in self._found:
            if (entry["market"], entry["submission"]) == name:
                return Report(entry["fitness"], Reason(entry["reason"])), str(entry["finding"])
        return None

    def _salt(self, story: Story) -> bytes:
        market = address_bytes(self._ledger.address)
        return self._account.derive_secret(b"bcfl market salt/" + market + story.submission)
