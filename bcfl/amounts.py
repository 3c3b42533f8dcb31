"""Amounts and times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal


def in_ether(wei: int) -> str:
    """``"0.05 ether"``: exact, whatever the number."""
    text = f"{Decimal(wei).scaleb(-18):f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} ether"


def in_words(timestamp: int) -> str:
    """``"2026-11-28 21:50 UTC"``, of seconds since 1970; the number where no calendar has it."""
    try:
        return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%d %H:%M UTC}"
    except (OverflowError, ValueError, OSError):
        return f"second {timestamp}"
