"""The experiment's clients as a Flower app: plain torch, nothing in it knows of a chain.

Both handlers are pure functions of (seed, partition, server round, received arrays): no state
is kept from one message to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import Mod
from torch import nn

from bcfl.consensus.member.rating import RULE
from bcfl.core.errors import ModelError
from bcfl.core.model import Arrays
from bcfl.experiment.clients.client_data import read_client
from bcfl.experiment.clients.device import use_device
from bcfl.experiment.clients.layers import Tensors, parameters_of
from bcfl.experiment.clients.models import blank_model
from bcfl.experiment.clients.settings import SENDER_KEY, ModelSettings, TrainingSettings
from bcfl.experiment.clients.training import bounded_losses, evaluate_model, train_model
from bcfl.experiment.seeds import derive_seed
from bcfl.flower.handlers import model_in, to_arrays
from bcfl.flower.record import config_in
from bcfl.losses import class_balanced


@dataclass(frozen=True, slots=True)
class Client:
    """The two handlers, and all that they depend on.

    Parameters
    ----------
    folder : Path
        Where ``write_clients`` put every client's share of the data.
    model : ModelSettings
    training : TrainingSettings
    seed : int
        The run's.
    clients : int
        How many there are.
    device : str
        On which it trains and measures: see ``use_device``.
    """

    folder: Path
    model: ModelSettings
    training: TrainingSettings
    seed: int
    clients: int
    device: str = "cpu"

    def train(self, message: Message, context: Context) -> Message:
        """Train on the client's own images; reply with the arrays and ``train_loss``."""
        partition = int(context.node_config["partition-id"])
        round_ = int(str(message.content.config_records["config"]["server-round"]))
        arrays, loss = self.trained(message.content.array_records["arrays"], partition, round_)
        examples = len(read_client(self.folder, partition).train_labels)
        metrics = MetricRecord({"train_loss": loss, "num-examples": examples})
        sender = ConfigRecord({"partition-id": partition})
        content = RecordDict({"arrays": arrays, "metrics": metrics, SENDER_KEY: sender})
        return Message(content, reply_to=message)

    def evaluate(self, message: Message, context: Context) -> Message:
        """Measure the received arrays on the client's own validation images.

        Where sets of members are rated, on all its images.
        """
        partition = int(context.node_config["partition-id"])
        _, record = model_in(message.content)
        if RULE in (config_in(message.content, "config") or {}):
            metrics = MetricRecord({"eval_loss": self.considered(record, partition)})
        else:
            loss, accuracy = self.measured(record, partition)
            count = len(read_client(self.folder, partition).validation_labels)
            metrics = MetricRecord({"eval_loss": loss, "eval_acc": accuracy, "num-examples": count})
        sender = ConfigRecord({"partition-id": partition})
        content = RecordDict({"metrics": metrics, SENDER_KEY: sender})
        return Message(content, reply_to=message)

    def trained(
        self, record: ArrayRecord, partition: int, round_: int
    ) -> tuple[ArrayRecord, float]:
        """What the record's model becomes on the client's own images, and the loss on them."""
        data, model = read_client(self.folder, partition), self._model(record)
        seed = derive_seed(self.seed, "train", partition, round_)
        loss = train_model(model, data.train_images, data.train_labels, self.training, seed)
        return ArrayRecord(model.state_dict()), loss

    def measured(self, record: ArrayRecord, partition: int) -> tuple[float, float]:
        """Loss and accuracy of the record's model on the client's own validation images."""
        data, (model, own) = read_client(self.folder, partition), self._given(record)
        return evaluate_model(model, data.validation_images, data.validation_labels, own)

    def considered(self, record: ArrayRecord, partition: int) -> float:
        """The record's model, where sets of members are rated: PROTOCOL, *Rules*.

        Bounded, over all of the client's own images, each class weighing the same.
        """
        data = read_client(self.folder, partition)
        images = np.concatenate([data.train_images, data.validation_images])
        labels = np.concatenate([data.train_labels, data.validation_labels])
        return class_balanced(bounded_losses(*self._given(record), images, labels)[0], labels)

    def reference_loss(self, record: ArrayRecord, samples: Arrays) -> float:
        """The record's model on the reference set, bounded."""
        losses = bounded_losses(*self._given(record), samples["images"], samples["labels"])[0]
        return float(losses.mean(dtype=np.float64))

    def _model(self, record: ArrayRecord) -> nn.Module:
        model = blank_model(self.model, use_device(self.device))
        load_arrays(model, record)
        return model

    def _given(self, record: ArrayRecord) -> tuple[nn.Module, Tensors]:
        """A network, whose own values are not read, and the record's."""
        model = blank_model(self.model, use_device(self.device))
        return model, tensors_in(record, model)


def build_client_app(client: Client, mods: list[Mod]) -> ClientApp:
    """The client as a Flower app with these mods around it, the first one outermost."""
    app = ClientApp(mods=mods)
    app.train()(client.train)
    app.evaluate()(client.evaluate)
    return app


def load_arrays(model: nn.Module, record: ArrayRecord) -> None:
    """Overwrite every value of ``model`` by the record's. Raises as :func:`tensors_in`."""
    own = parameters_of(model)
    for name, tensor in tensors_in(record, model).items():
        own[name].copy_(tensor)


def tensors_in(record: ArrayRecord, model: nn.Module) -> Tensors:
    """The record's values in place of ``model``'s, of the same dtypes and on the same device.

    Raises
    ------
    ModelError
        The record's keys or shapes are not the model's.
    """
    own, arrays = parameters_of(model), to_arrays(record)
    expected = {name: tuple(tensor.shape[1:]) for name, tensor in own.items()}
    if (found := {name: array.shape for name, array in arrays.items()}) != expected:
        raise ModelError(f"these arrays are not this model's: expected {expected}; found {found}")
    return {
        # of its own bytes, which are not written to: it is copied from
        name: torch.tensor(arrays[name], dtype=tensor.dtype, device=tensor.device)[None]
        for name, tensor in own.items()
    }
