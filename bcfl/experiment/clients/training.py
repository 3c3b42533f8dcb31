"""Training and evaluation on given images: a pure function of its arguments.

On the model's device, of one model or of several side by side. One torch thread and a generator of
its own: on one machine the same arguments give the same bits, which is what lets a run be repeated
and resumed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from bcfl.experiment.clients.layers import Tensors, logits, parameters_of
from bcfl.experiment.clients.settings import TrainingSettings
from bcfl.losses import bounded_loss

#: Images evaluated at once: bounds the memory that activations take.
EVALUATION_BATCH = 512
#: Of all images that are convolved at once: more, and a batch is too large for the caches.
_PIXELS = 2**14


def use_one_thread() -> None:
    """Make torch sum in one order: with several threads the last bits depend on the scheduler.

    It is faster, too, where several clients train side by side.
    """
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


def train_model(
    model: nn.Module,
    images: NDArray[np.float32],
    labels: NDArray[np.int64],
    settings: TrainingSettings,
    seed: int,
) -> float:
    """Train ``model`` in place for ``settings.local_epochs`` passes over the images.

    Parameters
    ----------
    model : torch.nn.Module
        Changed in place.
    images : float32, (count, channels, height, width)
    labels : int64, (count,)
    settings : TrainingSettings
    seed : int
        Decides the order of the images, and nothing else does.

    Returns
    -------
    float
        Mean cross-entropy over the last pass, as seen while training.
    """
    inputs, targets = _beside(model, images, labels)
    [loss] = train_models(model, parameters_of(model), [inputs], [targets], settings, [seed])
    return loss


def train_models(
    module: nn.Module,
    parameters: Tensors,
    images: Sequence[torch.Tensor],
    labels: Sequence[torch.Tensor],
    settings: TrainingSettings,
    seeds: Sequence[int],
) -> list[float]:
    """Train several models in place, each as :func:`train_model` does; their losses.

    Parameters
    ----------
    module : torch.nn.Module
        The network of all.
    parameters : dict of str to Tensor
        Shape (models, …); changed in place.
    images, labels : sequences of Tensor
        Each model's own, on the device of its parameters.
    settings : TrainingSettings
    seeds : sequence of int
        Of each model's order of images.
    """
    use_one_thread()
    velocity = {name: torch.zeros_like(tensor) for name, tensor in parameters.items()}
    batches = [_batches(own, settings, seed) for own, seed in zip(labels, seeds, strict=True)]
    totals = [0.0] * len(images)
    for step in range(max(map(len, batches))):
        by_size: dict[int, list[int]] = {}
        for model, own in enumerate(batches):
            if step < len(own):
                by_size.setdefault(len(own[step]), []).append(model)
        for size, alike in by_size.items():
            shape = torch.Size((size, *images[0].shape[1:]))
            for group in _side_by_side(module, alike, shape):
                x = torch.stack([images[model][batches[model][step]] for model in group])
                y = torch.stack([labels[model][batches[model][step]] for model in group])
                losses = _descend(module, parameters, velocity, group, x, y, settings)
                for model, loss in zip(group, losses, strict=True):
                    if step >= len(batches[model]) - len(batches[model]) // settings.local_epochs:
                        totals[model] += loss * size
    return [total / len(own) for total, own in zip(totals, labels, strict=True)]


def _side_by_side(
    module: nn.Module, models: Sequence[int], images: torch.Size
) -> Iterator[list[int]]:
    """Which models go through one batch together, where each has images of this shape."""
    most = len(models)
    if any(isinstance(layer, nn.Conv2d) for layer in module.children()):
        most = max(1, _PIXELS // math.prod((images[0], *images[2:])))
    for begin in range(0, len(models), most):
        yield list(models[begin : begin + most])


def _batches(labels: torch.Tensor, settings: TrainingSettings, seed: int) -> list[torch.Tensor]:
    shuffler = torch.Generator().manual_seed(seed)
    found: list[torch.Tensor] = []
    for _ in range(settings.local_epochs):
        order = torch.randperm(len(labels), generator=shuffler).to(labels.device)
        found += torch.split(order, settings.batch_size)
    return found


def _descend(
    module: nn.Module,
    parameters: Tensors,
    velocity: Tensors,
    group: list[int],
    x: torch.Tensor,
    y: torch.Tensor,
    settings: TrainingSettings,
) -> list[float]:
    """One step of SGD with momentum, as ``torch.optim.SGD``'s, for ``group``; their losses."""
    # neighbours are changed where they lie
    in_place = group[-1] - group[0] == len(group) - 1
    rows = slice(group[0], group[-1] + 1) if in_place else torch.tensor(group).to(x.device)
    own = {name: tensor[rows] for name, tensor in parameters.items()}
    with torch.enable_grad():
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in own.items()}
        found = logits(module, leaves, x).flatten(0, 1)
        each = functional.cross_entropy(found, y.flatten(), reduction="none")
        losses = each.view(y.shape).mean(dim=1)
        slopes = torch.autograd.grad(losses.sum(), list(leaves.values()))
    with torch.no_grad():
        for (name, values), slope in zip(own.items(), slopes, strict=True):
            if settings.weight_decay:
                slope = slope.add(values, alpha=settings.weight_decay)  # noqa: PLW2901
            speed = velocity[name][rows].mul_(settings.momentum).add_(slope)
            values.add_(speed, alpha=-settings.learning_rate)
            if not in_place:
                velocity[name][rows], parameters[name][rows] = speed, values
    return losses.tolist()


