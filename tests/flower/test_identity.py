"""Which key a node plays with, and what a node with a key of its own pays."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, RecordDict

from bcfl.core.errors import AccountError
from bcfl.flower.identity import (
    CHAIN_ID,
    CONTRACT,
    DEVELOPMENT_KEY,
    KEY_FILE,
    MOST_STAKE_WEI,
    RPC_URL,
    SIGNER,
    account_from,
    expect_own_node,
    refuse_development_key,
    rpc_url_of,
    signer_from,
)
from bcfl.keys.accounts import Account, derive_account
from bcfl.keys.signer_client import RemoteSigner

CONTRACT_AT = derive_account(0, "contract", 0).address
PINNED = {RPC_URL: "http://127.0.0.1:8545", CHAIN_ID: 1, CONTRACT: CONTRACT_AT}
FIELDS = {
    "type": 2,
    "chainId": 1,
    "to": CONTRACT_AT,
    "data": b"",
    "value": 5,
    "nonce": 0,
    "gas": 21_000,
    "maxFeePerGas": 1,
    "maxPriorityFeePerGas": 1,
}


def node(**config: Any) -> Context:
    return Context(run_id=1, node_id=2, node_config=config, state=RecordDict(), run_config={})


@pytest.fixture
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("BCFL_KEY_PASSWORD", "pw")
    Account(bytes(range(1, 33))).create_key_file(tmp_path / "key.json", "pw")
    return str(tmp_path / "key.json")


def test_a_key_of_ones_own_pays_only_where_its_owner_named_node_chain_and_contract(key_file: str):
    for missing in PINNED:
        config = {name: value for name, value in PINNED.items() if name != missing}
        wallet = signer_from(node(**config, **{KEY_FILE: key_file, MOST_STAKE_WEI: 5}), 0)
        with pytest.raises(AccountError, match=missing):
            wallet.sign_transaction(FIELDS)
    wallet = signer_from(node(**PINNED, **{KEY_FILE: key_file, MOST_STAKE_WEI: 5}), 0)
    assert wallet.sign_transaction(FIELDS)
    for other in ({"chainId": 10}, {"to": wallet.address}, {"value": 6}):
        with pytest.raises(AccountError, match="this node pays"):
            wallet.sign_transaction(FIELDS | other)
    unnamed = signer_from(node(**{KEY_FILE: key_file}), 0)
    assert unnamed.sign_transaction(FIELDS | {"chainId": 31337})


def test_a_real_supernode_plays_with_no_key_that_everybody_can_derive(
    monkeypatch: pytest.MonkeyPatch,
):
    assert signer_from(node(**{"partition-id": 0}), 7) == derive_account(7, "member", 0)
    monkeypatch.setattr(sys, "argv", ["/venv/bin/flwr-clientapp", "--runtime-api"])
    with pytest.raises(AccountError, match=DEVELOPMENT_KEY):
        signer_from(node(**{"partition-id": 0}), 7)
    assert signer_from(node(**{"partition-id": 0, DEVELOPMENT_KEY: True}), 7)


def test_a_node_with_a_signer_has_no_other_key(key_file: str):
    context = node(**{SIGNER: "unix:/nowhere.sock", "partition-id": 0})
    assert isinstance(signer_from(context, 7), RemoteSigner)
    refuse_development_key(context, 1)
    assert rpc_url_of(node(**{**context.node_config, **PINNED}), "http://server") == PINNED[RPC_URL]
    with pytest.raises(AccountError, match="both"):
        signer_from(node(**{SIGNER: "unix:/nowhere.sock", KEY_FILE: key_file}), 7)
    with pytest.raises(AccountError, match=KEY_FILE):
        account_from(context, 7)
    with pytest.raises(AccountError, match="no key"):
        signer_from(node(), 7)


def test_a_key_of_ones_own_believes_no_node_that_only_the_server_names(key_file: str):
    named = node(**{KEY_FILE: key_file, RPC_URL: "http://127.0.0.1:8545"})
    expect_own_node(named, 1)
    expect_own_node(node(**{"partition-id": 0}), 31337)
    expect_own_node(node(**{KEY_FILE: key_file}), 31337)
    with pytest.raises(AccountError, match=f"believes no Ethereum node.*{RPC_URL}"):
        expect_own_node(node(**{KEY_FILE: key_file}), 1)
