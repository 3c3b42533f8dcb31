"""How to fuse: defaults that both strategies share, and every setting refused out of its range."""

from __future__ import annotations

import pytest

from bcfl.core.errors import ConfigurationError
from bcfl.market.fusion.settings import FusionSettings


@pytest.mark.parametrize(
    "change",
    [
        {"strategy": "III"},
        {"activation": "exec"},
        {"steps": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"decay": -1.0},
        {"decay": 1000.0},
        {"cross_decay": -1.0},
        {"cross_decay": 51.0},
        {"cross_decay": float("nan")},
        {"smoothing": 1.0},
        {"old_columns": "forget"},
        {"seed": -1},
    ],
)
def test_settings_out_of_range_are_refused_by_name(change):
    with pytest.raises(ConfigurationError, match=rf"fusion\.{next(iter(change))}: expected"):
        FusionSettings(**change)
