"""Networks: what they take and give, that seeds hold, that no array is of integers."""

from __future__ import annotations

import pytest
import torch

from bcfl.core.errors import ConfigurationError
from bcfl.experiment.clients.layers import logits
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


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.kind)
def test_a_batch_of_models_is_what_torch_s_own_layers_make_of_each(settings: ModelSettings) -> None:
    modules = [build_model(settings, seed) for seed in (1, 2, 3)]
    images = torch.randn(3, 5, *settings.shape, generator=torch.Generator().manual_seed(0))
    for module in modules:  # no bias, nor scale, as it begins
        for each in module.parameters():
            each.data += torch.linspace(0.1, 0.3, each.numel()).view(each.shape)
    own = [dict(module.named_parameters()) for module in modules]
    stack = {name: torch.stack([each[name] for each in own]) for name in own[0]}
    found = logits(modules[0], stack, images)
    slopes = torch.autograd.grad(found.square().sum(), [stack[name] for name in own[0]])
    for row, module in enumerate(modules):
        alone = module(images[row])
        assert torch.allclose(found[row], alone, rtol=1e-4, atol=1e-4)
        expected = torch.autograd.grad(alone.square().sum(), list(module.parameters()))
        for slope, each in zip(slopes, expected, strict=True):
            assert (slope[row] - each).abs().max() < 1e-4 * each.abs().max()
