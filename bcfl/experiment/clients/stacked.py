"""All clients' models trained at once, in one process, with the bits that each would get alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord
from numpy.typing import NDArray
from torch import nn

from bcfl.experiment.clients.client_app import Client
from bcfl.experiment.clients.client_data import ClientData, read_client
from bcfl.experiment.clients.device import use_device
from bcfl.experiment.clients.layers import Tensors, parameters_of
from bcfl.experiment.clients.models import CPU, blank_model
from bcfl.experiment.clients.settings import ModelSettings, TrainingSettings
from bcfl.experiment.clients.training import evaluate_models, train_models
from bcfl.experiment.seeds import derive_seed
from bcfl.flower.handlers import to_arrays


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
    module = blank_model(model, device)
    trained = {
        name: torch.from_numpy(np.array(array)).to(device).expand(len(shares), *array.shape).clone()
        for name, array in arrays.items()
    }
    images = [torch.from_numpy(share.train_images).to(device) for share in shares]
    labels = [torch.from_numpy(share.train_labels).to(device) for share in shares]
    return trained, train_models(module, trained, images, labels, settings, seeds)


def evaluate_together(module: nn.Module, shares: Sequence[ClientData]) -> list[tuple[float, float]]:
    """What ``evaluate_model`` makes of the module on each client's validation images."""
    own = parameters_of(module)
    device = next(iter(own.values())).device
    by_size: dict[int, list[int]] = {}
    for client, share in enumerate(shares):
        by_size.setdefault(len(share.validation_labels), []).append(client)
    found: dict[int, tuple[float, float]] = {}
    for alike in by_size.values():
        images = torch.from_numpy(np.stack([shares[each].validation_images for each in alike]))
        labels = torch.from_numpy(np.stack([shares[each].validation_labels for each in alike]))
        same = {name: each.expand(len(alike), *each.shape[1:]) for name, each in own.items()}
        measured = evaluate_models(module, same, images.to(device), labels.to(device))
        found |= zip(alike, measured, strict=True)
    return [found[client] for client in range(len(shares))]


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
            self._measured[key] = evaluate_together(self._model(record), self._shares())
        return self._measured[key][partition]

    def _shares(self) -> list[ClientData]:
        return [read_client(self.folder, partition) for partition in range(self.clients)]


def _digest(record: ArrayRecord, round_: int) -> bytes:
    found = hashlib.sha256(str(round_).encode())
    for name, array in record.items():
        found.update(name.encode())
        found.update(array.data)
    return found.digest()
