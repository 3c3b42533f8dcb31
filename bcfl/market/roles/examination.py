"""What a verifier does with a model before it reports: open, compare keys, fuse, measure.

PROTOCOL, System B, verification contributor. What makes a model fit is
``bcfl.market.judging.fitness``; what is checked before it is measured is here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bcfl.core.errors import (
    ArchitectureError,
    BlobMissing,
    CodecError,
    ConfigurationError,
    ModelError,
    SealError,
)
from bcfl.keys.accounts import Account
from bcfl.keys.sealing import check_share, secret_commitment
from bcfl.market.judging.fitness import Fitness, judge
from bcfl.market.roles.assessment import BREAKDOWNS, Assessment
from bcfl.market.roles.description import Description
from bcfl.market.roles.history import MarketHistory, SubmissionLog
from bcfl.market.roles.opening import fetch_offer, open_model, shared_in_the_clear
from bcfl.market.spec.architecture import DEFAULT_LIMITS, Limits
from bcfl.market.spec.model_blob import TrainedModel
from bcfl.market.spec.offer import MAX_GRANT_BYTES, ModelKeys, Offer, decode_grant
from bcfl.market.spec.report import Reason, Report
from bcfl.market.spec.terms import Task
from bcfl.market.verification_set import VerificationSet
from bcfl.store.blob_store import BlobStore

#: Longest sealed blob of keys or grants: what is in it, and a slot for each seat.
_MAX_SEALED_BYTES = MAX_GRANT_BYTES + (1 << 16)


class Examiner:
    """How one verifier examines what it is drawn for.

    Parameters
    ----------
    account : Account
        The verifier's, to which keys are sealed.
    limits : Limits
        The largest models that this machine is lent for.
    assessment : Assessment, optional
        What another examiner on the same store has fused already.
    """

    def __init__(
        self,
        store: BlobStore,
        account: Account,
        limits: Limits = DEFAULT_LIMITS,
        assessment: Assessment | None = None,
    ) -> None:
        self._store = store
        self._account = account
        self._assessment = assessment or Assessment(store, limits)

    def expect_bearable(self, terms: Task) -> None:
        """See :meth:`bcfl.market.roles.assessment.Assessment.expect_bearable`."""
        self._assessment.expect_bearable(terms)

    def examine(
        self, history: MarketHistory, submitted: SubmissionLog, *, patient: bool
    ) -> Fitness:
        """Open the model, check what payment will disclose, fuse, measure.

        Parameters
        ----------
        submitted : SubmissionLog
            Its contributor has shared the keys with a panel on which this verifier sits.
        patient : bool
            A blob that is missing may be on its way. Else it counts as one that there is not:
            of the submission, it is unopenable; of a model bought before, that model is none.

        Returns
        -------
        Fitness
            Whatever is wrong with the submission is a report, and no error.

        Raises
        ------
        BlobMissing
            If ``patient``: nothing is there yet under a digest that the chain names.
        """
        try:
            return self._examine(history, submitted, patient)
        except _Refused as refused:
            return Fitness(Report(0, refused.reason), str(refused))

    def _examine(self, history: MarketHistory, submitted: SubmissionLog, patient: bool) -> Fitness:
        missing = () if patient else (BlobMissing,)
        # whatever the initiator has to bring: a junk report would cost the contributor its stake
        with _refusing(
            Reason.UNGRANTED, ConfigurationError, CodecError, SealError, *missing, *BREAKDOWNS
        ):
            description = self._assessment.description(history, submitted.task)
            granted = self._granted(submitted)
            verification = self._verification(history, submitted, description, granted)
        with _refusing(Reason.UNOPENABLE, CodecError, SealError, *missing):
            offer, keys = fetch_offer(self._store, submitted), self._keys(submitted)
            if objection := _mismatch(history, submitted, offer, keys, description):
                return Fitness(Report(0, Reason.KEY_MISMATCH), objection)
        with (
            _refusing(Reason.MALFORMED, ArchitectureError, CodecError, ModelError),
            _refusing(Reason.UNOPENABLE, SealError, *missing),
        ):
            model = open_model(self._store, submitted, offer, keys, description.limits)
        models = self._bought(submitted, history, description, granted, patient)
        # a verifier that crashes here loses its bond to whoever found out how; whether it is the
        # model's fault or the machine's nobody can say, so it is no junk
        with _refusing(Reason.MEASURED, *BREAKDOWNS):
            accepted = self._assessment.fuse(history, submitted.task, models, verification)
            return judge(model, accepted, verification, description.fitness)

    def _granted(self, submitted: SubmissionLog) -> dict[bytes, bytes]:
        if submitted.opening is None:
            # the chain's state says otherwise: a node that has not heard of the newest events
            raise BlobMissing("expected the initiator's grant to the panel; found none yet")
        sealed = self._store.get(submitted.opening, _MAX_SEALED_BYTES)
        return decode_grant(self._account.unseal(sealed))

    def _verification(
        self,
        history: MarketHistory,
        submitted: SubmissionLog,
        description: Description,
        granted: dict[bytes, bytes],
    ) -> VerificationSet:
        digest = description.measuring_set(submitted.number).digest
        if digest not in granted:
            raise CodecError(f"expected the key of the measuring set {digest.hex()}; found none")
        return self._assessment.verification(
            history, submitted.task, submitted.number, granted[digest]
        )

    def _keys(self, submitted: SubmissionLog) -> ModelKeys:
        if submitted.keys is None:
            # the chain's state says otherwise: a node that has not heard of the newest events
            raise BlobMissing("expected the contributor's keys for the panel; found none yet")
        sealed = self._store.get(submitted.keys, _MAX_SEALED_BYTES)
        return ModelKeys.decode(self._account.unseal(sealed))

    def _bought(
        self,
        submitted: SubmissionLog,
        history: MarketHistory,
        description: Description,
        granted: dict[bytes, bytes],
        patient: bool,
    ) -> list[tuple[bytes, TrainedModel]]:
        """What was bought before. What the initiator has lost, or nobody has, counts as none."""
        models: list[tuple[bytes, TrainedModel]] = []
        for digest in submitted.bought_before:
            known = history.submissions[digest]
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
        return models


def _mismatch(
    history: MarketHistory,
    submitted: SubmissionLog,
    offer: Offer,
    keys: ModelKeys,
    description: Description,
) -> str:
    """Why what payment discloses would not open this model; empty where it would."""
    if secret_commitment(keys.secret) != submitted.key_commitment:
        return "the secret that was shared is not the one that was committed to"
    if history.launched[submitted.task].rules.members_only:
        if not check_share(offer.share, keys.shared, description.initiator_key):
            return "the initiator's share does not open to what was shared"
    elif offer.share != keys.shared:
        return "the share that was published is not the one that was shared"
    return ""


class _Refused(Exception):
    """What keeps a submission from being measured, for its report."""

    def __init__(self, reason: Reason, error: BaseException) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.reason = reason


@contextmanager
def _refusing(reason: Reason, *errors: type[Exception]) -> Iterator[None]:
    """Inside, these errors are reported for that reason."""
    try:
        yield
    except errors as error:
        raise _Refused(reason, error) from error
