"""A and B: what they put out, and arrays that cannot be them."""

from __future__ import annotations

import numpy as np
import pytest

from bcfl.core.errors import ModelError
from bcfl.market.fusion.layers import FusionLayers

#: Two models with 2 features and 1 feature, two classes.
SMALL = FusionLayers(
    "relu",
    (2, 1),
    np.array([[1.0, -1, 0], [0, 2, 0], [1, 1, 1], [0, 0, -1]]),
    np.array([0.0, 1, 0, 0]),
    np.array([[1.0, 0, 1, 0], [0, 1, 0, 1]]),
    np.array([0.5, 0]),
)


def test_hidden_is_phi_of_a_and_logits_are_b_of_hidden():
    features = [np.array([[1.0, 3], [2, 0]]), np.array([[-1.0], [4]])]
    assert SMALL.hidden(features).tolist() == [[0, 7, 3, 1], [2, 1, 6, 0]]
    assert SMALL.logits(features).tolist() == [[3.5, 8], [8.5, 1]]
    assert SMALL.classes == 2


def test_features_of_other_widths_are_refused():
    with pytest.raises(ModelError, match=r"put out \(2, 1\) features; found \(1, 2\)"):
        SMALL.hidden([np.zeros((3, 1)), np.zeros((3, 2))])


def test_layers_that_do_not_fit_each_other_are_refused():
    with pytest.raises(ModelError, match="output_weight of 2 fused models"):
        FusionLayers("elu", (5, 5), np.zeros((3, 10)), np.zeros(3), np.zeros((3, 3)), np.zeros(3))
    with pytest.raises(ModelError, match="output_bias of 1 fused models"):
        FusionLayers(
            "elu", (5,), np.zeros((3, 5)), np.zeros(3), np.zeros((3, 3)), np.full(3, np.nan)
        )
