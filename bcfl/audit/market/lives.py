"""A submission from its draw to its verdict: ``contracts/market_submissions.vy`` once more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bcfl.audit.market.outcomes import Outcomes
from bcfl.audit.market.state import WAITING, SubmissionState
from bcfl.chain.event import Event
from bcfl.keys.sealing import secret_commitment
from bcfl.market.contract import events as logged
from bcfl.market.spec.draw import HORIZON, draw_seed
from bcfl.market.spec.report import Reason
from bcfl.market.spec.terms import MarketPhase


class Lives(Outcomes):
    """What an event of a submission must have brought.

    Parameters
    ----------
    draw_delay : int
        What the contract was deployed with, blocks.
    hashes : mapping
        By number: the hashes of the blocks that draw; of one that is missing nothing is checked.
    """

    def __init__(self, draw_delay: int, hashes: Mapping[int, bytes]) -> None:
        super().__init__(draw_delay)
        self._hashes = hashes

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

    def _of_submission(self, submission: SubmissionState, event: Event) -> list[Event]:
        stuck = submission.phase in WAITING and submission.lapsed(event)
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

    def _bit(self, submission: SubmissionState, verifier: str) -> int:
        self._expect(verifier in submission.panel, "one who sits on the panel", verifier)
        return 1 << submission.panel.index(verifier)
