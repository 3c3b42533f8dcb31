"""What a client has to know of an experiment: frozen, picklable, free of Hydra.

The values live in ``conf/``; these classes hold the schema, which ``read_settings`` checks.
Ray hands them to its workers, so this module imports nothing that is slow to import.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from bcfl.core.errors import expect

#: The reply's ConfigRecord in which a simulated client says which partition it is.
SENDER_KEY = "sender"


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Which network to build (see ``conf/model``), for which images.

    Parameters
    ----------
    kind : {"cnn", "mlp", "logistic"}
        ``cnn`` is convolution blocks and a linear layer, ``mlp`` linear layers alone,
        ``logistic`` one linear layer.
    shape : (int, int, int)
        Channels, height and width of an image.
    classes : int
        Number of labels.
    """

    kind: Literal["cnn", "mlp", "logistic"]
    shape: tuple[int, int, int]
    classes: Annotated[int, Field(ge=2)]
    widths: tuple[Annotated[int, Field(gt=0)], ...] = ()
    pool: tuple[bool, ...] = ()
    group_norm: bool = False

    def __post_init__(self) -> None:
        if self.kind != "cnn":
            return
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
    """How one client trains in one round, by SGD with momentum: see ``conf/training``."""

    local_epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
