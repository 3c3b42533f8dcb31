"""What a verifier finds out before it votes: does it open, will payment open it, is it fit.

PROTOCOL, System B, verification contributor; ``bcfl.core.market``, "How a model is opened".
"""

from __future__ import annotations

from typing import Final

from bcfl.adapters.accounts import Account
from bcfl.adapters.sealing import check_share, secret_commitment
from bcfl.apps.market.fitness import Fitness, judge
from bcfl.apps.market.fused_model import FusedModel
from bcfl.apps.market.roles.assessment import Assessment
from bcfl.apps.market.roles.description import Description
from bcfl.apps.market.roles.history import History, Story, expect_task
from bcfl.apps.market.roles.opening import fetch_offer, open_model, shared_in_the_clear
from bcfl.core.architecture import Limits
from bcfl.core.errors import (
    ArchitectureError,
    BlobMissing,
    CodecError,
    ConfigurationError,
    ModelError,
    SealError,
)
from bcfl.core.market_offer import MAX_GRANT_BYTES, ModelKeys, Offer, decode_grant
from bcfl.core.market_report import Reason, Report
from bcfl.core.model_blob import TrainedModel
from bcfl.ports.blob_store import BlobStore
from bcfl.ports.market_ledger import MarketLedger

__all__ = ["Examiner", "refused"]

#: What torch and NumPy raise for a model that this machine cannot run. A verifier that died of
#: it would lose its bond, and leave the others of its panels without it.
_UNRUNNABLE: Final = (RuntimeError, ArithmeticError, ValueError, MemoryError)
#: Longest sealed blob of keys or grants: what is in it, and a slot for each seat.
_MAX_SEALED_BYTES: Final = MAX_GRANT_BYTES + (1 << 16)


class Examiner:
    """Reads what the other roles have left in the store for one verifier.

    Parameters
    ----------
    ledger : MarketLedger
    store : BlobStore
    account : Account
        The verifier's: keys and grants are sealed to it.
    limits : Limits
        The largest models that this machine is lent for.
    """

    def __init__(
        self, ledger: MarketLedger, store: BlobStore, account: Account, limits: Limits
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._account = account
        self._assessment = Assessment(store, limits)

    def examine(self, history: History, story: Story, *, patient: bool) -> Fitness:
        """Open the model, check what payment will disclose, fuse, measure.

        Parameters
        ----------
        history : History
        story : Story
            Its contributor has shared the keys with a panel on which this verifier sits.
        patient : bool
            Whether a model bought before that is not there is waited for, or counts as none.

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
            return refused(Reason.UNOPENABLE, error)
        try:
            offer, keys = fetch_offer(self._store, story), self._keys(story)
        except (CodecError, SealError) as error:
            return refused(Reason.UNOPENABLE, error)
        if objection := self._mismatch(story, offer, keys, description):
            return Fitness(Report(0, Reason.KEY_MISMATCH), objection)
        try:
            model = open_model(self._store, story, offer, keys, description.limits)
        except SealError as error:
            return refused(Reason.UNOPENABLE, error)
        except (ArchitectureError, CodecError, ModelError) as error:
            return refused(Reason.MALFORMED, error)
        accepted = self._accepted(history, story, description, patient=patient)
        try:
            return judge(model, accepted, verification, description.fitness)
        except _UNRUNNABLE as error:
            return refused(Reason.MALFORMED, error)

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

    def _accepted(
        self, history: History, story: Story, description: Description, *, patient: bool
    ) -> FusedModel:
        """What was bought before. What the initiator keeps back, or nobody has, counts as none."""
        granted = self._granted(story, patient=patient)
        models: list[tuple[bytes, TrainedModel]] = []
        for digest in story.bought_before:
            known = history.stories[digest]
            assert known.secret is not None
            try:
                offer = fetch_offer(self._store, known)
                shared = granted[digest] if digest in granted else shared_in_the_clear(offer)
                keys = ModelKeys(shared, known.secret)
                model = open_model(self._store, known, offer, keys, description.limits)
            except BlobMissing:
                if patient:
                    raise
                continue
            except (SealError, CodecError, ArchitectureError, ModelError):
                continue
            models.append((digest, model))
        return self._assessment.fuse(history, story.task, models)

    def _granted(self, story: Story, *, patient: bool) -> dict[bytes, bytes]:
        if story.models is None:
            return {}
        try:
            sealed = self._store.get(story.models, _MAX_SEALED_BYTES)
            return decode_grant(self._account.unseal(sealed))
        except BlobMissing:
            if patient:
                raise
            return {}
        except (SealError, CodecError):
            return {}


def refused(reason: Reason, error: Exception) -> Fitness:
    """The report on a model that could not be measured."""
    return Fitness(Report(0, reason), str(error) or type(error).__name__)