def bounded_losses(
    module: nn.Module,
    parameters: Tensors,
    images: NDArray[np.float32],
    labels: NDArray[np.int64],
) -> NDArray[np.float32]:
    """``bcfl.losses.bounded_loss`` of each model of one network and image, (models, count)."""
    models = len(next(iter(parameters.values())))
    inputs, targets = _beside(module, images, labels)
    inputs, targets = inputs.expand(models, *inputs.shape), targets.expand(models, -1)
    with torch.inference_mode():
        found = [
            bounded_loss(part.flatten(0, 1), y.flatten()).view(y.shape).cpu()
            for part, y in _evaluated(module, parameters, inputs, targets)
        ]
        losses: NDArray[np.float32] = torch.cat(found, dim=1).numpy()
    return losses


def evaluate_model(
    model: nn.Module,
    images: NDArray[np.float32],
    labels: NDArray[np.int64],
    parameters: Tensors | None = None,
) -> tuple[float, float]:
    """Mean cross-entropy and accuracy (share in [0, 1]) of ``model`` on the images.

    With these parameters, a batch of one, instead of its own.
    """
    inputs, targets = _beside(model, images, labels)
    own = parameters_of(model) if parameters is None else parameters
    return evaluate_models(model, own, inputs[None], targets[None])[0]


def evaluate_models(
    module: nn.Module, parameters: Tensors, images: torch.Tensor, labels: torch.Tensor
) -> list[tuple[float, float]]:
    """The same of several models, each on its own images, shape (models, count, …)."""
    losses, correct = np.zeros(len(labels)), np.zeros(len(labels), int)
    with torch.inference_mode():
        for part, y in _evaluated(module, parameters, images, labels):
            each = functional.cross_entropy(part.flatten(0, 1), y.flatten(), reduction="none")
            # in double precision, a row's sum does not depend on how many rows there are
            losses += each.view(y.shape).cpu().numpy().astype(np.float64).sum(axis=1)
            correct += (part.argmax(dim=2) == y).sum(dim=1).cpu().numpy()
    count = labels.shape[1]
    return list(zip((losses / count).tolist(), (correct / count).tolist(), strict=True))


def _evaluated(
    module: nn.Module, parameters: Tensors, images: torch.Tensor, labels: torch.Tensor
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Logits and labels, part by part."""
    use_one_thread()
    parts = (torch.split(each, EVALUATION_BATCH, dim=1) for each in (images, labels))
    for x, y in zip(*parts, strict=True):
        found = []
        for group in _side_by_side(module, range(len(y)), x.shape[1:]):
            rows = slice(group[0], group[-1] + 1)
            own = {name: tensor[rows] for name, tensor in parameters.items()}
            found.append(logits(module, own, x[rows]))
        yield torch.cat(found), y


def _beside(
    model: nn.Module, images: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same, on the model's device."""
    device = next(model.parameters()).device
    return torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device)
