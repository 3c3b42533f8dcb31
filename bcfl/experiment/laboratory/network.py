"""A network as a function of one flat vector of parameters, or of many at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bcfl.core.model import Arrays, ModelSpec
from bcfl.experiment.attacks.attack import Vectors
from bcfl.experiment.clients.client_data import ClientData
from bcfl.experiment.clients.device import use_device
from bcfl.experiment.clients.models import blank_model, build_model
from bcfl.experiment.clients.settings import ModelSettings, TrainingSettings
from bcfl.experiment.clients.stacked import evaluate_together, train_together
from bcfl.experiment.clients.training import bounded_losses, evaluate_model

_REMEMBERED = 64  # of one run, some three a round; each may hold a model a client


class Network:
    """Trains and measures models given as vectors, in the order of Flower's arrays.

    Runs that differ in their ballots alone often go the same way for some rounds, or for all:
    what it has lately been asked it answers again as before.

    Parameters
    ----------
    settings : ModelSettings
    device : str
        On which it trains and measures: see ``use_device``.
    """

    def __init__(self, settings: ModelSettings, device: str = "cpu") -> None:
        self.settings = settings
        self._device = use_device(device)
        self._module = blank_model(settings, self._device)
        state = self._module.state_dict()
        self._state = {name: tensor.cpu().numpy() for name, tensor in state.items()}
        self.spec = ModelSpec.of(self._state)
        self._known: dict[Any, Any] = {}

    def begin(self, seed: int) -> Vectors:
        """θ_g before the first round."""
        module = build_model(self.settings, seed)
        return self.spec.flatten({k: v.numpy() for k, v in module.state_dict().items()})

    def train(
        self,
        base: Vectors,
        shares: Sequence[ClientData],
        training: TrainingSettings,
        seeds: Sequence[int],
    ) -> Vectors:
        """What each share makes of θ_g, shape (clients, n): see ``train_together``."""

        def train() -> Vectors:
            arrays = self.arrays(base)
            stack, _ = train_together(self.settings, arrays, shares, training, seeds, self._device)
            return torch.cat([each.flatten(1) for each in stack.values()], dim=1).cpu().numpy()

        found: Vectors = self._once((_digest(base), *shares, training, *seeds), train)
        return found

    def validate(self, model: Vectors, shares: Sequence[ClientData]) -> list[float]:
        """Cross-entropy on each share's validation images, with the bits of a client's own."""
        self._load(model)
        return [loss for loss, _ in evaluate_together(self._module, shares)]

    def test(self, model: Vectors, images: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
        """Accuracy."""
        self._load(model)
        return evaluate_model(self._module, images, labels)[1]

    def bounded(
        self, models: Vectors, images: NDArray[np.float32], labels: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """``bounded_loss`` of each model and image, shape (models, count)."""
        rows, parameters, at = torch.from_numpy(models).to(self._device), {}, 0
        for name, array in self._state.items():
            parameters[name] = rows[:, at : at + array.size].reshape(len(rows), *array.shape)
            at += array.size
        return bounded_losses(self._module, parameters, images, labels)

    def judge(self, models: Vectors, share: ClientData) -> list[float]:
        """The mean of ``bounded`` over a share's training images, of each model."""

        def judge() -> list[float]:
            losses = self.bounded(models, share.train_images, share.train_labels)
            means: list[float] = losses.mean(axis=1).tolist()
            return means

        found: list[float] = self._once((_digest(models), share), judge)
        return found

    def _once(self, key: Any, answer: Callable[[], Any]) -> Any:
        if key not in self._known:
            if len(self._known) == _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[key] = answer()
        return self._known[key]

    def arrays(self, model: Vectors) -> Arrays:
        """The model as Flower's arrays."""
        return self.spec.unflatten(model, self._state)

    def _load(self, model: Vectors) -> None:
        arrays = self.arrays(model)
        self._module.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()})


def _digest(models: Vectors) -> bytes:
    return hashlib.sha256(models.tobytes()).digest()
