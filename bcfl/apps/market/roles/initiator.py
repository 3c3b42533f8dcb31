"""The initiator: ask, grant, take what was paid for, and make it one model.

PROTOCOL, System B, initiator and "after payment".
"""

from __future__ import annotations

from bcfl.adapters.accounts import Account
from bcfl.adapters.sealing import seal_for
from bcfl.apps.market.fused_model import FusedModel
from bcfl.apps.market.roles.assessment import Assessment
from bcfl.apps.market.roles.history import (
    History,
    Story,
    expect_task,
    read_history,
    read_story,
    state_of,
)
from bcfl.apps.market.roles.opening import fetch_offer, open_model, shared_in_the_clear
from bcfl.apps.market.roles.turn import Turn, attempt, earliest, short
from bcfl.core.architecture import DEFAULT_LIMITS, Limits
from bcfl.core.errors import ConfigurationError
from bcfl.core.market import MarketPhase, Submission, Task
from bcfl.core.market_offer import ModelKeys, Offer, encode_grant
from bcfl.core.model_blob import TrainedModel
from bcfl.ports.blob_store import BlobStore
from bcfl.ports.market_ledger import MarketLedger

__all__ = ["Initiator"]


class Initiator:
    """One account's task (:class:`bcfl.apps.market.roles.turn.Role`).

    Parameters
    ----------
    ledger : MarketLedger
        Sends from ``account``.
    store : BlobStore
    account : Account
        Who launched the task.
    task : int
    limits : Limits
        The largest models that this machine is lent for.

    Raises
    ------
    ConfigurationError
        There is no such task, or somebody else launched it.
    """

    def __init__(
        self,
        ledger: MarketLedger,
        store: BlobStore,
        account: Account,
        task: int,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._account = account
        self.task = task
        self._assessment = Assessment(store, limits)
        initiator = expect_task(ledger, task).initiator
        if initiator != account.address:
            raise ConfigurationError(
                f"task {task} was launched by {initiator}; this account is {account.address}"
            )

    def turn(self) -> Turn:
        """Grant, settle what is overdue; once the task is closed, take what is left of it."""
        history = read_history(self._ledger)
        deeds: list[str] = []
        wake: int | None = None
        for story in history.of_task(self.task):
            if story.outcome is not None:
                continue
            found = state_of(self._ledger, story)
            deed = self._act(story, found)
            if deed:
                deeds.append(f"{deed} ({short(story.submission)})")
            else:
                wake = earliest(wake, found.deadline + 1)
        terms = expect_task(self._ledger, self.task)
        if not self._is_closed(terms):
            return Turn(tuple(deeds), earliest(wake, terms.conditions.deadline + 1))
        if terms.free:
            self._ledger.collect(self.task)
            deeds.append(f"collected what was left of the deposit: {terms.free} wei")
        if credit := self._ledger.account_of(self._account.address).credit:
            self._ledger.withdraw()
            deeds.append(f"withdrew {credit} wei")
        return Turn(tuple(deeds), wake, finished=not terms.pending and not deeds)

    def models(self) -> list[tuple[bytes, TrainedModel]]:
        """What was paid for, in the order in which it was: (submission, model).

        Raises
        ------
        BlobError, CodecError
            A model that a panel could open is not to be had any more.
        """
        history = read_history(self._ledger)
        bought = [history.stories[digest] for digest in history.bought[self.task]]
        return [(story.submission, self._open(history, story)) for story in bought]

    def fused(self) -> FusedModel:
        """The models bought as one; ``FusedModel()`` while there is none."""
        models = self.models()
        return self._assessment.fuse(read_history(self._ledger), self.task, models)

    def _is_closed(self, terms: Task) -> bool:
        complete = terms.pending == 0 and terms.taken == terms.conditions.submissions
        return complete or self._ledger.now() > terms.conditions.deadline

    def _act(self, story: Story, found: Submission) -> str:
        ledger, submission = self._ledger, story.submission
        if ledger.now() > found.deadline:
            return attempt(
                ledger, submission, lambda: ledger.settle(submission), "settled what was overdue"
            )
        if found.phase is not MarketPhase.GRANT:
            return ""
        history, story = read_story(ledger, story)
        readers = [history.public_keys[seat] for seat in found.panel if seat is not None]
        shared = {
            digest: self._shared(fetch_offer(self._store, history.stories[digest]))
            for digest in story.bought_before
        }
        models = self._store.put(seal_for(encode_grant(shared), readers))
        return attempt(
            ledger,
            submission,
            lambda: ledger.grant(submission, models),
            "opened to the panel what was bought before",
        )

    def _shared(self, offer: Offer) -> bytes:
        if expect_task(self._ledger, self.task).rules.members_only:
            return self._account.open_share(offer.share)
        return shared_in_the_clear(offer)

    def _open(self, history: History, story: Story) -> TrainedModel:
        offer = fetch_offer(self._store, story)
        assert story.secret is not None
        keys = ModelKeys(self._shared(offer), story.secret)
        limits = self._assessment.description(history, self.task).limits
        return open_model(self._store, story, offer, keys, limits)
