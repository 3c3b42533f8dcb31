"""What a member makes of what its app cannot evaluate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from bcfl.consensus.member.rating import losses_of
from bcfl.core.errors import ProtocolError


def fails_below_zero(record: Any) -> float:
    if record["w"].numpy()[0] < 0:
        raise ValueError("a variance below 0")
    return 0.5


def model(vector: Any) -> Any:
    return {"w": vector}


def test_who_measured_something_before_is_not_silenced_by_what_it_cannot_measure() -> None:
    """Of sets that all hold the same poison none has a loss, and a member proposes all the same."""
    losses = losses_of(fails_below_zero, model)
    assert losses([np.ones(1)]) == [-0.5]
    assert losses([-np.ones(1), -np.ones(1)]) == [math.inf, math.inf]


def test_an_app_that_can_evaluate_nothing_is_told_so() -> None:
    losses = losses_of(fails_below_zero, model)
    with pytest.raises(ProtocolError, match=r"evaluate failed on every set.*a variance below 0"):
        losses([-np.ones(1), -np.ones(1)])
