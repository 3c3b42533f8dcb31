"""A ClientApp of whoever started the run, in the process of a node with a signer."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.supercore.task_identity import TaskIdentity

from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.member.mod import peer_consensus_mod
from bcfl.consensus.records import RoundOrder, TrainReply
from bcfl.consensus.spec.domain import Commitment
from bcfl.consensus.spec.messages import commitment_message
from bcfl.consensus.spec.rules import Rules
from bcfl.core.errors import BcflError, SignedAlready
from bcfl.core.model import model_digest
from bcfl.flower.handlers import to_arrays
from bcfl.flower.identity import signer_from
from bcfl.keys.accounts import signed_by
from tests import toy
from tests.consensus.signer.conftest import STAKE, Task


@pytest.fixture(autouse=True)
def _identity() -> None:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 0


def test_a_hostile_app_gets_this_rounds_word_and_no_key(
    task: Task, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("BCFL_KEY_PASSWORD", raising=False)
    task.open()
    task.signer(direct=True)
    app, loot = ClientApp(), {}

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        wallet: Any = signer_from(context, 0)
        said = [task.commitment(digest) for digest in (1, 2)]
        loot["signatures"] = [attempt(wallet.sign, each) for each in said]
        loot["said"] = said
        loot["payment"] = attempt(wallet.sign_transaction, steal(task))
        loot["reach"] = [*vars(wallet).values(), *context.node_config.values(), *os.environ]
        return Message(RecordDict(), reply_to=message)

    app(Message(RecordDict(), 10, "evaluate"), node(task))
    first, second = loot["signatures"]
    assert signed_by(loot["said"][0], first, task.account.address)
    assert second == "SignedAlready"
    assert loot["payment"] == "SignerRefused"
    assert task.account._key.hex() not in str(loot["reach"])


def test_a_second_run_does_not_make_a_member_equivocate(task: Task):
    """The trap: Flower keeps a context a run, so that a second run forgets the first."""
    rules, record = Rules(gamma=0.5), toy.initial_arrays()
    base = model_digest(to_arrays(record))
    task.server = deploy(task, rules, base)
    task.contract = task.server.domain.contract
    task.server.open_round(base, 3)
    task.signer()
    app = ClientApp(mods=[peer_consensus_mod])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        rate = np.float32(message.content["config"]["lr"])
        arrays = message.content["arrays"].to_numpy_ndarrays()
        weights = [w + rate * np.arange(1, w.size + 1, dtype="f4").reshape(w.shape) for w in arrays]
        content = {"arrays": ArrayRecord(weights), "m": MetricRecord({"num-examples": 1})}
        return Message(RecordDict(content), reply_to=message)

    def ask(lr: float) -> TrainReply:
        text = json.dumps(rules.to_json())
        order = RoundOrder("http://127.0.0.1:1", task.contract, 1, text, 0, False)
        content = {"arrays": record, "config": ConfigRecord({"lr": lr}), "bcfl": order.to_record()}
        return TrainReply.read(app(Message(RecordDict(content), 10, "train"), node(task)).content)

    reply = ask(0.1)
    said = Commitment(1, base, reply.digest, reply.timestamp)
    assert signed_by(
        commitment_message(task.server.domain, said), reply.signature, task.account.address
    )
    with pytest.raises(SignedAlready):
        ask(0.2)
    other = replace(said, digest=bytes(32))
    assert not signed_by(
        commitment_message(task.server.domain, other), reply.signature, task.account.address
    )


def attempt(call: Any, argument: Any) -> Any:
    try:
        return call(argument)
    except BcflError as error:
        return type(error).__name__


def steal(task: Task) -> dict[str, Any]:
    return {
        "type": 2,
        "chainId": task.server.domain.chain_id,
        "to": task.other.address,
        "data": b"",
        "value": STAKE,
        "nonce": 0,
        "gas": 21_000,
        "maxFeePerGas": 10**9,
        "maxPriorityFeePerGas": 1,
    }


def node(task: Task) -> Context:
    config: dict[str, Any] = {"bcfl-signer": f"unix:{task.folder / 's.sock'}"}
    return Context(run_id=1, node_id=10, node_config=config, state=RecordDict(), run_config={})


def deploy(task: Task, rules: Rules, genesis: bytes) -> Ledger:
    return Ledger.deploy(
        task.chain.connect(task.chain.coordinator),
        task.chain.wait_until,
        members=[task.account.address, task.other.address],
        genesis=genesis,
        rules=rules.digest(),
        kappa_ppm=rules.kappa_ppm,
        quorum=2,
        commit_window_s=60,
        ballot_window_s=60,
        sealed=False,
        stake=0,
    )
