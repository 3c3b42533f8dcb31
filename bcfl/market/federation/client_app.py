"""Contributors and verifiers on the nodes of a Flower federation.

The strategy's messages only say when to look at the chain; what a node then does is what its
role's own program would do (``contributor``, ``verifier``), and neither models nor reports
travel in a message. So of a sale the server can only delay a node. But it names the chain and
the market, and with them the bond and the stake that the node's account deposits: give that
account no more than it may lose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from bcfl.chain.anvil import NodeChain
from bcfl.core.errors import ConfigurationError, ProtocolError
from bcfl.flower.identity import refuse_development_key, signer_from
from bcfl.keys.accounts import Account
from bcfl.market.contract.ledger import MarketLedger
from bcfl.market.roles.access import open_store
from bcfl.market.roles.contributor import Contributor
from bcfl.market.roles.description import Description, fetch_description
from bcfl.market.roles.history import expect_task
from bcfl.market.roles.verifier import Verifier
from bcfl.market.spec.model_blob import TrainedModel
from bcfl.store.blob_store import BlobStore

__all__ = ["MARKET_KEY", "STORE", "TrainModel", "market_app"]

#: The ConfigRecord of orders and replies.
MARKET_KEY = "bcfl-market"
#: In ``--node-config``: the node's own way to the blobs, a folder or the URL of a Kubo node.
STORE = "bcfl-store"
#: In ``--node-config``: where the node remembers what it has offered and found.
FOLDER = "bcfl-folder"

#: What a node brings along: given the task's description, a model trained on its own data.
TrainModel: TypeAlias = Callable[[Context, Description], TrainedModel]


def market_app(train: TrainModel) -> ClientApp:
    """A Flower app whose nodes contribute what ``train`` makes, and verify what others make.

    Parameters
    ----------
    train : callable
        (context, description) to the node's model; called once a submission.
    """
    app = ClientApp()

    @app.train()
    def contribute(message: Message, context: Context) -> Message:
        node = _node(message, context)
        number = _number(message, "task")
        terms = expect_task(node.ledger, number)
        model = train(context, fetch_description(node.store, terms.description))
        submission = node.contributor.submit(number, model)
        return _reply(message, {"submission": submission.hex()})

    @app.evaluate()
    def look(message: Message, context: Context) -> Message:
        order = _text(message, "order")
        if order == "meet":
            seed = _number(message, "seed")
            partition = int(context.node_config.get("partition-id", -1))
            address = signer_from(context, seed).address
            return _reply(message, {"address": address, "partition": partition})
        node = _node(message, context)
        if order == "register":
            return _reply(message, {"deeds": ["registered"] if node.verifier.register() else []})
        if order == "leave":
            node.verifier.leave()
            return _reply(message, {"deeds": ["left"]})
        if order != "turn":
            raise ProtocolError(f"expected meet, register, turn or leave; found {order!r:.20}")
        turns = node.contributor.turn(), node.verifier.turn()
        content: dict[str, str | int | list[str] | list[int]] = {
            "deeds": [deed for turn in turns for deed in turn.deeds],
            "troubles": [trouble for turn in turns for trouble in turn.troubles],
            "wakes": [turn.wake for turn in turns if turn.wake is not None],
        }
        return _reply(message, content)

    return app


@dataclass(frozen=True, slots=True)
class _Node:
    """The roles of one account, on one market."""

    ledger: MarketLedger
    store: BlobStore
    contributor: Contributor
    verifier: Verifier


def _node(message: Message, context: Context) -> _Node:
    account = signer_from(context, _number(message, "seed"))
    refuse_development_key(context, _number(message, "chain-id"))
    folder = context.node_config.get(FOLDER, _text(message, "folder"))
    store = context.node_config.get(STORE, _text(message, "store"))
    if not folder or not store:
        raise ConfigurationError(
            f'start this node with --node-config \'{STORE}="http://127.0.0.1:5001" '
            f'{FOLDER}="/a/folder/of/its/own"\''
        )
    return _roles(
        _text(message, "rpc-url"),
        _text(message, "market"),
        str(store),
        Path(str(folder)) / account.address.lower(),
        account,
    )


@lru_cache(maxsize=256)
def _roles(rpc_url: str, market: str, store: str, folder: Path, account: Account) -> _Node:
    """Kept from one message to the next: what a verifier has fused is slow to make again."""
    chain = NodeChain(rpc_url, account)
    ledger = MarketLedger.attach(chain.connect(account), market, chain.wait_until)
    blobs = open_store(store)
    return _Node(
        ledger,
        blobs,
        Contributor(ledger, blobs, account, folder),
        Verifier(ledger, blobs, account, folder),
    )


def _reply(message: Message, content: dict[str, str | int | list[str] | list[int]]) -> Message:
    return Message(RecordDict({MARKET_KEY: ConfigRecord(dict(content))}), reply_to=message)


def _text(message: Message, name: str) -> str:
    return str(_order(message).get(name, ""))


def _number(message: Message, name: str) -> int:
    value = _order(message).get(name)
    if not isinstance(value, int):
        raise ProtocolError(f"expected a whole number {name} in the order; found {value!r:.40}")
    return value


def _order(message: Message) -> ConfigRecord:
    order = message.content.config_records.get(MARKET_KEY)
    if order is None:
        raise ProtocolError(
            "expected an order of bcfl.strategies.ModelFusion; found another message: which "
            "strategy does the server run?"
        )
    return order
