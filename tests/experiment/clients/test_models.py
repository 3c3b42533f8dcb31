"""Networks: what they take and give, that seeds hold, that no array is of integers."""

from __future__ import annotations

import pytest
import torch

from bcfl.core.errors import ConfigurationError
from bcfl.experiment.clients.models import build_model
from bcfl.experiment.clients.settings import ModelSettings

SETTINGS = [
    ModelSettings("cnn", (1, 8, 8), 10, (8, 16), (False, True)),
    ModelSettings("cnn", (3, 32, 32), 10, (6, 16, 16), (True, True, True), group_norm=True),
    ModelSettings("mlp", (1, 28, 28), 7, (32, 16)),
    ModelSettings("logistic", (1, 8, 8), 10),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.kind)
def test_a_network_maps_images_to_logits(settings: ModelSettings) -> None:
    model = build_model(settings, seed=1)
    assert model(torch.zeros(5, *settings.shape)).shape == (5, settings.classes)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.kind)
def test_every_array_is_float32(settings: ModelSettings) -> None:
    state = build_model(settings, seed=1).state_dict()
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}


def test_the_seed_decides_the_weights_and_nothing_else_changes() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (build_model(SETTINGS[0], seed).state_dict() for seed in (1, 1, 2))
    assert (torch.get_rng_state() == before).all()
    assert all((one[key] == same[key]).all() for key in one)
    assert any((one[key] != other[key]).any() for key in one)


def test_parameters_are_counted() -> None:
    assert sum(p.numel() for p in build_model(SETTINGS[3], seed=1).parameters()) == 650


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": (1, 0, 8)},
        {"widths": ()},
        {"pool": (True,)},
        {"widths": (8, 8, 8, 8), "pool": (True, True, True, True)},
    ],
)
def test_a_network_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    values = {
        "kind": "cnn",
        "shape": (1, 8, 8),
        "classes": 10,
        "widths": (8, 8),
        "pool": (True, True),
    }
    with pytest.raises(ConfigurationError):
        ModelSettings(**(values | wrong))  # type: ignore[arg-type]
