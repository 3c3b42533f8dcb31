"""Training and evaluation of one model on one set of images: a pure function of its arguments.

On the model's device. One torch thread and a generator of its own: on one machine the same
arguments give the same bits, which is what lets a run be repeated and resumed.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torch.optim.sgd import sgd

from bcfl.experiment.clients.settings import TrainingSettings
from bcfl.losses import bounded_loss

#: Images evaluated at once: bounds the memory that activations take.
EVALUATION_BATCH = 512


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
    use_one_thread()
    inputs, targets = _beside(model, images, labels)
    shuffler = torch.Generator().manual_seed(seed)
    # torch.optim.SGD's own function: the class imports torch's compiler, which takes seconds
    parameters: list[torch.Tensor] = list(model.parameters())
    momenta: list[torch.Tensor | None] = [None] * len(parameters)
    model.train()
    total = 0.0
    for _ in range(settings.local_epochs):
        total = 0.0
        order = torch.randperm(len(targets), generator=shuffler).to(targets.device)
        for batch in torch.split(order, settings.batch_size):
            loss = functional.cross_entropy(model(inputs[batch]), targets[batch])
            gradients = list(torch.autograd.grad(loss, parameters))
            with torch.no_grad():
                sgd(
                    parameters,
                    gradients,
                    momenta,
                    lr=settings.learning_rate,
                    momentum=settings.momentum,
                    weight_decay=settings.weight_decay,
                    dampening=0,
                    nesterov=False,
                    maximize=False,
                    foreach=False,
                )
            total += loss.item() * len(batch)
    return total / len(targets)


def bounded_losses(
    model: nn.Module, images: NDArray[np.float32], labels: NDArray[np.int64]
) -> NDArray[np.float32]:
    """``bcfl.losses.bounded_loss`` of each image, shape (count,)."""
    use_one_thread()
    inputs, targets = _beside(model, images, labels)
    model.eval()
    with torch.inference_mode():
        parts = (torch.split(each, EVALUATION_BATCH) for each in (inputs, targets))
        found = [bounded_loss(model(x), y) for x, y in zip(*parts, strict=True)]
    losses: NDArray[np.float32] = torch.cat(found).cpu().numpy()
    return losses


def evaluate_model(
    model: nn.Module, images: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[float, float]:
    """Mean cross-entropy and accuracy (share in [0, 1]) of ``model`` on the images."""
    use_one_thread()
    inputs, targets = _beside(model, images, labels)
    loss, correct = 0.0, 0
    model.eval()
    with torch.inference_mode():
        parts = (torch.split(each, EVALUATION_BATCH) for each in (inputs, targets))
        for x, y in zip(*parts, strict=True):
            logits = model(x)
            loss += functional.cross_entropy(logits, y, reduction="sum").item()
            correct += int((logits.argmax(dim=1) == y).sum())
    return loss / len(targets), correct / len(targets)


def _beside(
    model: nn.Module, images: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same, on the model's device."""
    device = next(model.parameters()).device
    return torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device)
