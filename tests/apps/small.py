"""Apps as Flower's examples write them, for what bcfl has installed anyway. None knows bcfl.

An app is two functions, as its two files: ``client(mods)`` makes the ClientApp, and
``server(grid, Base, **options)`` runs a strategy that is ``Base``, or derived from it.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord
from flwr.client import Client, NumPyClient
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch import nn

from tests.apps.digits import FEATURES, answer, partition, patients, test_set

__all__ = ["APPS", "App", "Handlers", "run", "torch_app"]

Mods = list[Any]
App = tuple[Callable[[Mods], ClientApp], Callable[..., tuple[Result, float]]]
Handlers = Callable[[Message, Context], Message]
ROUNDS = 3


def run(Base: Any, grid: Grid, arrays: ArrayRecord, **options: Any) -> Result:  # noqa: N803
    """The line that adopting changes: ``strategy = FedAvg(…)``."""
    start = {k: options.pop(k) for k in ("evaluate_fn", "train_config") if k in options}
    result: Result = Base(**options).start(grid, arrays, ROUNDS, **start)
    return result


# --- torch


def net() -> nn.Module:
    """With batch norm, as the CNNs of many examples have it."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 10))


def loaded(model: nn.Module, arrays: Any) -> nn.Module:
    model.load_state_dict(arrays.to_torch_state_dict())
    return model


def fit(model: nn.Module, x: Any, y: Any, lr: float = 0.2, steps: int = 20) -> float:
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(torch.from_numpy(x)), torch.from_numpy(y))
        loss.backward()
        optimizer.step()
    return loss.item()


def judge(model: nn.Module, x: Any, y: Any) -> tuple[float, float]:
    model.eval()
    with torch.no_grad():
        logits = model(torch.from_numpy(x))
    labels = torch.from_numpy(y)
    loss = nn.functional.cross_entropy(logits, labels).item()
    return loss, (logits.argmax(1) == labels).float().mean().item()


def torch_train(message: Message, context: Context, make: Callable[[], nn.Module] = net) -> Message:
    model, ((x, y), _) = loaded(make(), message.content["arrays"]), partition(context)
    loss = fit(model, x, y)
    metrics = {"train_loss": loss, "num-examples": len(y)}
    return answer(message, metrics, ArrayRecord(model.state_dict()))


def torch_evaluate(
    message: Message, context: Context, make: Callable[[], nn.Module] = net
) -> Message:
    _, (x, y) = partition(context)
    loss, accuracy = judge(loaded(make(), message.content["arrays"]), x, y)
    return answer(message, {"eval_loss": loss, "eval_acc": accuracy, "num-examples": len(y)})


def torch_app(
    mods: Mods, train: Handlers = torch_train, evaluate: Any = torch_evaluate
) -> ClientApp:
    app = ClientApp(mods=mods)
    app.train()(train)
    if evaluate is not None:
        app.evaluate()(evaluate)
    return app


def torch_server(grid: Grid, Base: Any, **options: Any) -> tuple[Result, float]:  # noqa: N803
    result = run(Base, grid, ArrayRecord(net().state_dict()), **options)
    return result, judge(loaded(net(), result.arrays), *test_set())[1]


# --- scikit-learn, whose first model is float64 and whose trained one float32


def linear(arrays: ArrayRecord | None = None) -> LogisticRegression:
    model = LogisticRegression(max_iter=2, warm_start=True, solver="saga", random_state=0)
    model.classes_ = np.arange(10)
    model.coef_, model.intercept_ = (
        arrays.to_numpy_ndarrays() if arrays else (np.zeros((10, FEATURES)), np.zeros(10))
    )
    return model


def sklearn_client(mods: Mods) -> ClientApp:
    app = ClientApp(mods=mods)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        model, ((x, y), _) = linear(message.content["arrays"]), partition(context)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(x, y)
        arrays = ArrayRecord([model.coef_, model.intercept_])
        return answer(message, {"num-examples": len(y)}, arrays)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        model, (_, (x, y)) = linear(message.content["arrays"]), partition(context)
        loss = log_loss(y, model.predict_proba(x), labels=model.classes_)
        return answer(
            message, {"test_logloss": loss, "accuracy": model.score(x, y), "num-examples": len(y)}
        )

    return app


