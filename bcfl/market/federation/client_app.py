"""Contributors and verifiers on the nodes of a Flower federation.

The strategy's messages only say when to look at the chain; what a node then does is what its
role's own program would do (``contributor``, ``verifier``), and neither models nor reports
travel in a message. So of a sale the server can only delay a node. What a node deposits has the
cap that its owner sets, ``bcfl-stake-wei`` in its configuration: for all its bonds together, and
for each stake. With a key of its own, and off development chains, node, chain and contract are
the owner's to name, too (``bcfl.flower.identity``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from bcfl.chain.node_chain import NodeChain
from bcfl.core.errors import ConfigurationError, ProtocolError
from bcfl.flower.identity import (
    MOST_STAKE_WEI,
    account_from,
    has_own_key,
    own_contract,
    refuse_development_key,
    rpc_url_of,
    signer_from,
)
from bcfl.keys.accounts import Account
from bcfl.keys.signer import Wallet
from bcfl.market.contract.ledger import MarketLedger
from bcfl.market.federation.records import Contribution, Introduction, Order, TurnReply
from bcfl.market.roles.access import Session, open_store
from bcfl.market.roles.contributor import Contributor
from bcfl.market.roles.description import Description
from bcfl.market.roles.verifier import Verifier
from bcfl.market.spec.model_blob import TrainedModel

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
        order = Order.read(message.content)
        node = _node(order, context)
        model = train(context, node.contributor.description(order.task))
        # who is in a task's pool may not submit to it; the server asks it in again afterwards
        node.verifier.leave(order.task)
        submission = node.contributor.submit(order.task, model)
        return Message(Contribution(submission).content(), reply_to=message)

    @app.evaluate()
    def act(message: Message, context: Context) -> Message:
        reply = _act(Order.read(message.content), context)
        return Message(reply.content(), reply_to=message)

    return app


def _act(order: Order, context: Context) -> Introduction | TurnReply:
    if order.action == "meet":
        partition = int(context.node_config.get("partition-id", -1))
        return Introduction(account_from(context, order.seed).address, partition)
    node = _node(order, context)
    match order.action:
        case "enter":
            return TurnReply(["entered"] if node.verifier.enter(order.task) else [])
        case "leave":
            return TurnReply(["left"] if node.verifier.leave(order.task) else [])
        case "turn":
            return TurnReply.of(node.contributor.turn(), node.verifier.turn())
        case "contribute":
            raise ProtocolError("contribute is ordered by a train message; found an evaluate one")


@dataclass(frozen=True, slots=True)
class _Node:
    """The roles of one account, on one market."""

    session: Session
    contributor: Contributor
    verifier: Verifier


def _node(order: Order, context: Context) -> _Node:
    account = account_from(context, order.seed)
    refuse_development_key(context, order.chain_id)
    folder = context.node_config.get(FOLDER, order.folder)
    store = context.node_config.get(STORE, order.store)
    if not folder or not store:
        raise ConfigurationError(
            f'start this node with --node-config \'{STORE}="http://127.0.0.1:5001" '
            f'{FOLDER}="/a/folder/of/its/own"\''
        )
    own = Path(str(folder)) / account.address.lower()
    contract = own_contract(context)
    if contract and contract != order.market:
        raise ConfigurationError(
            f"this node is for the market {contract}; the server names {order.market}"
        )
    # simulated nodes have nothing to lose
    cap = int(context.node_config.get(MOST_STAKE_WEI, 0 if has_own_key(context) else 2**96))
    url = rpc_url_of(context, order.rpc_url)
    wallet = signer_from(context, order.seed)
    return _roles(url, order.market, str(store), own, account, wallet, cap)


@lru_cache(maxsize=256)
def _roles(
    rpc_url: str,
    market: str,
    store: str,
    folder: Path,
    account: Account,
    wallet: Wallet,
    cap: int,
) -> _Node:
    """Kept from one message to the next: what a verifier has fused is slow to make again."""
    chain = NodeChain(rpc_url, account)
    # without a way to wait: that would cost gas, and the server says when to look again
    ledger = MarketLedger.attach(chain.connect(wallet), market)
    session = Session(chain, ledger, open_store(store), account, folder, cap, cap)
    return _Node(session, Contributor(session), Verifier(session))
