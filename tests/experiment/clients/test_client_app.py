"""The client: pure functions of (seed, partition, round, arrays), metrics under their names."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Message,
    RecordDict,
)
from flwr.supercore.task_identity import TaskIdentity

from bcfl.core.errors import ModelError
from bcfl.experiment.clients.central import CentralEvaluation, CentralTraining, initial_arrays
from bcfl.experiment.clients.client_app import Client, build_client_app
from bcfl.experiment.clients.client_data import ClientData, write_clients
from bcfl.experiment.clients.settings import ModelSettings, TrainingSettings
from bcfl.experiment.datasets.images import Images

MODEL = ModelSettings("mlp", (1, 4, 4), 2, (8,))
TRAINING = TrainingSettings(local_epochs=2, batch_size=8, learning_rate=0.1, momentum=0.5)


def share(seed: int) -> ClientData:
    rng = np.random.default_rng(seed)
    labels = np.arange(30) % 2
    images = rng.normal(labels[:, None, None, None] * 2 - 1, 0.5, (30, 1, 4, 4))
    images = images.astype(np.float32)
    return ClientData(images[:20], labels[:20], images[20:], labels[20:])


@pytest.fixture
def client(tmp_path: Path) -> Client:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 0
    write_clients([share(0), share(1)], tmp_path)
    return Client(tmp_path, MODEL, TRAINING, seed=1, clients=2)


def ask(client: Client, kind: str, partition: int = 0, round_: int = 1, **arrays) -> RecordDict:
    record = ArrayRecord(arrays) if arrays else initial_arrays(MODEL, seed=1)
    content = RecordDict({"arrays": record, "config": ConfigRecord({"server-round": round_})})
    context = Context(1, 5, {"partition-id": partition}, RecordDict(), {})
    app = build_client_app(client, mods=[])
    return app(Message(content, 5, kind), context).content


def bits(content: RecordDict) -> bytes:
    return b"".join(array.data for array in content.array_records["arrays"].values())


def test_train_replies_with_arrays_and_metrics(client: Client) -> None:
    content = ask(client, "train")
    assert list(content.array_records["arrays"]) == list(initial_arrays(MODEL, 1))
    metrics = content.metric_records["metrics"]
    assert set(metrics) == {"train_loss", "num-examples"}
    assert metrics["num-examples"] == 20


def test_evaluate_replies_with_loss_and_accuracy_on_validation_data(client: Client) -> None:
    metrics = ask(client, "evaluate").metric_records["metrics"]
    assert set(metrics) == {"eval_loss", "eval_acc", "num-examples"}
    assert metrics["num-examples"] == 10
    assert 0 <= metrics["eval_acc"] <= 1


def test_training_helps(client: Client) -> None:
    trained = ask(client, "train").array_records["arrays"]
    before = ask(client, "evaluate").metric_records["metrics"]["eval_loss"]
    after = ask(client, "evaluate", **dict(trained)).metric_records["metrics"]["eval_loss"]
    assert after < before


def test_training_is_a_function_of_seed_partition_round_and_arrays(client: Client) -> None:
    one = bits(ask(client, "train"))
    ask(client, "train", partition=1)
    assert bits(ask(client, "train")) == one
    assert bits(ask(client, "train", partition=1)) != one
    assert bits(ask(client, "train", round_=2)) != one
    other = Client(client.folder, MODEL, TRAINING, seed=2, clients=2)
    assert bits(ask(other, "train")) != one


def test_a_client_travels_to_a_worker(client: Client) -> None:
    travelled = pickle.loads(pickle.dumps(client))
    assert bits(ask(travelled, "train")) == bits(ask(client, "train"))


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_arrays_of_another_model_are_refused(client: Client, kind: str) -> None:
    with pytest.raises(ModelError, match="not this model's"):
        ask(client, kind, w=Array(np.zeros(3, np.float32)))


def test_the_initial_model_is_the_seeds() -> None:
    one, same, other = (initial_arrays(MODEL, seed) for seed in (1, 1, 2))
    assert all((one[key].numpy() == same[key].numpy()).all() for key in one)
    assert any((one[key].numpy() != other[key].numpy()).any() for key in one)


def test_the_server_measures_on_the_test_part() -> None:
    data = share(3)
    images = Images(
        data.train_images, data.train_labels, data.validation_images, data.validation_labels, 2
    )
    metrics = CentralEvaluation(MODEL, images)(0, initial_arrays(MODEL, 1))
    assert set(metrics) == {"loss", "accuracy"}
    assert 0 <= metrics["accuracy"] <= 1


def test_central_training_sees_all_shares_and_repeats() -> None:
    train = CentralTraining([share(0), share(1)], MODEL, TRAINING, seed=1)
    arrays, metrics = train(1, initial_arrays(MODEL, 1))
    again, _ = train(1, initial_arrays(MODEL, 1))
    later, _ = train(2, initial_arrays(MODEL, 1))
    assert metrics["num-examples"] == 40
    first = next(iter(arrays))
    assert (arrays[first].numpy() == again[first].numpy()).all()
    assert (arrays[first].numpy() != later[first].numpy()).any()
