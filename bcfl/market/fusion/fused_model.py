"""The models bought so far as one model, and its accuracy: what a newcomer has to join.

PROTOCOL, System B: "the models become one model".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bcfl.core.errors import ModelError
from bcfl.market.fusion.fusion import join
from bcfl.market.fusion.layers import FusionLayers
from bcfl.market.fusion.settings import FusionSettings
from bcfl.market.models.features import ModelOutputs, model_outputs
from bcfl.market.spec.architecture import DEFAULT_LIMITS, Limits
from bcfl.market.spec.model_blob import TrainedModel
from bcfl.market.verification_set import VerificationSet


@dataclass(frozen=True, slots=True)
class FusedModel:
    """Models in the order in which they joined, and the layers on top of them.

    Parameters
    ----------
    outputs : tuple of ModelOutputs
        Each model's, on the whole verification set.
    layers : FusionLayers or None
        None while there is no model.
    accuracy : float
        On the measuring part; 0 while there is no model.
    """

    models: tuple[TrainedModel, ...] = ()
    outputs: tuple[ModelOutputs, ...] = ()
    layers: FusionLayers | None = None
    accuracy: float = 0.0

    def join(
        self,
        model: TrainedModel,
        outputs: ModelOutputs,
        verification: VerificationSet,
        settings: FusionSettings,
    ) -> FusedModel:
        """The fused model with one more in it; this one stays as it is.

        Parameters
        ----------
        outputs : ModelOutputs
            From :func:`outputs_for_task`.
        """
        everyone = (*self.outputs, outputs)
        fusion_part, measuring_part = verification.parts()
        layers = join(
            self.layers,
            [each.at(fusion_part) for each in everyone],
            verification.labels[fusion_part],
            settings,
        )
        logits = layers.logits([each.features[measuring_part] for each in everyone])
        right = logits.argmax(axis=1) == verification.labels[measuring_part]
        return FusedModel((*self.models, model), everyone, layers, float(right.mean()))

    def logits(self, samples: NDArray[np.float32]) -> NDArray[np.float64]:
        """What the fused model says to samples of shape (count, *input_shape).

        Returns
        -------
        float64, (count, classes)
            y is its softmax, and has the same largest entry.

        Raises
        ------
        ModelError
            There is no model yet, or the samples are of another shape.
        """
        if self.layers is None:
            raise ModelError("a fused model has one model or more in it; found none")
        return self.layers.logits([model_outputs(each, samples).features for each in self.models])


def outputs_for_task(
    model: TrainedModel, verification: VerificationSet, limits: Limits = DEFAULT_LIMITS
) -> ModelOutputs:
    """Pass the whole verification set through a model, after a look whether it fits the task.

    Raises
    ------
    ArchitectureError
        The model is beyond ``limits``.
    ModelError
        It takes other samples or tells other classes apart than the task asks for, or what it
        puts out is not finite.
    """
    if model.architecture.classes != verification.classes:
        raise ModelError(
            f"the task has {verification.classes} classes; "
            f"the model puts out {model.architecture.classes}"
        )
    return model_outputs(model, verification.samples, limits)
