"""What settled rounds cost, held against the snapshot and the figure that was promised."""

from __future__ import annotations

import json
from dataclasses import astuple

from tests.contracts.settlement_gas import BOND, SNAPSHOT, SettlementGasTask, measure

_SNAPSHOT = json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_gas_is_as_in_the_snapshot() -> None:
    assert measure([10]) == {"10": _SNAPSHOT["10"]}


def test_a_quiet_round_costs_at_most_75k_with_any_number_of_members() -> None:
    assert [size for size, gas in _SNAPSHOT.items() if gas["settle"] > 75_000] == []


def test_an_answer_fits_a_transaction_and_a_block() -> None:
    for gas in _SNAPSHOT.values():
        assert gas["answer"] < 2**24, "EIP-7825"
        assert gas["answer, bytes"] < 128 * 1024 - 512, "what nodes pass on"


def test_a_bond_pays_the_gas_of_an_answer_and_the_rest_comes_back() -> None:
    task = SettlementGasTask(4)
    _, record, bundle = task.settle()
    challenger, answering = task.web3.eth.accounts[1:3]
    task.functions.challenge(astuple(record)).transact({"from": challenger, "value": BOND})

    words = task.functions.answer(astuple(record), *bundle.words())
    receipt = task.web3.eth.get_transaction_receipt(words.transact({"from": answering}))

    paid = task.functions.withdrawable(answering).call()
    back = task.functions.withdrawable(challenger).call()
    fee = task.web3.eth.get_block(receipt["blockNumber"])["baseFeePerGas"] * receipt["gasUsed"]
    assert paid + back == BOND
    assert 0.9 * fee < paid < 1.1 * fee
