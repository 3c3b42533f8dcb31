"""One task in four styles of Flower app; none of them knows bcfl.

Three classes of points in six dimensions, from ``tests.toy``; the models differ.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.client import Client, NumPyClient
from flwr.clientapp import ClientApp
from sklearn.linear_model import SGDClassifier
from torch import nn

from tests import toy

Mods = list[Any]


def reply(
    message: Message, metrics: dict[str, float], arrays: ArrayRecord | None = None
) -> Message:
    """What every handler of the Message API ends with."""
    records = {} if arrays is None else {"arrays": arrays}
    return Message(RecordDict(records | {"metrics": MetricRecord(metrics)}), reply_to=message)


class Net(nn.Module):
    """A layer or two; with batch norm it has an int64 counter among its arrays."""

    def __init__(self, *, batch_norm: bool = False) -> None:
        super().__init__()
        middle = [nn.BatchNorm1d(toy.FEATURES)] if batch_norm else []
        self.layers = nn.Sequential(*middle, nn.Linear(toy.FEATURES, toy.CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        logits: torch.Tensor = self.layers(x)
        return logits


def torch_arrays(*, batch_norm: bool = False) -> ArrayRecord:
    """A ``state_dict``, keys and all."""
    torch.manual_seed(0)
    return ArrayRecord(Net(batch_norm=batch_norm).state_dict())


def torch_app(mods: Mods, *, batch_norm: bool = False) -> ClientApp:
    """As Flower's PyTorch quickstart."""
    app = ClientApp(mods=mods)

    def loaded(message: Message, context: Context) -> tuple[Net, torch.Tensor, torch.Tensor]:
        model = Net(batch_norm=batch_norm)
        model.load_state_dict(message.content["arrays"].to_torch_state_dict())
        x, y = toy.points(int(context.node_config["partition-id"]))
        return model, torch.from_numpy(x), torch.from_numpy(y)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        model, x, y = loaded(message, context)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        model.train()
        for _ in range(5):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        metrics = {"train_loss": loss.item(), "num-examples": len(y)}
        return reply(message, metrics, ArrayRecord(model.state_dict()))

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        model, x, y = loaded(message, context)
        model.eval()
        with torch.no_grad():
            logits = model(x)
        loss = nn.functional.cross_entropy(logits, y).item()
        right = (logits.argmax(dim=1) == y).float().mean().item()
        return reply(message, {"eval_loss": loss, "eval_acc": right, "num-examples": len(y)})

    return app


def sklearn_arrays() -> ArrayRecord:
    """Coefficients and intercept, float64."""
    return ArrayRecord([np.zeros((toy.CLASSES, toy.FEATURES)), np.zeros(toy.CLASSES)])


def sklearn_app(mods: Mods) -> ClientApp:
    """As Flower's scikit-learn quickstart: float64 arrays without names."""
    app = ClientApp(mods=mods)

    def loaded(message: Message, context: Context) -> tuple[Any, np.ndarray, np.ndarray]:
        model = SGDClassifier(loss="log_loss", random_state=0)
        model.classes_ = np.arange(toy.CLASSES)
        model.coef_, model.intercept_ = message.content["arrays"].to_numpy_ndarrays()
        return model, *toy.points(int(context.node_config["partition-id"]))

    @app.train()
    def train(message: Message, context: Context) -> Message:
        model, x, y = loaded(message, context)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # too few steps to converge: that is the idea
            model.partial_fit(x.astype(np.float64), y, classes=np.arange(toy.CLASSES))
        arrays = ArrayRecord([model.coef_, model.intercept_])
        return reply(message, {"num-examples": len(y)}, arrays)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        model, x, y = loaded(message, context)
        right = float(model.score(x.astype(np.float64), y))
        return reply(message, {"accuracy": right, "num-examples": len(y)})

    return app


class _Points(NumPyClient):
    def __init__(self, partition: int) -> None:
        self._partition = partition

    def fit(
        self, parameters: list[np.ndarray], config: dict[str, Any]
    ) -> tuple[list[np.ndarray], int, dict[str, Any]]:
        x, y = toy.points(self._partition)
        one_hot = np.eye(toy.CLASSES, dtype=np.float32)[y]
        for _ in range(5):
            residual = toy.probabilities(parameters, x) - one_hot
            weight = parameters[0] - 0.5 * x.T @ residual / len(y)
            bias = parameters[1] - 0.5 * residual.mean(axis=0)
            parameters = [weight.astype(np.float32), bias.astype(np.float32)]
        return parameters, len(y), {"round": int(config.get("server-round", 0))}

    def evaluate(
        self, parameters: list[np.ndarray], config: dict[str, Any]
    ) -> tuple[float, int, dict[str, Any]]:
        loss, accuracy = toy.loss_and_accuracy(parameters, self._partition)
        return loss, toy.POINTS, {"accuracy": accuracy}


def numpy_client_app(mods: Mods) -> ClientApp:
    """The older interface: a ``NumPyClient`` behind a ``client_fn``."""

    def client_fn(context: Context) -> Client:
        return _Points(int(context.node_config["partition-id"])).to_client()

    return ClientApp(client_fn=client_fn, mods=mods)


#: By name: the app, given its mods, and its first arrays.
FRAMEWORKS: dict[str, tuple[Callable[[Mods], ClientApp], Callable[[], ArrayRecord]]] = {
    "torch": (torch_app, torch_arrays),
    "scikit-learn": (sklearn_app, sklearn_arrays),
    "numpy": (toy.client_app, toy.initial_arrays),
    "NumPyClient": (numpy_client_app, toy.initial_arrays),
}
