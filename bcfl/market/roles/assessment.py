"""What a verifier, or the initiator, knows of a task: its papers, and the models fused so far.

Everything here follows from the chain and the store; it is kept because it is slow to make.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from bcfl.core.errors import ArchitectureError, ConfigurationError, ModelError
from bcfl.market.fusion.fused_model import FusedModel, outputs_for_task
from bcfl.market.judging.fitness import FitnessRules
from bcfl.market.roles.costs import expect_within
from bcfl.market.roles.description import (
    Description,
    fetch_description,
    fetch_fusion_part,
    fetch_verification_set,
)
from bcfl.market.roles.history import MarketHistory
from bcfl.market.spec.architecture import DEFAULT_LIMITS, Limits
from bcfl.market.spec.model_blob import TrainedModel
from bcfl.market.spec.terms import Task
from bcfl.market.verification_set import VerificationSet
from bcfl.store.blob_store import BlobStore

#: What numpy and torch raise over numbers and sizes that nobody foresaw.
BREAKDOWNS = (ArithmeticError, MemoryError, RuntimeError, ValueError)
_MOST_VERIFICATION_BYTES = 1 << 26
#: So many tasks are remembered: who verifies for ever meets many.
_KEPT = 8


class Assessment:
    """Descriptions, verification sets and fused models, by task.

    Parameters
    ----------
    limits : Limits
        A task that allows larger models is refused.
    """

    def __init__(self, store: BlobStore, limits: Limits = DEFAULT_LIMITS) -> None:
        self._store = store
        self._limits = limits
        self._description = lru_cache(_KEPT)(self._fetch_description)
        self._verification = lru_cache(_KEPT)(self._fetch_verification)
        self._fused: dict[int, tuple[list[bytes], FusedModel, VerificationSet]] = {}

    def description(self, history: MarketHistory, task: int) -> Description:
        """The task's description; raises as ``fetch_description`` and ``expect_within``."""
        launched = history.launched[task]
        return self._description(launched.description, launched.initiator)

    def expect_bearable(self, terms: Task) -> None:
        """Raise unless a task can be judged for here; as :meth:`description`, or CodecError."""
        description = self._description(terms.description, terms.initiator)
        longest = max(each.size_bytes for each in description.measuring)
        if longest > _MOST_VERIFICATION_BYTES:
            raise ConfigurationError(
                f"this task measures by {longest:,} bytes; here at most "
                f"{_MOST_VERIFICATION_BYTES:,} are fetched"
            )
        fetch_fusion_part(self._store, description, _MOST_VERIFICATION_BYTES)

    def verification(
        self, history: MarketHistory, task: int, number: int, key: bytes
    ) -> VerificationSet:
        """What submission ``number`` is judged by; raises as ``fetch_verification_set``."""
        return self._verification(self.description(history, task), number, key)

    def _fetch_description(self, digest: bytes, initiator: str) -> Description:
        found = fetch_description(self._store, digest, initiator)
        expect_within(found.fitness, self._limits)
        return found

    def _fetch_verification(
        self, description: Description, number: int, key: bytes
    ) -> VerificationSet:
        longest = _MOST_VERIFICATION_BYTES
        return fetch_verification_set(self._store, description, number, key, longest)

    def fuse(
        self,
        history: MarketHistory,
        task: int,
        models: Sequence[tuple[bytes, TrainedModel]],
        verification: VerificationSet,
    ) -> FusedModel:
        """These models (submission, model) as one; those fused before are not fused again.

        One that does not join counts as none, for everybody alike: a panel that bought it
        anyway must not keep the models after it from being judged, or used.
        """
        rules = self.description(history, task).fitness
        names = [name for name, _ in models]
        joined, fused, judged_by = self._fused.get(task, ([], FusedModel(), verification))
        if joined != names[: len(joined)] or judged_by is not verification:
            joined, fused = [], FusedModel()
        for name, model in models[len(joined) :]:
            fused = _join(fused, model, verification, rules)
            joined = [*joined, name]
        self._fused.pop(task, None)
        self._fused[task] = joined, fused, verification
        while len(self._fused) > _KEPT:
            del self._fused[next(iter(self._fused))]
        return fused


def _join(
    fused: FusedModel, model: TrainedModel, verification: VerificationSet, rules: FitnessRules
) -> FusedModel:
    try:
        outputs = outputs_for_task(model, verification, rules.limits)
        return fused.join(model, outputs, verification, rules.fusion)
    except (ArchitectureError, ModelError, *BREAKDOWNS):
        return fused
