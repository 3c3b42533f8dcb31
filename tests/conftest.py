"""What every test shares: seeds that hold, and few Hypothesis examples unless fuzzing.

``make fuzz`` runs the same tests with the profile ``fuzz``.
"""

from __future__ import annotations

import os

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
