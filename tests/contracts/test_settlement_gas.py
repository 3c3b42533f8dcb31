"""What settled rounds cost, held against the snapshot and the figure that was promised."""

from __future__ import annotations

import json

from tests.contracts.settlement_gas import SNAPSHOT, measure

_SNAPSHOT = json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_gas_is_as_in_the_snapshot() -> None:
    assert measure([10]) == {"10": _SNAPSHOT["10"]}


def test_a_quiet_round_costs_at_most_75k_with_any_number_of_members() -> None:
    assert [size for size, gas in _SNAPSHOT.items() if gas["settle"] > 75_000] == []


def test_an_answer_fits_a_transaction_and_a_block() -> None:
    for gas in _SNAPSHOT.values():
        assert gas["answer"] < 2**24, "EIP-7825"
        assert gas["answer, bytes"] < 128 * 1024 - 512, "what nodes pass on"
