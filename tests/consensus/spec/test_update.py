"""γ within each array: what a member keeps, and what a reviewer refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bcfl.consensus.spec.codec import Heading
from bcfl.consensus.spec.delta import Delta
from bcfl.consensus.spec.rules import Rules
from bcfl.consensus.spec.update import updates_of
from bcfl.core.errors import CodecError

HEADING = Heading(b"a" * 20, 1, b"m" * 32)
RULES = Rules(gamma=0.1, warmup_rounds=0, gamma_within="array")
MODEL = {
    "weight": np.zeros((4, 5), np.float32),
    "nothing": np.zeros(0, np.float32),
    "norm.running_var": np.zeros(3, np.float32),
    "scale": np.zeros((), np.float32),
}
TRAINED = {
    "weight": np.arange(20, dtype=np.float32).reshape(4, 5) / 100,
    "nothing": np.zeros(0, np.float32),
    "norm.running_var": np.array([50, 70, 60], np.float32),
    "scale": np.array(0.001, np.float32),
}


def test_statistics_of_large_numbers_leave_the_weights_their_share() -> None:
    of_all = updates_of(replace(RULES, gamma_within="model"), MODEL).of(TRAINED, MODEL, 1)
    assert of_all.indices.tolist() == [20, 21, 22]
    of_each = updates_of(RULES, MODEL).of(TRAINED, MODEL, 1)
    assert of_each.indices.tolist() == [18, 19, 21, 23]


def test_a_delta_survives_its_bytes_in_every_round() -> None:
    for round_ in (1, 2):
        updates = updates_of(replace(RULES, warmup_rounds=1), MODEL)
        delta = updates.of(TRAINED, MODEL, round_)
        heading = replace(HEADING, round=round_)
        blob = updates.encode(delta, heading)
        assert len(blob) == updates.most_bytes(round_)
        assert updates.decode(blob, heading).indices.tolist() == delta.indices.tolist()


def test_as_many_entries_of_other_arrays_are_refused() -> None:
    updates = updates_of(RULES, MODEL)
    crowded = Delta(24, np.array([18, 21, 22, 23]), np.ones(4, np.float32))
    blob = updates.encode(crowded, HEADING)
    with pytest.raises(CodecError, match="expected 2 of the 20 entries of array 0; found 1"):
        updates.decode(blob, HEADING)
    other = updates_of(replace(RULES, gamma_within="model", gamma=4 / 24), MODEL)
    assert other.decode(blob, HEADING).k == 4
