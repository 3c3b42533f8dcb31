"""The initiator: ask, grant, take what was paid for, and make it one model.

PROTOCOL, System B, initiator and "after payment".
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from bcfl.amounts import in_ether
from bcfl.core.errors import (
    ArchitectureError,
    BlobMissing,
    CodecError,
    ConfigurationError,
    ContractReverted,
    ModelError,
    SealError,
)
from bcfl.keys.sealing import seal_for
from bcfl.market.fusion.fused_model import FusedModel
from bcfl.market.roles.access import Session
from bcfl.market.roles.assessment import Assessment
from bcfl.market.roles.description import measuring_key
from bcfl.market.roles.history import (
    MarketHistory,
    SubmissionLog,
    expect_task,
    read_history,
)
from bcfl.market.roles.opening import fetch_offer, open_model, shared_in_the_clear
from bcfl.market.roles.turn import Pending, Role, Turn, TurnLog, earliest
from bcfl.market.spec.model_blob import TrainedModel
from bcfl.market.spec.offer import ModelKeys, Offer, encode_grant
from bcfl.market.spec.terms import MarketPhase


class Initiator(Role):
    """One account's task.

    Raises
    ------
    ConfigurationError
        There is no such task, or somebody else launched it.
    """

    def __init__(self, session: Session, task: int) -> None:
        super().__init__(session)
        self.task = task
        self.lost: dict[bytes, str] = {}  #: bought, and not to be opened any more: why
        self._assessment = Assessment(session.store)
        initiator = expect_task(self._ledger, task).initiator
        if initiator != self._account.address:
            raise ConfigurationError(
                f"task {task} was launched by {initiator}; this account is {self._account.address}"
            )

    def turn(self) -> Turn:
        """Draw, grant, settle what is overdue; once the task is closed, take what is left of it."""
        log = TurnLog(self._ledger)
        for submitted in read_history(self._ledger).pending(self.task):
            log.act(submitted, partial(self._act, log))
        terms = expect_task(self._ledger, self.task)
        if not terms.is_closed(self._ledger.now()):
            log.wake = earliest(log.wake, terms.conditions.deadline + 1)
            return log.turn()
        if terms.free and self._collect():
            log.actions.append(f"collected what was left of the deposit: {in_ether(terms.free)}")
        if credit := self.withdraw():
            log.actions.append(f"withdrew {in_ether(credit)}")
        return log.turn(finished=not terms.pending and not log.actions)

    def _collect(self) -> bool:
        try:
            self._ledger.collect(self.task)
        except ContractReverted:
            if expect_task(self._ledger, self.task).free:
                raise
            return False  # anyone may, and somebody did
        return True

    def models(self, until: bytes = b"") -> list[tuple[bytes, TrainedModel]]:
        """What was paid for, in the order in which it was: (submission, model).

        What is not to be had any more, or was bought by a panel that did not care, is left
        out, as verifiers leave it out; ``lost`` says what and why.

        Parameters
        ----------
        until : bytes
            A submission: what was bought until then, itself included. Left out: everything.
        """
        history = read_history(self._ledger)
        found: list[tuple[bytes, TrainedModel]] = []
        self.lost = {}
        bought = history.bought[self.task]
        if until:
            judged = history.submissions[until]
            own = [until] if judged.outcome is MarketPhase.PAID else []
            bought = [*judged.bought_before, *own]
        for digest in bought:
            try:
                found.append((digest, self._open(history, history.submissions[digest])))
            except (BlobMissing, SealError, CodecError, ArchitectureError, ModelError) as error:
                self.lost[digest] = str(error)
        return found

    def fused(self, until: bytes = b"") -> FusedModel:
        """The models bought as one, see :meth:`models`; ``FusedModel()`` while there is none."""
        models, history = self.models(until), read_history(self._ledger)
        verification = self._assessment.verification(history, self.task, 1, self._key(history, 1))
        return self._assessment.fuse(history, self.task, models, verification)

    def _act(self, log: TurnLog, pending: Pending) -> str:
        match pending.found.phase:
            case MarketPhase.DRAW:
                return pending.draw(log)
            case MarketPhase.GRANT:
                return self._grant(pending)
        return ""

    def _key(self, history: MarketHistory, number: int) -> bytes:
        description = self._assessment.description(history, self.task)
        return measuring_key(self._account, description.measuring_set(number))

    def _grant(self, pending: Pending) -> str:
        history, submitted = pending.reread()
        readers = [history.public_keys[seat] for seat in pending.found.panel if seat is not None]
        sealed = self._assessment.description(history, self.task).measuring_set(submitted.number)
        opening = {sealed.digest: measuring_key(self._account, sealed)}
        members_only = history.launched[self.task].rules.members_only
        for digest in submitted.bought_before if members_only else ():
            # one that cannot be opened must not keep the task from going on
            with suppress(BlobMissing, SealError, CodecError):
                offer = fetch_offer(self._store, history.submissions[digest])
                opening[digest] = self._shared(offer)
        blob = self._store.put(seal_for(encode_grant(opening), readers))
        action = "opened to the panel what it measures by"
        return pending.attempt(action, self._ledger.grant, blob)

    def _shared(self, offer: Offer) -> bytes:
        if expect_task(self._ledger, self.task).rules.members_only:
            return self._account.open_share(offer.share)
        return shared_in_the_clear(offer)

    def _open(self, history: MarketHistory, submitted: SubmissionLog) -> TrainedModel:
        offer = fetch_offer(self._store, submitted)
        assert submitted.secret is not None
        keys = ModelKeys(self._shared(offer), submitted.secret)
        limits = self._assessment.description(history, self.task).limits
        return open_model(self._store, submitted, offer, keys, limits)