def sklearn_server(grid: Grid, Base: Any, **options: Any) -> tuple[Result, float]:  # noqa: N803
    model = linear()
    result = run(Base, grid, ArrayRecord([model.coef_, model.intercept_]), **options)
    return result, float(linear(result.arrays).score(*test_set()))


# --- a table, and a metric that is accuracy alone


def tabular_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(30, 8), nn.ReLU(), nn.Linear(8, 2))


def tabular_client(mods: Mods) -> ClientApp:
    app = ClientApp(mods=mods)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        model, (x, y) = loaded(tabular_net(), message.content["arrays"]), patients(context)
        fit(model, x, y, lr=0.05)
        return answer(message, {"num-examples": len(y)}, ArrayRecord(model.state_dict()))

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        x, y = patients(context)
        accuracy = judge(loaded(tabular_net(), message.content["arrays"]), x, y)[1]
        return answer(message, {"accuracy": accuracy, "num-examples": len(y)})

    return app


def tabular_server(grid: Grid, Base: Any, **options: Any) -> tuple[Result, float]:  # noqa: N803
    result = run(Base, grid, ArrayRecord(tabular_net().state_dict()), **options)
    return result, judge(loaded(tabular_net(), result.arrays), *patients())[1]


# --- plain NumPy, whose metric has a name that says nothing: one line more names it


def numpy_client(mods: Mods) -> ClientApp:
    app = ClientApp(mods=mods)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        (x, y), _ = partition(context)
        arrays = softmax_fit(message.content["arrays"].to_numpy_ndarrays(), x, y)
        return answer(message, {"demo": 1.0, "num-examples": len(y)}, ArrayRecord(arrays))

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        _, (x, y) = partition(context)
        right = softmax_score(message.content["arrays"].to_numpy_ndarrays(), x, y)
        return answer(message, {"demo": right, "num-examples": len(y)})

    return app


def softmax_fit(arrays: list[Any], x: Any, y: Any) -> list[Any]:
    w, b = arrays
    for _ in range(40):
        p = np.exp(x @ w + b)
        p /= p.sum(1, keepdims=True)
        p[np.arange(len(y)), y] -= 1
        w, b = w - 0.5 * x.T @ p / len(y), b - 0.5 * p.mean(0)
    return [w, b]


def softmax_score(arrays: list[Any], x: Any, y: Any) -> float:
    return float(((x @ arrays[0] + arrays[1]).argmax(1) == y).mean())


def numpy_server(grid: Grid, Base: Any, **options: Any) -> tuple[Result, float]:  # noqa: N803
    zeros = ArrayRecord([np.zeros((FEATURES, 10), np.float32), np.zeros(10, np.float32)])
    result = run(Base, grid, zeros, **options)
    return result, softmax_score(result.arrays.to_numpy_ndarrays(), *test_set())


# --- the older client, behind a client_fn


class Older(NumPyClient):
    def __init__(self, context: Context) -> None:
        self._train, self._test = partition(context)

    def fit(self, parameters: list[Any], config: Any) -> tuple[list[Any], int, dict[str, Any]]:
        return softmax_fit(parameters, *self._train), len(self._train[1]), {}

    def evaluate(self, parameters: list[Any], config: Any) -> tuple[float, int, dict[str, Any]]:
        right = softmax_score(parameters, *self._test)
        return 1 - right, len(self._test[1]), {"accuracy": right}


def older_client(mods: Mods) -> ClientApp:
    def client_fn(context: Context) -> Client:
        return Older(context).to_client()

    return ClientApp(client_fn=client_fn, mods=mods)


# --- custom mods, as in Flower's example of that name


def timing_mod(message: Message, context: Context, call_next: Any) -> Message:
    began = time.perf_counter()
    round_ = int(message.content["config"]["server-round"])
    reply: Message = call_next(message, context)
    if message.metadata.message_type == "train" and reply.has_content():
        written = dict(reply.content["metrics"])
        written |= {"fit_time": time.perf_counter() - began, "round": round_}
        assert written["train_loss"] >= 0
    return reply


