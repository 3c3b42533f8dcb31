"""What every test shares: seeds that hold, and few Hypothesis examples unless fuzzing.

``make fuzz`` runs the same tests with the profile ``fuzz``.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "suite",
    derandomize=True,
    deadline=None,
    max_examples=25,
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile(
    "fuzz", parent=settings.get_profile("suite"), derandomize=False, max_examples=1000
)
settings.load_profile("fuzz" if os.environ.get("BCFL_FUZZ") else "suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file first: begun last, it would leave the other worker idle."""
    items.sort(key=lambda item: "tests/cluster/" not in item.nodeid)
