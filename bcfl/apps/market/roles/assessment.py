"""What a verifier, or the initiator, knows of a task: its papers, and the models fused so far.

Everything here follows from the chain and the store; it is kept because it is slow to make.
"""

from __future__ import annotations

from collections.abc import Sequence

from bcfl.apps.market.fused_model import FusedModel, outputs_for_task
from bcfl.apps.market.roles.description import (
    Description,
    expect_within,
    fetch_description,
    fetch_verification_set,
)
from bcfl.apps.market.roles.history import History
from bcfl.apps.market.verification_set import VerificationSet
from bcfl.core.architecture import DEFAULT_LIMITS, Limits
from bcfl.core.model_blob import TrainedModel
from bcfl.ports.blob_store import BlobStore

__all__ = ["Assessment"]

_MOST_VERIFICATION_BYTES = 1 << 28


class Assessment:
    """Descriptions, verification sets and fused models, by task.

    Parameters
    ----------
    store : BlobStore
    limits : Limits
        A task that allows larger models is refused.
    """

    def __init__(self, store: BlobStore, limits: Limits = DEFAULT_LIMITS) -> None:
        self._store = store
        self._limits = limits
        self._descriptions: dict[bytes, Description] = {}
        self._verification: dict[bytes, VerificationSet] = {}
        self._fused: dict[int, tuple[list[bytes], FusedModel]] = {}

    def description(self, history: History, task: int) -> Description:
        """The task's description; raises as ``fetch_description`` and ``expect_within``."""
        digest = history.launched[task].description
        if digest not in self._descriptions:
            found = fetch_description(self._store, digest)
            expect_within(found.fitness, self._limits)
            self._descriptions[digest] = found
        return self._descriptions[digest]

    def verification(self, history: History, task: int) -> VerificationSet:
        """The task's verification set; raises as ``fetch_verification_set``."""
        digest = history.launched[task].description
        if digest not in self._verification:
            self._verification[digest] = fetch_verification_set(
                self._store, self.description(history, task), _MOST_VERIFICATION_BYTES
            )
        return self._verification[digest]

    def fuse(
        self, history: History, task: int, models: Sequence[tuple[bytes, TrainedModel]]
    ) -> FusedModel:
        """These models (submission, model) as one; those fused before are not fused again.

        Raises
        ------
        ArchitectureError, ModelError
            As ``outputs_for_task``; none for a model that a panel has measured.
        """
        description = self.description(history, task)
        verification = self.verification(history, task)
        names = [name for name, _ in models]
        joined, fused = self._fused.get(task, ([], FusedModel()))
        if joined != names[: len(joined)]:
            joined, fused = [], FusedModel()
        for name, model in models[len(joined) :]:
            outputs = outputs_for_task(model, verification, description.limits)
            fused = fused.join(model, outputs, verification, description.fitness.fusion)
            joined = [*joined, name]
        self._fused[task] = joined, fused
        return fused
