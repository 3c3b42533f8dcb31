"""A node with a key of its own: what the server can have it deposit, and where."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Message, MessageType, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from bcfl.amounts import in_ether
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.core.errors import ConfigurationError
from bcfl.flower.identity import CONTRACT, KEY_FILE, MOST_STAKE_WEI
from bcfl.keys.accounts import Account, derive_account
from bcfl.market.contract.ledger import AboveCap
from bcfl.market.federation.client_app import market_app
from bcfl.market.federation.records import Action, Order
from bcfl.market.roles.description import Description
from bcfl.market.roles.verifier import Verifier
from bcfl.market.spec.model_blob import TrainedModel
from tests.market.conftest import Market
from tests.market.roles.world import BOND, ETHER, STAKE, World

Say = Callable[..., Message]


@pytest.fixture
def world(market: Market, tmp_path: Path) -> Iterator[World]:
    with EmbeddedChain() as chain:
        yield World(chain, tmp_path, market.verification, verifiers=(Verifier,) * 5)


@pytest.fixture
def say(world: World, market: Market, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Give the node an order, as the server would; ``config`` is its owner's."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 0
    monkeypatch.setenv("BCFL_KEY_PASSWORD", "pw")
    path = world.folder / "key.json"
    account = Account(bytes(range(1, 33)))
    account.create_key_file(path, "pw")
    world.chain.fund(account.address, ETHER)
    world.accounts["node"] = account

    def train(context: Context, description: Description) -> TrainedModel:
        assert description.measuring
        return market.models[3]

    def say(action: Action, **config: Any) -> Message:
        with world.chain.connect() as connection:
            chain_id = connection.chain_id
        folders = str(world.folder / "blobs"), str(world.folder / "nodes")
        order = Order(world.chain.url, chain_id, world.market.address, 0, *folders)
        config = {KEY_FILE: str(path), **config}
        context = Context(
            run_id=1, node_id=2, node_config=config, state=RecordDict(), run_config={}
        )
        kind = MessageType.TRAIN if action == "contribute" else MessageType.EVALUATE
        content = order.to(action, world.task).content()
        return market_app(train)(Message(content, 2, kind), context)

    return say


def spent(world: World) -> int:
    with world.chain.connect() as connection:
        return ETHER - connection.balance(world.accounts["node"].address)


def test_without_its_owner_s_word_a_node_deposits_nothing(world: World, say: Say) -> None:
    with pytest.raises(AboveCap, match=f"a bond of {in_ether(BOND)}; .* bcfl-stake-wei"):
        say("enter")
    with pytest.raises(AboveCap, match=f"a stake of {in_ether(STAKE)}; .* bcfl-stake-wei"):
        say("contribute")
    assert spent(world) == 0


def test_a_node_deposits_what_its_owner_allows_and_no_more(world: World, say: Say) -> None:
    with pytest.raises(AboveCap):
        say("enter", **{MOST_STAKE_WEI: BOND - 1})
    assert spent(world) == 0
    say("enter", **{MOST_STAKE_WEI: BOND})
    address = world.accounts["node"].address
    assert world.market.place_of(world.task, address).is_in
    # it goes out of the pool to submit, and may come in again
    say("contribute", **{MOST_STAKE_WEI: BOND})
    assert not world.market.place_of(world.task, address).is_in
    say("enter", **{MOST_STAKE_WEI: BOND})
    assert BOND + STAKE < spent(world) < BOND + STAKE + 10**15


def test_a_node_is_for_the_contract_that_its_owner_names(world: World, say: Say) -> None:
    other = derive_account(0, "another contract", 0).address
    with pytest.raises(ConfigurationError, match=f"for the market {other}"):
        say("enter", **{MOST_STAKE_WEI: ETHER, CONTRACT: other})
    say("enter", **{MOST_STAKE_WEI: ETHER, CONTRACT: world.market.address})
    assert world.market.place_of(world.task, world.accounts["node"].address).is_in
