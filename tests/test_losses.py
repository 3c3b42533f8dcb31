"""The losses that apps can import, in NumPy and in PyTorch alike."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from bcfl.losses import bounded_loss, class_balanced

LOGITS = npst.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(2, 6)),
    elements=st.floats(-50, 50, width=32),
)


@given(LOGITS, st.data())
def test_it_is_the_squared_distance_of_the_square_roots(
    logits: np.ndarray, data: st.DataObject
) -> None:
    count, classes = logits.shape
    labels = data.draw(npst.arrays(np.int64, count, elements=st.integers(0, classes - 1)))
    exact = logits.astype(np.float64)
    chances = np.exp(exact - exact.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    distance = ((np.sqrt(chances) - np.sqrt(np.eye(classes)[labels])) ** 2).sum(1)
    found = bounded_loss(logits, labels)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, distance, atol=1e-5)
    tensor = bounded_loss(torch.from_numpy(logits), torch.from_numpy(labels))
    np.testing.assert_allclose(tensor.numpy(), distance, atol=1e-5)


def test_a_guess_is_told_from_what_is_wrong_and_sure() -> None:
    logits = np.array([[0.0] * 4, [900.0, 0, 0, 0], [900.0, 0, 0, 0]])
    assert bounded_loss(logits, np.array([0, 0, 1])).tolist() == [1.0, 0.0, 2.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_as_wrong_as_can_be(bad: float) -> None:
    logits, labels = np.array([[bad, 0.0], [0.0, bad]], np.float32), np.array([0, 0])
    assert bounded_loss(logits, labels).tolist() == [2.0, 2.0]
    tensors = torch.from_numpy(logits), torch.from_numpy(labels)
    assert bounded_loss(*tensors).tolist() == [2.0, 2.0]


def test_its_gradient_is_bounded_even_where_the_model_is_wrong_and_sure() -> None:
    logits = torch.tensor([[40.0, 0.0, 0.0]], requires_grad=True)
    bounded_loss(logits, torch.tensor([1])).sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.abs().max() <= 1


def test_every_class_that_occurs_weighs_the_same() -> None:
    losses, labels = np.array([1.0, 1.0, 1.0, 3.0]), np.array([0, 0, 0, 5])
    assert class_balanced(losses, labels) == 2.0
    assert class_balanced(torch.from_numpy(losses), torch.from_numpy(labels)) == 2.0
    assert math.isnan(class_balanced(losses[:0], labels[:0]))


def test_who_has_no_pytorch_needs_none() -> None:
    code = "import sys, bcfl.losses; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
