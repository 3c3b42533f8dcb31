"""What settled rounds cost, held against the snapshot and the figure that was promised."""

from __future__ import annotations

import json
import os
from dataclasses import astuple

import pytest

from bcfl.chain.contract import Contract
from bcfl.consensus.contract.bundle import Bundle
from bcfl.consensus.contract.calldata import SentBallot, SentCommitment
from bcfl.consensus.contract.optimistic import MOST_MEMBERS
from bcfl.consensus.spec.domain import MAX_BALLOT_BYTES, Ballot
from bcfl.consensus.spec.settlement import Record
from bcfl.contracts import artifact
from tests.contracts.peer_consensus_task import NOBODY
from tests.contracts.settlement_gas import BOND, SNAPSHOT, SettlementGasTask, measure

FUZZ = bool(os.environ.get("BCFL_FUZZ"))
_SNAPSHOT = json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_gas_is_as_in_the_snapshot() -> None:
    assert measure([10]) == {"10": _SNAPSHOT["10"]}


def test_a_quiet_round_costs_at_most_75k_with_any_number_of_members() -> None:
    assert [size for size, gas in _SNAPSHOT.items() if gas["settle"] > 75_000] == []


def test_an_answer_fits_a_transaction_and_a_block() -> None:
    for gas in _SNAPSHOT.values():
        assert gas["answer"] < 2**24, "EIP-7825"
        assert gas["answer, bytes"] < 128 * 1024 - 512, "what nodes pass on"


def test_an_answer_is_passed_on_whatever_members_sign() -> None:
    commitment = SentCommitment(1, bytes(32), 2**40, bytes(64) + b"\x1b")
    ballot = SentBallot(1, bytes(MAX_BALLOT_BYTES), bytes(64) + b"\x1b", b"")
    worst = Bundle((commitment,) * MOST_MEMBERS, (ballot,) * MOST_MEMBERS)
    record = Record(1, bytes(32), bytes(32), bytes(32), 0, 0, 0, 0, 0, 0)
    contract = Contract.bind(NOBODY, artifact("PeerSettlement").abi)
    sent = contract.encode("answer", [astuple(record), *worst.words()])
    assert len(sent) < 128 * 1024 - 512


@pytest.mark.skipif(not FUZZ, reason="ten seconds: make fuzz")
def test_an_answer_fits_a_transaction_whatever_members_sign() -> None:
    """The dearest: all rate in pairs, by the widest gaps, and miss one."""
    size = MOST_MEMBERS
    task = SettlementGasTask(size)

    def dear(member: int) -> Ballot:
        missing = (member + 1) % size
        rated = [j for j in range(size) if j not in (member, missing)]
        return Ballot.from_values(task.round, {j: 2**24 * (j // 2) for j in rated}, [missing])

    task.ballot = dear  # type: ignore[method-assign]
    _, record, bundle = task.settle()
    task.send(task.functions.challenge(astuple(record)), BOND)
    assert task.gas(task.functions.answer(astuple(record), *bundle.words())) < 2**24, "EIP-7825"


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
