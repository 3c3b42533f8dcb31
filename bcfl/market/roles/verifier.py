"""The verification contributor: drawn by lot, it opens, fuses, measures and reports.

PROTOCOL, System B, verification contributor and contract event 1. How it comes to what it
reports is ``examination``'s; when it does is here.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from bcfl.core.errors import BlobMissing
from bcfl.files import Journal
from bcfl.market.judging.fitness import Fitness
from bcfl.market.roles.access import Session
from bcfl.market.roles.examination import Examiner
from bcfl.market.roles.history import MarketHistory, SubmissionLog, read_history, state_of
from bcfl.market.roles.opening import address_bytes
from bcfl.market.roles.turn import Pending, Role, Turn, TurnLog, earliest, short_name
from bcfl.market.spec.report import Reason, Report, seal
from bcfl.market.spec.terms import MarketPhase

__all__ = ["Verifier"]


class Verifier(Role):
    """One account's seats on panels; its folder keeps what it found, until it may be said."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._found = Journal(session.folder / "reports.jsonl")
        self._examiner = Examiner(session.store, session.account)

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

    def turn(self) -> Turn:
        """Report on what there is to judge, the most urgent first; settle what is overdue.

        Finished once it is no verifier any more and no panel waits for it.
        """
        log, pending = TurnLog(self._ledger), read_history(self._ledger).pending()
        found = [(state_of(self._ledger, submitted), submitted) for submitted in pending]
        seats = [each for each in found if each[0].seat_of(self._account.address) is not None]
        for _, submitted in sorted(seats, key=lambda each: each[0].deadline):
            # its state is read again: the submissions before it may have taken long
            log.act(submitted, partial(self._act, log))
        registered = self._ledger.account_of(self._account.address).is_registered
        return log.turn(finished=not seats and not registered)

    def examine(
        self, history: MarketHistory, submitted: SubmissionLog, *, patient: bool
    ) -> Fitness:
        """See :meth:`bcfl.market.roles.examination.Examiner.examine`."""
        return self._examiner.examine(history, submitted, patient=patient)

    def _act(self, log: TurnLog, pending: Pending) -> str:
        found = pending.found
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
