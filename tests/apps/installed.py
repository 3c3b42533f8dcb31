"""Apps for packages that bcfl does not have: ``make apps`` installs them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.apps.digits import FEATURES, answer, partition, patients, test_set
from tests.apps.small import (
    App,
    Mods,
    fit,
    judge,
    loaded,
    run,
    torch_app,
    torch_evaluate,
    torch_train,
)

__all__ = ["INSTALLED"]


def _server(make: Any) -> Any:
    def server(grid: Grid, Base: Any, **options: Any) -> tuple[Result, float]:  # noqa: N803
        result = run(Base, grid, ArrayRecord(make().state_dict()), **options)
        return result, judge(loaded(make(), result.arrays), *test_set())[1]

    return server


# --- PyTorch Lightning


def lightning_module() -> Any:
    import pytorch_lightning as lightning

    class Classifier(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Linear(FEATURES, 24), nn.ReLU(), nn.Linear(24, 10))

        def forward(self, x: Any) -> Any:
            return self.layers(x)

        def training_step(self, batch: Any, index: int) -> Any:
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def test_step(self, batch: Any, index: int) -> None:
            logits = self(batch[0])
            self.log("test_loss", nn.functional.cross_entropy(logits, batch[1]))
            self.log("test_acc", (logits.argmax(1) == batch[1]).float().mean())

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=0.02)

    return Classifier()


def _trainer(epochs: int) -> Any:
    import pytorch_lightning as lightning

    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", enable_checkpointing=False, **quiet
    )


def _loader(rows: Any) -> Any:
    x, y = rows
    return DataLoader(TensorDataset(torch.from_numpy(x), torch.from_numpy(y)), batch_size=64)


def lightning_client(mods: Mods) -> ClientApp:
    app = ClientApp(mods=mods)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        model, (rows, _) = loaded(lightning_module(), message.content["arrays"]), partition(context)
        _trainer(4).fit(model, _loader(rows))
        metrics = {"num-examples": len(rows[1])}
        return answer(message, metrics, ArrayRecord(model.state_dict()))

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        model, (_, rows) = loaded(lightning_module(), message.content["arrays"]), partition(context)
        (found,) = _trainer(1).test(model, _loader(rows), verbose=False)
        metrics = {"eval_loss": found["test_loss"], "eval_acc": found["test_acc"]}
        return answer(message, metrics | {"num-examples": len(rows[1])})

    return app


# --- MONAI


def monai_net() -> nn.Module:
    from monai.networks.nets import DenseNet

    torch.manual_seed(0)
    dense = DenseNet(2, 1, 10, init_features=16, growth_rate=8, block_config=(2, 2))
    return nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Upsample(scale_factor=4), dense)


def monai_client(mods: Mods) -> ClientApp:
    def train(message: Message, context: Context) -> Message:
        return torch_train(message, context, monai_net)

    def evaluate(message: Message, context: Context) -> Message:
        return torch_evaluate(message, context, monai_net)

    return torch_app(mods, train, evaluate)


# --- Hugging Face: a frozen ViT whose head is trained, evaluated by the server alone


def vit() -> Any:
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        image_size=8, patch_size=2, num_channels=1, num_labels=10,
    )  # fmt: skip

    class Digits(ViTForImageClassification):
        def forward(self, x: Any) -> Any:
            return super().forward(pixel_values=x.reshape(-1, 1, 8, 8) * 2 - 1).logits

    return Digits(config)


def vit_head(arrays: Any) -> Any:
    model = vit()
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith("classifier")
    model.classifier.load_state_dict(arrays.to_torch_state_dict())
    return model


def vit_train(message: Message, context: Context) -> Message:
    model, ((x, y), _) = vit_head(message.content["arrays"]), partition(context)
    loss = fit(model, x, y, lr=0.5)
    metrics = {"train_loss": loss, "num-examples": len(y)}
    return answer(message, metrics, ArrayRecord(model.classifier.state_dict()))


def vit_validate(message: Message, context: Context) -> Message:
    """The function that the one line more names."""
    _, (x, y) = partition(context)
    loss, accuracy = judge(vit_head(message.content["arrays"]), x, y)
    return answer(message, {"eval_loss": loss, "eval_acc": accuracy, "num-examples": len(y)})


def vit_client(mods: Mods) -> ClientApp:
    return torch_app(mods, vit_train, None)


def vit_server(grid: Grid, Base: Any, **options: Any) -> tuple[Result, float]:  # noqa: N803
    def evaluate(number: int, arrays: ArrayRecord) -> MetricRecord:
        loss, accuracy = judge(vit_head(arrays), *test_set())
        return MetricRecord({"loss": loss, "accuracy": accuracy})

    head = ArrayRecord(vit().classifier.state_dict())
    options = {"fraction_evaluate": 0.0, "evaluate_fn": evaluate, **options}
    result = run(Base, grid, head, **options)
    return result, float(result.evaluate_metrics_serverapp[3]["accuracy"])


# --- Opacus


def opacus_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 10))


def opacus_client(mods: Mods) -> ClientApp:
    def train(message: Message, context: Context) -> Message:
        from opacus import PrivacyEngine

        model, (rows, _) = loaded(opacus_net(), message.content["arrays"]), partition(context)
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            private, optimizer, loader = PrivacyEngine().make_private(
                module=model, optimizer=optimizer, data_loader=_loader(rows),
                noise_multiplier=0.5, max_grad_norm=1.0,
            )  # fmt: skip
            for _ in range(3):
                for x, y in loader:
                    optimizer.zero_grad()
                    nn.functional.cross_entropy(private(x), y).backward()
                    optimizer.step()
        arrays = ArrayRecord(private._module.state_dict())
        return answer(message, {"num-examples": len(rows[1])}, arrays)

    def evaluate(message: Message, context: Context) -> Message:
        return torch_evaluate(message, context, opacus_net)

    return torch_app(mods, train, evaluate)


# --- XGBoost, as in Flower's quickstart: a reply is the new trees, and the model is all bags


_PARAMS = {
    "objective": "binary:logistic", "eta": 0.3, "max_depth": 4, "eval_metric": "logloss",
    "tree_method": "hist", "nthread": 1,
}  # fmt: skip


def _trees(arrays: Any) -> Any:
    import xgboost

    booster = xgboost.Booster(params=_PARAMS)
    booster.load_model(bytearray(arrays["0"].numpy().tobytes()))
    return booster


def xgboost_client(mods: Mods) -> ClientApp:
    import xgboost

    app = ClientApp(mods=mods)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        data = xgboost.DMatrix(*patients(context))
        if message.content["config"]["server-round"] == 1:
            booster = xgboost.train(_PARAMS, data, num_boost_round=1)
        else:
            booster = _trees(message.content["arrays"])
            booster.update(data, booster.num_boosted_rounds())
            booster = booster[booster.num_boosted_rounds() - 1 :]
        model = np.frombuffer(booster.save_raw("json"), dtype=np.uint8)
        return answer(message, {"num-examples": data.num_row()}, ArrayRecord([model]))

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        booster, data = _trees(message.content["arrays"]), xgboost.DMatrix(*patients(context))
        loss = float(booster.eval(data).split(":")[1])
        return answer(message, {"logloss": loss, "num-examples": data.num_row()})

    return app


def xgboost_server(grid: Grid, Base: Any, **options: Any) -> tuple[Result, float]:  # noqa: N803
    import xgboost

    result = run(Base, grid, ArrayRecord([np.frombuffer(b"", np.uint8)]), **options)
    x, y = patients()
    right = (_trees(result.arrays).predict(xgboost.DMatrix(x)) > 0.5) == y
    return result, float(right.mean())


INSTALLED: dict[str, App] = {
    "Lightning": (lightning_client, _server(lightning_module)),
    "MONAI": (monai_client, _server(monai_net)),
    "Hugging Face, no client evaluation": (vit_client, vit_server),
    "Opacus": (opacus_client, _server(opacus_net)),
    "XGBoost": (xgboost_client, xgboost_server),
}
