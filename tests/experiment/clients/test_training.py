"""Training: it learns, and the same arguments give the same bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bcfl.experiment.clients.models import build_model
from bcfl.experiment.clients.settings import ModelSettings, TrainingSettings
from bcfl.experiment.clients.training import evaluate_model, train_model
from bcfl.experiment.seeds import derive_seed

MODEL = ModelSettings("cnn", (1, 4, 4), 2, (4,), (True,))
TRAINING = TrainingSettings(local_epochs=5, batch_size=8, learning_rate=0.1, momentum=0.5)


def task(count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Bright images are of class 1."""
    rng = np.random.default_rng(3)
    labels = np.arange(count) % 2
    images = rng.normal(labels[:, None, None, None] * 2 - 1, 0.5, (count, 1, 4, 4))
    return images.astype(np.float32), labels


def trained(seed: int = 1, training: TrainingSettings = TRAINING) -> torch.nn.Module:
    model = build_model(MODEL, seed=0)
    train_model(model, *task(), training, seed)
    return model


def test_training_learns() -> None:
    before, _ = evaluate_model(build_model(MODEL, seed=0), *task())
    after, accuracy = evaluate_model(trained(), *task())
    assert after < before / 2
    assert accuracy == 1.0


def test_the_same_seed_trains_to_the_same_bits() -> None:
    one, same, other = (trained(seed).state_dict() for seed in (1, 1, 2))
    assert all(one[key].numpy().tobytes() == same[key].numpy().tobytes() for key in one)
    assert any((one[key] != other[key]).any() for key in one)


def test_neither_global_generator_decides_anything() -> None:
    torch.manual_seed(1)
    one = trained().state_dict()
    torch.manual_seed(2)
    other = trained().state_dict()
    assert all((one[key] == other[key]).all() for key in one)


def test_the_loss_of_the_last_pass_is_returned() -> None:
    model = build_model(MODEL, seed=0)
    first = train_model(model, *task(), TRAINING, seed=1)
    second = train_model(model, *task(), TRAINING, seed=2)
    assert 0 < second < first


def test_evaluation_in_parts_is_evaluation_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(MODEL, seed=0)
    loss, accuracy = evaluate_model(model, *task())
    monkeypatch.setattr("bcfl.experiment.clients.training.EVALUATION_BATCH", 7)
    in_parts = evaluate_model(model, *task())
    assert in_parts == (pytest.approx(loss), accuracy)


def test_every_purpose_has_a_seed_of_its_own() -> None:
    seeds = {derive_seed(s, "train", c, r) for s in range(3) for c in range(12) for r in range(12)}
    assert len(seeds) == 3 * 12 * 12
    assert derive_seed(1, "train", 1, 11) != derive_seed(1, "train", 11, 1)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(1, "model") == 2857051937757529520
