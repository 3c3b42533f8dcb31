"""How to fuse: the knobs of strategies I and II.

The defaults were chosen on other splits of MNIST's test images than those of the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bcfl.apps.market.fusion_layers import ACTIVATIONS
from bcfl.core.errors import ConfigurationError

__all__ = ["FusionSettings"]


@dataclass(frozen=True, slots=True)
class FusionSettings:
    """How to fuse; all verifiers of a task use the same.

    Raises
    ------
    ConfigurationError
        A setting is out of its range.
    """

    strategy: Literal["I", "II"] = "II"
    activation: str = "elu"  #: φ, a key of ``ACTIVATIONS``
    steps: int = 200  #: of Adam, each on all samples of the fusion part
    learning_rate: float = 0.01  #: of the first step; falls to 0 along a half cosine
    decay: float = 1.0  #: towards the start (II) or zero (I), times the learning rate, each step
    smoothing: float = 0.1  #: share of each label that is spread over all classes
    old_columns: Literal["relearn", "train", "keep"] = "relearn"  #: of B, strategy II
    seed: int = 0  #: of strategy I's random start; strategy II draws nothing

    def __post_init__(self) -> None:
        for name, valid, expected in (
            ("strategy", self.strategy in ("I", "II"), '"I" or "II"'),
            ("activation", self.activation in ACTIVATIONS, f"one of {', '.join(ACTIVATIONS)}"),
            ("steps", self.steps >= 1, "at least 1"),
            ("learning_rate", 0 < self.learning_rate < 1, "in (0, 1)"),
            ("decay", 0 <= self.decay * self.learning_rate < 1, "in [0, 1 / learning_rate)"),
            ("smoothing", 0 <= self.smoothing < 1, "in [0, 1)"),
            (
                "old_columns",
                self.old_columns in ("relearn", "train", "keep"),
                '"relearn", "train" or "keep"',
            ),
            ("seed", 0 <= self.seed < 2**63, "in [0, 2**63)"),
        ):
            if not valid:
                found = getattr(self, name)
                raise ConfigurationError(f"fusion.{name}: expected {expected}; found {found!r}")
