"""Descriptions become modules of exactly the inferred shapes, and modules become models again."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from bcfl.core.errors import ArchitectureError, ConfigurationError, ModelError
from bcfl.market.models.architectures import ARCHITECTURES, shipped_architecture
from bcfl.market.models.build import build_module, export_model, load_module
from bcfl.market.spec.architecture import Architecture, Limits
from bcfl.market.spec.layer_kinds import KINDS, BatchNorm2d, Conv2d, Dropout, Flatten, Linear
from bcfl.market.spec.layers import Layer
from bcfl.market.spec.model_blob import decode_model_blob, encode_model_blob

NORMALISED = Architecture(
    (2, 4, 4), (Conv2d(3, kernel=3), BatchNorm2d(), Flatten(), Dropout(50), Linear(3))
)


def weights_of(architecture: Architecture, seed: int) -> dict[str, np.ndarray]:
    return dict(export_model(build_module(architecture, seed), architecture).weights)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 8, 8), (3, 32, 32)])
def test_shipped_architectures_build_and_fit_the_default_limits(name, shape):
    architecture = shipped_architecture(name, shape, 7)
    module = build_module(architecture, seed=0)
    assert module(torch.zeros(2, *shape)).shape == (2, 7)
    running = sum(buffer.numel() for key, buffer in module.named_buffers() if "running" in key)
    parameters = sum(parameter.numel() for parameter in module.parameters()) + running
    assert architecture.check().parameters == parameters


def test_there_are_three_shipped_architectures_that_differ():
    texts = {shipped_architecture(name, (1, 28, 28), 10).to_json() for name in ARCHITECTURES}
    assert len(texts) == len(ARCHITECTURES) >= 3


def test_an_mlp_takes_vectors_and_a_cnn_does_not():
    module = build_module(shipped_architecture("mlp", (12,), 3), seed=0)
    assert module(torch.zeros(2, 12)).shape == (2, 3)
    with pytest.raises(ArchitectureError, match=r"layer 0.*\(channels, height, width\)"):
        shipped_architecture("cnn", (12,), 3)


def test_an_unknown_architecture_is_refused_with_the_list_of_known_ones():
    with pytest.raises(ConfigurationError, match="cnn, deep_cnn, mlp; found 'resnet'"):
        shipped_architecture("resnet", (1, 28, 28), 10)


layers = st.one_of(
    *(
        st.builds(kind, **{each.name: st.integers(1, 5) for each in fields(kind)})
        for kind in KINDS.values()
    )
)


@given(
    st.sampled_from([(1, 9, 8), (3, 7, 7), (11,)]),
    st.lists(layers, max_size=6),
    st.booleans(),
)
def test_torch_agrees_with_every_inferred_shape(shape, chosen: list[Layer], flat):
    try:
        end = (Flatten(), Linear(3)) if flat else (Linear(3),)
        architecture = Architecture(shape, (*chosen, *end))
    except ArchitectureError:
        assume(False)
    module, values = build_module(architecture, seed=0).eval(), torch.zeros(2, *shape)
    for entry, expected in zip(module, architecture.shapes()[1:], strict=True):
        values = entry(values)
        assert values.shape == (2, *expected)
    slots = {slot.key: slot.shape for slot in architecture.arrays()}
    state = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    assert slots == {key: shape for key, shape in state.items() if "num_batches" not in key}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_can_be_built(kind):
    layer = kind(**{each.name: 1 for each in fields(kind) if each.name != "padding"})
    chain = (layer, Linear(2)) if kind is Linear else (layer, Flatten(), Linear(2))
    shape = (4,) if kind is Linear else (1, 2, 2)
    assert isinstance(build_module(Architecture(shape, chain), seed=0)[0], nn.Module)


def test_a_seed_decides_the_weights_and_leaves_torchs_generator_alone():
    before = torch.get_rng_state()
    one, same, other = (weights_of(NORMALISED, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(np.array_equal(one[key], same[key]) for key in one)
    assert not np.array_equal(one["0.weight"], other["0.weight"])


def test_a_model_survives_the_way_through_a_blob():
    module = build_module(NORMALISED, seed=5)
    samples = torch.randn(8, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    module(samples)  # in training mode: moves the running statistics
    model = export_model(module, NORMALISED)
    assert model.weights["1.running_mean"].any()
    author = bytes(20)
    loaded = load_module(decode_model_blob(encode_model_blob(model, author), author))
    assert torch.equal(loaded(samples), module.eval()(samples))


def test_a_loaded_model_is_frozen_and_drops_nothing():
    loaded = load_module(export_model(build_module(NORMALISED, seed=5), NORMALISED))
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_exporting_copies():
    module = build_module(NORMALISED, seed=5)
    model = export_model(module, NORMALISED)
    before = model.weights["4.bias"].copy()
    with torch.no_grad():
        module[4].bias += 1
    assert np.array_equal(model.weights["4.bias"], before)


def test_a_training_that_went_to_nan_cannot_be_exported():
    module = build_module(NORMALISED, seed=5)
    with torch.no_grad():
        module[4].bias[0] = torch.nan
    with pytest.raises(ModelError, match=r"4\.bias holds finite numbers"):
        export_model(module, NORMALISED)


def test_nothing_is_built_beyond_the_limits(monkeypatch):
    def allocate(*_: object) -> nn.Module:
        raise AssertionError("something was allocated")

    monkeypatch.setattr(nn, "Linear", allocate)
    monkeypatch.setattr(nn, "Conv2d", allocate)
    huge = Architecture((1, 200, 200), (Flatten(), Linear(60_000), Linear(10)))
    with pytest.raises(ArchitectureError, match="layer 1: expected at most 5,000,000 parameters"):
        build_module(huge, seed=0)
    with pytest.raises(ArchitectureError, match="at most 10 parameters"):
        build_module(NORMALISED, seed=0, limits=Limits(parameters=10))
