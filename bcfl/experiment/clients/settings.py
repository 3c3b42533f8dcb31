"""What a client has to know of an experiment: frozen, picklable, free of Hydra.

The values live in ``conf/``; these classes hold the schema and refuse what is out of range.
Ray hands them to its workers, so this module imports nothing that is slow to import.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from bcfl.core.errors import expect

__all__ = ["ModelSettings", "TrainingSettings"]

MODEL_KINDS = ("cnn", "mlp", "logistic")


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Which network to build, for which images.

    Parameters
    ----------
    kind : {"cnn", "mlp", "logistic"}
        ``cnn`` is convolution blocks and a linear layer, ``mlp`` linear layers alone,
        ``logistic`` one linear layer.
    shape : (int, int, int)
        Channels, height and width of an image.
    classes : int
        Number of labels, at least 2.
    widths : tuple of int
        Channels of each convolution block, or units of each hidden layer.
    pool : tuple of bool
        Per convolution block, whether max-pooling halves height and width after it.
    group_norm : bool
        Whether each convolution is followed by GroupNorm.
    """

    kind: str
    shape: tuple[int, int, int]
    classes: int
    widths: tuple[int, ...] = ()
    pool: tuple[bool, ...] = ()
    group_norm: bool = False

    def __post_init__(self) -> None:
        expect(self.kind in MODEL_KINDS, "model.kind", f"one of {MODEL_KINDS}", self.kind)
        expect(prod(self.shape) > 0, "image shape", "three positive sizes", self.shape)
        expect(self.classes >= 2, "classes", "at least 2", self.classes)
        expect(all(w > 0 for w in self.widths), "model.widths", "positive", self.widths)
        if self.kind == "cnn":
            self._expect_blocks()

    def _expect_blocks(self) -> None:
        expect(
            0 < len(self.widths) == len(self.pool),
            "model.pool",
            f"one true or false for each of model.widths={list(self.widths)}",
            list(self.pool),
        )
        side = min(self.shape[1:]) >> sum(self.pool)
        expect(
            side > 0,
            "model.pool",
            f"few enough halvings for images of {self.shape[1]}×{self.shape[2]}",
            list(self.pool),
        )


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How one client trains in one round: plain SGD with momentum, begun afresh each round.

    Parameters
    ----------
    local_epochs : int
        Passes over the client's own training images, at least 1.
    batch_size : int
        Images a step, at least 1; the last batch of a pass may be smaller.
    learning_rate : float
        Step size, positive.
    momentum : float
        In [0, 1).
    weight_decay : float
        L2 penalty, at least 0.
    """

    local_epochs: int
    batch_size: int
    learning_rate: float
    momentum: float
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        expect(self.local_epochs >= 1, "training.local_epochs", "at least 1", self.local_epochs)
        expect(self.batch_size >= 1, "training.batch_size", "at least 1", self.batch_size)
        expect(
            0 < self.learning_rate < float("inf"),
            "training.learning_rate",
            "a positive number",
            self.learning_rate,
        )
        expect(0 <= self.momentum < 1, "training.momentum", "in [0, 1)", self.momentum)
        expect(self.weight_decay >= 0, "training.weight_decay", "at least 0", self.weight_decay)
