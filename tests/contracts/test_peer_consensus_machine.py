"""Anybody calls anything, at any time: the contract does what the model does, and no more."""

from __future__ import annotations

import pytest

from tests.contracts.anybody import ALWAYS, Anybody, expect_all, play


@pytest.mark.timeout(7200)  # for the profile `fuzz`
def test_anybody_calling_anything_keeps_every_promise() -> None:
    expect_all(play(Anybody), ALWAYS)
