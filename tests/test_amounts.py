"""Amounts and times as people write them: exact, and never an error."""

from __future__ import annotations

import pytest

from bcfl.amounts import in_ether, in_words


@pytest.mark.parametrize(
    ("wei", "said"),
    [
        (0, "0 ether"),
        (1, "0.000000000000000001 ether"),
        (10**17, "0.1 ether"),
        (100 * 10**18, "100 ether"),
        (2**255, f"{2**255 // 10**18}.{2**255 % 10**18:018d} ether".replace("0 ether", " ether")),
    ],
)
def test_an_amount_is_exact(wei: int, said: str) -> None:
    assert in_ether(wei) == said


def test_a_time_is_a_date_where_there_is_one() -> None:
    assert in_words(1_795_816_200) == "2026-11-27 21:50 UTC"
    assert in_words(2**63) == f"second {2**63}"
