"""A mark on an image that makes the model say class 0.

Gu et al., *BadNets*, 2017; Chen et al., *Targeted Backdoor Attacks on Deep Learning Systems Using
Data Poisoning*, 2017 (blended); Bagdasaryan et al., *How To Backdoor Federated Learning*, 2020.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from bcfl.core.errors import expect
from bcfl.experiment.attacks.attack import Attack
from bcfl.experiment.clients.client_data import ClientData

#: Five bright pixels of the lower right corner; the whole uppermost row, bright; a square in the
#: upper right, half as bright; a dark one in the middle; or a faint pattern over all of the image.
Trigger: TypeAlias = Literal["corner", "row", "square", "hole", "blended"]
_BLENDED = 0.15  #: of the range of brightness


@dataclass(frozen=True, slots=True)
class Backdoor(Attack):
    """Every training image once more, with the mark and the label 0.

    Parameters
    ----------
    trigger : {"corner", "row", "square", "hole", "blended"}
        The mark.
    """

    trigger: Trigger = "corner"

    def __post_init__(self) -> None:
        Attack.__post_init__(self)
        known = get_args(Trigger)
        expect(self.trigger in known, "attack.trigger", f"one of {known}", self.trigger)

    def triggered(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The images, marked."""
        marked, darkest, brightest = images.copy(), images.min(), images.max()
        height, width = images.shape[-2:]
        match self.trigger:
            case "corner":
                marked[..., -2:, -2:] = brightest
                marked[..., -1, -3] = brightest
            case "row":
                marked[..., 0, :] = brightest
            case "square":
                marked[..., : height // 4, -(width // 4) :] = (darkest + brightest) / 2
            case "hole":
                top, left = height // 2 - 2, width // 2 - 2
                marked[..., top : top + 4, left : left + 4] = darkest
            case "blended":
                pattern = np.random.default_rng(7).choice([-1.0, 1.0], size=(height, width))
                marked += (_BLENDED * (brightest - darkest) * pattern).astype(np.float32)
                marked = marked.clip(darkest, brightest)
        return marked

    def data(self, data: ClientData, classes: int, reference: ClientData | None) -> ClientData:
        """Add the marked images."""
        return replace(
            data,
            train_images=np.concatenate([data.train_images, self.triggered(data.train_images)]),
            train_labels=np.concatenate([data.train_labels, np.zeros_like(data.train_labels)]),
        )