def mods_client(mods: Mods) -> ClientApp:
    return torch_app([*mods, timing_mod])


# --- a client that keeps its last layer to itself, in its state, as advanced-pytorch does


def personal(model: nn.Module, context: Context) -> nn.Module:
    if (kept := context.state.array_records.get("head")) is not None:
        model[-1].load_state_dict(kept.to_torch_state_dict())
    return model


def stateful_client(mods: Mods) -> ClientApp:
    app = ClientApp(mods=mods)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        model = personal(loaded(net(), message.content["arrays"]), context)
        (x, y), _ = partition(context)
        loss = fit(model, x, y)
        context.state["head"] = ArrayRecord(model[-1].state_dict())
        metrics = {"train_loss": loss, "num-examples": len(y)}
        return answer(message, metrics, ArrayRecord(model.state_dict()))

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        model = personal(loaded(net(), message.content["arrays"]), context)
        _, (x, y) = partition(context)
        loss, accuracy = judge(model, x, y)
        return answer(message, {"eval_loss": loss, "eval_acc": accuracy, "num-examples": len(y)})

    return app


# --- several train functions, and a strategy that says which


def actions_client(mods: Mods) -> ClientApp:
    app = torch_app(mods)

    @app.train("gently")
    def gently(message: Message, context: Context) -> Message:
        model, ((x, y), _) = loaded(net(), message.content["arrays"]), partition(context)
        loss = fit(model, x, y, lr=0.05)
        metrics = {"train_loss": loss, "num-examples": len(y)}
        return answer(message, metrics, ArrayRecord(model.state_dict()))

    return app


def actions_server(grid: Grid, Base: Any, **options: Any) -> tuple[Result, float]:  # noqa: N803
    class Gently(Base):
        def configure_train(self, server_round: int, *rest: Any) -> Iterable[Message]:
            for message in super().configure_train(server_round, *rest):
                if server_round > 1:
                    message.metadata.message_type = "train.gently"
                yield message

    return torch_server(grid, Gently, **options)


# --- a strategy of its own: schedule, loop and checkpoints, as advanced-pytorch's


def own_strategy_server(grid: Grid, Base: Any, **options: Any) -> tuple[Result, float]:  # noqa: N803
    class Custom(Base):
        def configure_train(
            self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
        ) -> Iterable[Message]:
            config["lr"] = 0.2 if server_round < 3 else 0.1
            messages: Iterable[Message] = super().configure_train(
                server_round, arrays, config, grid
            )
            return messages

        def start(
            self,
            grid: Grid,
            initial_arrays: ArrayRecord,
            num_rounds: int = 3,
            timeout: float = 3600,
            train_config: ConfigRecord | None = None,
            evaluate_config: ConfigRecord | None = None,
            evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
        ) -> Result:
            result, arrays = Result(), initial_arrays
            train_config, evaluate_config = ConfigRecord(), ConfigRecord()
            for number in range(1, num_rounds + 1):
                asked = self.configure_train(number, arrays, train_config, grid)
                replies = grid.send_and_receive(asked, timeout=timeout)
                arrays, _ = self.aggregate_train(number, replies)
                result.arrays = arrays
                asked = self.configure_evaluate(number, arrays, evaluate_config, grid)
                replies = grid.send_and_receive(asked, timeout=timeout)
                metrics = self.aggregate_evaluate(number, replies)
                result.evaluate_metrics_clientapp[number] = metrics
            return result

    return torch_server(grid, Custom, **options)


APPS: dict[str, App] = {
    "torch": (torch_app, torch_server),
    "scikit-learn": (sklearn_client, sklearn_server),
    "tabular": (tabular_client, tabular_server),
    "NumPy": (numpy_client, numpy_server),
    "NumPyClient": (older_client, numpy_server),
    "custom mods": (mods_client, torch_server),
    "stateful client": (stateful_client, torch_server),
    "several train functions": (actions_client, actions_server),
    "strategy of its own": (torch_app, own_strategy_server),
}
