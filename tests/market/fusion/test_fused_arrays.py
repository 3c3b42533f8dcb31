"""A fused model as arrays: the same predictions when it comes back, and no other model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bcfl.core.errors import ArchitectureError, ModelError
from bcfl.market.fusion.fused_arrays import fused_arrays, fused_from_arrays, load_fused, save_fused
from bcfl.market.fusion.fused_model import FusedModel
from bcfl.market.fusion.settings import FusionSettings
from bcfl.market.spec.architecture import Limits
from tests.market.conftest import Market, fuse_models


@pytest.fixture(scope="module")
def fused(market: Market) -> FusedModel:
    return fuse_models(market.models[:3], market.verification, FusionSettings(steps=5))


def test_it_classifies_as_before(market: Market, fused: FusedModel, tmp_path: Path) -> None:
    save_fused(fused, tmp_path / "fused.safetensors")
    found = load_fused(tmp_path / "fused.safetensors")
    samples = market.images.test_images[:50]
    assert np.array_equal(found.logits(samples), fused.logits(samples))
    assert len(found.models) == 3


def test_the_order_of_the_arrays_does_not_matter(fused: FusedModel, market: Market) -> None:
    arrays = fused_arrays(fused)
    shuffled = dict(sorted(arrays.items(), reverse=True))
    samples = market.images.test_images[:5]
    found = fused_from_arrays(shuffled).logits(samples)
    assert np.array_equal(found, fused.logits(samples))


def test_no_model_is_no_fused_model() -> None:
    with pytest.raises(ModelError, match="found none"):
        fused_arrays(FusedModel())
    with pytest.raises(ModelError, match="has an array"):
        fused_from_arrays({})


def test_other_arrays_are_refused(fused: FusedModel) -> None:
    arrays = fused_arrays(fused)
    without = {name: array for name, array in arrays.items() if "model.0." not in name}
    with pytest.raises(ModelError, match="numbered from 0; found no 0"):
        fused_from_arrays(without)
    lacking = {name: array for name, array in arrays.items() if name != "model.0.0.weight"}
    with pytest.raises(ModelError):
        fused_from_arrays(lacking)
    strange = arrays | {"fusion.activation": np.frombuffer(b"exec", np.uint8)}
    with pytest.raises(ModelError, match="φ is one of"):
        fused_from_arrays(strange)
    with pytest.raises(ModelError, match="two dimensions"):
        fused_from_arrays(arrays | {"fusion.output_weight": np.zeros(3)})
    with pytest.raises(ArchitectureError):
        fused_from_arrays(arrays, Limits(parameters=10))


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(ModelError, match="holds no fused model"):
        load_fused(path)
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(ModelError, match="holds no fused model"):
        load_fused(path)
