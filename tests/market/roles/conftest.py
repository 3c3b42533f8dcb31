"""Panels of five judge here over and over."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def panels_compute_once(fused_once: None) -> None:
    """Every module here takes it."""
