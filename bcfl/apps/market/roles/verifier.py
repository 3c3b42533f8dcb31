"""The verification contributor: drawn by lot, it opens, fuses, measures and reports.

PROTOCOL, System B, verification contributor and contract event 1. What makes a model fit is
``bcfl.apps.market.fitness``; what is checked before it is measured is here.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from bcfl.adapters.accounts import Account
from bcfl.adapters.journal import Journal
from bcfl.adapters.sealing import check_share, secret_commitment
from bcfl.apps.market.fitness import Fitness, judge
from bcfl.apps.market.fused_model import FusedModel
from bcfl.apps.market.roles.assessment import Assessment
from bcfl.apps.market.roles.description import Description
from bcfl.apps.market.roles.history import History, Story, expect_task, read_history, state_of
from bcfl.apps.market.roles.opening import (
    address_bytes,
    fetch_offer,
    open_model,
    shared_in_the_clear,
)
from bcfl.apps.market.roles.turn import Turn, attempt, earliest, short
from bcfl.core.architecture import DEFAULT_LIMITS, Limits
from bcfl.core.errors import (
    ArchitectureError,
    BcflError,
    BlobMissing,
    CodecError,
    ConfigurationError,
    ModelError,
    SealError,
)
from bcfl.core.market import MarketPhase, Submission
from bcfl.core.market_offer import MAX_GRANT_BYTES, ModelKeys, Offer, decode_grant
from bcfl.core.market_report import Reason, Report, seal
from bcfl.core.model_blob import TrainedModel
from bcfl.ports.blob_store import BlobStore
from bcfl.ports.market_ledger import MarketLedger

__all__ = ["Verifier"]

#: Longest sealed blob of keys or grants: what is in it, and a slot for each seat.
_MAX_SEALED_BYTES = MAX_GRANT_BYTES + (1 << 16)


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
        self._assessment = Assessment(store, limits)

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
            deed, due = self._act(history, story, found, seat)
            if deed:
                deeds.append(f"{deed} ({short(story.submission)})")
            wake = earliest(wake, due)
        return Turn(tuple(deeds), wake)

    def examine(self, history: History, story: Story) -> Fitness:
        """Open the model, check what payment will disclose, fuse, measure.

        Parameters
        ----------
        history : History
        story : Story
            Its contributor has shared the keys with a panel on which this verifier sits.

        Returns
        -------
        Fitness
            Whatever is wrong with the submission is a report, and no error.

        Raises
        ------
        BlobMissing
            Nothing is there yet, or no longer, under a digest that the chain names.
        """
        try:
            description = self._assessment.description(history, story.task)
            verification = self._assessment.verification(history, story.task)
        except (ConfigurationError, CodecError) as error:
            # the initiator's fault, or this machine's limits: it pays for the report, all the same
            return _refused(Reason.UNOPENABLE, error)
        try:
            offer, keys = fetch_offer(self._store, story), self._keys(story)
        except (CodecError, SealError) as error:
            return _refused(Reason.UNOPENABLE, error)
        if objection := self._mismatch(story, offer, keys, description):
            return Fitness(Report(0, Reason.KEY_MISMATCH), objection)
        try:
            model = open_model(self._store, story, offer, keys, description.limits)
        except SealError as error:
            return _refused(Reason.UNOPENABLE, error)
        except (ArchitectureError, CodecError, ModelError) as error:
            return _refused(Reason.MALFORMED, error)
        accepted = self._accepted(history, story, description)
        return judge(model, accepted, verification, description.fitness)

    def _act(
        self, history: History, story: Story, found: Submission, seat: int
    ) -> tuple[str, int | None]:
        """What was done, and when there is more to do although nobody else does anything."""
        now, bit = self._ledger.now(), 1 << seat
        if now > found.deadline:
            settled = attempt(
                self._ledger, story.submission, lambda: self._ledger.settle(story.submission)
            )
            return "settled what was overdue" if settled else "", None
        if found.phase is MarketPhase.SEAL and not found.sealed & bit:
            return self._seal(history, story, found, now)
        if found.phase is MarketPhase.REVEAL and found.sealed & bit and not found.revealed & bit:
            report = self._report(history, story)
            self._ledger.reveal_report(story.submission, report, self._salt(story))
            return f"reported {report.fitness / 1e6:.4f}, {report.reason.name.lower()}", None
        return "", found.deadline + 1

    def _seal(
        self, history: History, story: Story, found: Submission, now: int
    ) -> tuple[str, int | None]:
        window = expect_task(self._ledger, story.task).conditions.report_window
        last_try = found.deadline - window // 2
        try:
            report = self._report(history, story)
        except BlobMissing as error:
            if now < last_try:
                return "", last_try  # it may be on its way
            report = self._keep(story, _refused(Reason.UNOPENABLE, error))
        promise = seal(story.submission, self._account.address, report, self._salt(story))
        self._ledger.seal_report(story.submission, promise)
        return "sealed its report", None

    def _report(self, history: History, story: Story) -> Report:
        """What this verifier found; measured once, so that it reveals what it has sealed."""
        for entry in self._found:
            if entry["submission"] == story.submission.hex():
                return Report(entry["fitness"], Reason(entry["reason"]))
        return self._keep(story, self.examine(history, story))

    def _keep(self, story: Story, fitness: Fitness) -> Report:
        entry = asdict(fitness.report) | {"submission": story.submission.hex()}
        self._found.append(entry | {"finding": fitness.finding})
        return fitness.report

    def _salt(self, story: Story) -> bytes:
        market = address_bytes(self._ledger.address)
        return self._account.derive_secret(b"bcfl market salt/" + market + story.submission)

    def _keys(self, story: Story) -> ModelKeys:
        if story.keys is None:
            raise CodecError("the contributor has shared no keys")
        sealed = self._store.get(story.keys, _MAX_SEALED_BYTES)
        return ModelKeys.decode(self._account.unseal(sealed))

    def _mismatch(
        self, story: Story, offer: Offer, keys: ModelKeys, description: Description
    ) -> str:
        """Why what payment discloses would not open this model; empty where it would."""
        if secret_commitment(keys.secret) != story.key_commitment:
            return "the secret that was shared is not the one that was committed to"
        if expect_task(self._ledger, story.task).rules.members_only:
            if not check_share(offer.share, keys.shared, description.initiator_key):
                return "the initiator's share does not open to what was shared"
        elif offer.share != keys.shared:
            return "the share that was published is not the one that was shared"
        return ""

    def _accepted(self, history: History, story: Story, description: Description) -> FusedModel:
        """What was bought before. What the initiator keeps back, or nobody has, counts as none."""
        granted = self._granted(story)
        models: list[tuple[bytes, TrainedModel]] = []
        for digest in story.bought_before:
            known = history.stories[digest]
            assert known.secret is not None
            try:
                offer = fetch_offer(self._store, known)
                shared = granted[digest] if digest in granted else shared_in_the_clear(offer)
                keys = ModelKeys(shared, known.secret)
                model = open_model(self._store, known, offer, keys, description.limits)
            except (BlobMissing, SealError, CodecError, ArchitectureError, ModelError):
                continue
            models.append((digest, model))
        return self._assessment.fuse(history, story.task, models)

    def _granted(self, story: Story) -> dict[bytes, bytes]:
        if story.models is None:
            return {}
        try:
            sealed = self._store.get(story.models, _MAX_SEALED_BYTES)
            return decode_grant(self._account.unseal(sealed))
        except (BlobMissing, SealError, CodecError):
            return {}


def _refused(reason: Reason, error: BcflError) -> Fitness:
    return Fitness(Report(0, reason), str(error))
