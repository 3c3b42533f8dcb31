"""All clients' models trained at once, in one process, with the bits that each would get alone.

Models of linear layers alone become one batch: its matrix products have the bits of the single
ones. Convolutions in groups do not: those models are trained one after the other. Either way no
optimiser or module is built for each client.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from flwr.app import ArrayRecord
from numpy.typing import NDArray
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from bcfl.experiment.clients.client_app import Client
from bcfl.experiment.clients.client_data import ClientData, read_client
from bcfl.experiment.clients.device import use_device
from bcfl.experiment.clients.models import CPU, blank_model
from bcfl.experiment.clients.settings import ModelSettings, TrainingSettings
from bcfl.experiment.clients.training import evaluate_model, use_one_thread
from bcfl.experiment.seeds import derive_seed
from bcfl.flower.handlers import to_arrays

Tensors: TypeAlias = dict[str, torch.Tensor]


def train_together(
    model: ModelSettings,
    arrays: Mapping[str, NDArray[Any]],
    shares: Sequence[ClientData],
    settings: TrainingSettings,
    seeds: Sequence[int],
    device: torch.device = CPU,
) -> tuple[Tensors, list[float]]:
    """What ``train_model`` makes of ``arrays`` on each client's images.

    Parameters
    ----------
    model : ModelSettings
    arrays : mapping of str to ndarray
        The model that all begin with.
    shares : sequence of ClientData
    settings : TrainingSettings
    seeds : sequence of int
        Of each client's order of images.
    device : torch.device
        On which to train. Only on the CPU a batch has the bits of training alone.

    Returns
    -------
    dict of str to Tensor
        Of shape (clients, …): row i is what client i trained.
    list of float
        Each client's loss over the last pass. Of batched models its last bits may differ.
    """
    use_one_thread()
    count = len(shares)
    trained = {
        name: torch.from_numpy(np.array(array)).to(device).expand(count, *array.shape).clone()
        for name, array in arrays.items()
    }
    velocity = {name: torch.zeros_like(tensor) for name, tensor in trained.items()}
    images = [torch.from_numpy(share.train_images).to(device) for share in shares]
    labels = [torch.from_numpy(share.train_labels).to(device) for share in shares]
    batches = [_batches(own, settings, seed) for own, seed in zip(labels, seeds, strict=True)]
    totals = [0.0] * count
    with torch.no_grad():
        for step in range(max(map(len, batches))):
            by_size: dict[int, list[int]] = {}
            for client, own in enumerate(batches):
                if step < len(own):
                    by_size.setdefault(len(own[step]), []).append(client)
            for group in _groups(by_size.values(), stackable=model.kind != "cnn"):
                x = torch.stack([images[client][batches[client][step]] for client in group])
                y = torch.stack([labels[client][batches[client][step]] for client in group])
                losses = _descend(model, trained, velocity, group, x, y, settings)
                for client, loss in zip(group, losses, strict=True):
                    if step >= len(batches[client]) - len(batches[client]) // settings.local_epochs:
                        totals[client] += loss * y.shape[1]
    return trained, [total / len(own) for total, own in zip(totals, labels, strict=True)]


def _batches(labels: torch.Tensor, settings: TrainingSettings, seed: int) -> list[torch.Tensor]:
    shuffler = torch.Generator().manual_seed(seed)
    found: list[torch.Tensor] = []
    for _ in range(settings.local_epochs):
        order = torch.randperm(len(labels), generator=shuffler).to(labels.device)
        found += torch.split(order, settings.batch_size)
    return found


def _groups(same_size: Any, *, stackable: bool) -> list[list[int]]:
    """Who goes through one batch together."""
    if stackable:
        return list(same_size)
    return [[client] for group in same_size for client in group]


def _descend(
    model: ModelSettings,
    trained: Tensors,
    velocity: Tensors,
    group: list[int],
    x: torch.Tensor,
    y: torch.Tensor,
    settings: TrainingSettings,
) -> list[float]:
    """One step of ``torch.optim.SGD`` for the clients of ``group``; their losses."""
    # one row, or all of them, is changed where it lies
    in_place = len(group) in {1, len(next(iter(trained.values())))}
    rows = slice(group[0], group[-1] + 1) if in_place else torch.tensor(group).to(x.device)
    own = {name: tensor[rows] for name, tensor in trained.items()}
    gradient, losses = _gradient(model, own, x, y)
    for name, slope in gradient.items():
        if settings.weight_decay:
            slope = slope.add(own[name], alpha=settings.weight_decay)  # noqa: PLW2901
        speed = velocity[name][rows].mul_(settings.momentum).add_(slope)
        place = own[name].add_(speed, alpha=-settings.learning_rate)
        if not in_place:
            velocity[name][rows], trained[name][rows] = speed, place
    return losses


def _gradient(
    model: ModelSettings, parameters: Tensors, x: torch.Tensor, y: torch.Tensor
) -> tuple[Tensors, list[float]]:
    module, count = blank_model(model, x.device).train(), len(x)
    with torch.enable_grad():
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in parameters.items()}
        if count > 1:
            logits = _batched(module, leaves, x).flatten(0, 1)
            each = functional.cross_entropy(logits, y.flatten(), reduction="none")
            losses = each.view(count, -1).mean(dim=1)
        else:
            one = {name: leaf[0] for name, leaf in leaves.items()}
            losses = functional.cross_entropy(functional_call(module, one, x[0]), y[0])[None]
        slopes = torch.autograd.grad(losses.sum(), list(leaves.values()))
    return dict(zip(leaves, slopes, strict=True)), losses.tolist()


def _batched(module: nn.Module, parameters: Tensors, x: torch.Tensor) -> torch.Tensor:
    """The logits of several models of linear layers, each of its own images."""
    for name, layer in module.named_children():
        if isinstance(layer, nn.Linear):
            weights = parameters[f"{name}.weight"].transpose(1, 2)
            x = torch.baddbmm(parameters[f"{name}.bias"][:, None], x, weights)
        else:
            x = x.flatten(2) if isinstance(layer, nn.Flatten) else layer(x)
    return x


@dataclass(frozen=True, slots=True)
class StackedClient(Client):
    """A client that, asked first, does the round's work of all of them, and remembers it."""

    _trained: dict[bytes, tuple[Tensors, list[float]]] = field(default_factory=dict, compare=False)
    _measured: dict[bytes, list[tuple[float, float]]] = field(default_factory=dict, compare=False)

    def trained(
        self, record: ArrayRecord, partition: int, round_: int
    ) -> tuple[ArrayRecord, float]:
        """As :meth:`Client.trained`, bit for bit but for the loss."""
        key = _digest(record, round_)
        if key not in self._trained:
            self._trained.clear()
            self._measured.clear()
            shares = self._shares()
            seeds = [derive_seed(self.seed, "train", i, round_) for i in range(len(shares))]
            arrays = to_arrays(record)
            self._trained[key] = train_together(
                self.model, arrays, shares, self.training, seeds, use_device(self.device)
            )
        stack, losses = self._trained[key]
        own = {name: tensor[partition] for name, tensor in stack.items()}
        return ArrayRecord(own), losses[partition]

    def measured(self, record: ArrayRecord, partition: int) -> tuple[float, float]:
        """As :meth:`Client.measured`."""
        key = _digest(record, 0)
        if key not in self._measured:
            module = self._model(record)
            self._measured[key] = [
                evaluate_model(module, share.validation_images, share.validation_labels)
                for share in self._shares()
            ]
        return self._measured[key][partition]

    def _shares(self) -> list[ClientData]:
        return [read_client(self.folder, partition) for partition in range(self.clients)]


def _digest(record: ArrayRecord, round_: int) -> bytes:
    found = hashlib.sha256(str(round_).encode())
    for name, array in record.items():
        found.update(name.encode())
        found.update(array.data)
    return found.digest()
