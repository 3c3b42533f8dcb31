"""The layers on top of the frozen feature extractors: h = φ(A·f_c), y = softmax(B·h).

f_c is what the models' penultimate layers put out, concatenated in the order in which the
models joined. dim(h) is the sum of the models' output sizes.
PROTOCOL, System B, fusion; arXiv 1807.02515, fig. 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bcfl.core.errors import ModelError
from bcfl.market.models.features import deterministic

#: φ. **[reading]** the article leaves it open. ELU is the default: it passes on what a model
#: holds against a class, which ReLU cuts off, and does not flatten confidence as tanh does.
ACTIVATIONS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "elu": functional.elu,
    "relu": functional.relu,
    "tanh": torch.tanh,
}


@dataclass(frozen=True, slots=True)
class FusionLayers:
    """A and B, each with a bias. All arrays are float64.

    Parameters
    ----------
    activation : str
        φ, a key of ``ACTIVATIONS``.
    widths : tuple of int
        How many features each model brings.
    hidden_weight : (hidden, sum of widths)
        A. Under strategy II its blocks above the diagonal are zero.
    hidden_bias : (hidden,)
    output_weight : (classes, hidden)
        B.
    output_bias : (classes,)

    Raises
    ------
    ModelError
        The arrays do not fit each other, or are not finite.
    """

    activation: str
    widths: tuple[int, ...]
    hidden_weight: NDArray[np.float64]
    hidden_bias: NDArray[np.float64]
    output_weight: NDArray[np.float64]
    output_bias: NDArray[np.float64]

    def __post_init__(self) -> None:
        classes, hidden = self.output_weight.shape
        expected = {
            "hidden_weight": (hidden, sum(self.widths)),
            "hidden_bias": (hidden,),
            "output_weight": (classes, len(self.widths) * classes),
            "output_bias": (classes,),
        }
        for name, shape in expected.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != np.float64 or not np.isfinite(array).all():
                raise ModelError(
                    f"{name} of {len(self.widths)} fused models is finite float64 {shape}; "
                    f"found {array.dtype} {array.shape}"
                )

    @property
    def classes(self) -> int:
        """How many logits come out."""
        return len(self.output_bias)

    def hidden(self, features: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """What A puts out, φ(A·f_c): (count, hidden).

        Parameters
        ----------
        features : sequence of float64, (count, width)
            Each model's, in joining order.
        """
        found = tuple(part.shape[1] for part in features)
        if found != self.widths:
            raise ModelError(f"the fused models put out {self.widths} features; found {found}")
        with deterministic():
            joint = torch.from_numpy(np.concatenate(features, axis=1))
            bias, weight = torch.from_numpy(self.hidden_bias), torch.from_numpy(self.hidden_weight)
            return ACTIVATIONS[self.activation](torch.addmm(bias, joint, weight.T)).numpy()

    def logits(self, features: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """B·h: (count, classes); y is its softmax, and has the same largest entry."""
        with deterministic():
            hidden = torch.from_numpy(self.hidden(features))
            bias, weight = torch.from_numpy(self.output_bias), torch.from_numpy(self.output_weight)
            return torch.addmm(bias, hidden, weight.T).numpy()
