"""Which Ethereum account a Flower node is, and what its owner says of the task.

A SuperNode is started with ``--node-config 'bcfl-signer="unix:/path.sock"'``: the key is in
another process of its owner's (``bcfl signer``), and the app, which whoever starts the run
ships, cannot read it. With ``bcfl-key-file="/path/key.json"`` instead, and the password in
``BCFL_KEY_PASSWORD`` or in the file that ``BCFL_KEY_PASSWORD_FILE`` names, it can.

=======================  ===========================================================
``bcfl-signer``          where the signer listens; it knows node, chain and contract
``bcfl-key-file``        a key file; off development chains it pays only where the
                         next three are given, and only what ``bcfl-stake-wei`` says
``bcfl-rpc-url``         the owner's Ethereum node
``bcfl-chain-id``        the owner's chain
``bcfl-contract``        the one task
``bcfl-development-key``  true: a SuperNode may use a key that everybody can derive
``bcfl-folder``          where what was signed, and the receipts for it, are kept for good
``bcfl-direct-fallback``  true: what the server did not bring on chain when it comes again is
                         sent by the node itself, which pays; ``bcfl signer`` has its own
=======================  ===========================================================
"""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from flwr.app import Context

from bcfl.core.errors import AccountError
from bcfl.keys.accounts import DEVELOPMENT_CHAINS, Account, derive_account
from bcfl.keys.signer import Wallet
from bcfl.keys.signer_client import RemoteSigner

KEY_FILE = "bcfl-key-file"
SIGNER = "bcfl-signer"
RPC_URL = "bcfl-rpc-url"
CHAIN_ID = "bcfl-chain-id"
CONTRACT = "bcfl-contract"
MOST_STAKE_WEI = "bcfl-stake-wei"
DEVELOPMENT_KEY = "bcfl-development-key"
FOLDER = "bcfl-folder"
DIRECT_FALLBACK = "bcfl-direct-fallback"
#: Whether the node may challenge what was settled otherwise than it was signed.
CHALLENGE = "bcfl-challenge"


class OwnersAccount:
    """A key file's account that pays only where its node's owner said so.

    Implements ``Wallet`` and ``Reader``. On development chains it pays anything.
    """

    def __init__(self, account: Account, node_config: dict[str, Any]) -> None:
        self._account = account
        self._config = node_config

    @property
    def address(self) -> str:
        """Checksummed address."""
        return self._account.address

    @property
    def public_key(self) -> bytes:
        """64 bytes."""
        return self._account.public_key

    def sign(self, message: dict[str, Any]) -> bytes:
        """65 bytes, r ‖ s ‖ v."""
        return self._account.sign(message)

    def unseal(self, sealed: bytes) -> bytes:
        """What was sealed to this account."""
        return self._account.unseal(sealed)

    def sign_transaction(self, fields: dict[str, Any]) -> bytes:
        """The signed bytes of a transaction.

        Raises
        ------
        AccountError
            The owner has not named node, chain and contract, or others; or allowed less.
        """
        if fields["chainId"] not in DEVELOPMENT_CHAINS:
            self._expect_the_owners(fields)
        return self._account.sign_transaction(fields)

    def _expect_the_owners(self, fields: dict[str, Any]) -> None:
        if missing := [name for name in (RPC_URL, CHAIN_ID, CONTRACT) if name not in self._config]:
            raise AccountError(
                f"on chain {fields['chainId']} this node pays nothing for a task that only the "
                f"server names: start it with {', '.join(missing)} in its --node-config"
            )
        named = int(self._config[CHAIN_ID]), str(self._config[CONTRACT])
        if (fields["chainId"], fields["to"]) != named:
            raise AccountError(
                f"this node pays on chain {named[0]} to {named[1]}; found chain "
                f"{fields['chainId']} and {fields['to']}"
            )
        if fields["value"] > (most := int(self._config.get(MOST_STAKE_WEI, 0))):
            raise AccountError(
                f"this node pays up to {most} wei; found {fields['value']}; to pay more, start it "
                f"with --node-config '{MOST_STAKE_WEI}={fields['value']}'"
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnersAccount) and (other._account, other._config) == (
            self._account,
            self._config,
        )

    def __hash__(self) -> int:
        return hash(self._account)


def signer_from(context: Context, seed: int) -> Wallet:
    """The account of the node that ``context`` belongs to.

    A simulated node, which has a ``partition-id`` and neither signer nor key file, gets a
    development account derived from ``seed`` and the partition. Those keys are no secret, and
    :func:`refuse_development_key` keeps them off every chain that matters.

    Raises
    ------
    AccountError
        The node has none; the key file or its password cannot be used; or it is a real
        SuperNode, and would play with a key that everybody can derive.
    """
    config = context.node_config
    if SIGNER in config and KEY_FILE in config:
        raise AccountError(f"{SIGNER} or {KEY_FILE}: expected one of them; found both")
    if (where := config.get(SIGNER)) is not None:
        return _remote(str(where))
    account = account_from(context, seed)
    return OwnersAccount(account, dict(config)) if KEY_FILE in config else account


def account_from(context: Context, seed: int) -> Account:
    """The account itself, where its key is in this process; raises as :func:`signer_from`."""
    config = context.node_config
    if SIGNER in config:
        raise AccountError(f"{SIGNER} is of peer consensus; the marketplace takes {KEY_FILE}")
    if (path := config.get(KEY_FILE)) is not None:
        return _from_key_file(Path(str(path)))
    partition = config.get("partition-id")
    if partition is None:
        raise AccountError(
            f"this node has no key: start it with --node-config '{SIGNER}=\"unix:/path.sock\"', "
            f'or, where its app may read the key, with {KEY_FILE}="/path/key.json"'
        )
    if _on_a_supernode() and not config.get(DEVELOPMENT_KEY):
        raise AccountError(
            "a SuperNode without a key of its own would sign with one that everybody can derive: "
            f"start it with --node-config '{SIGNER}=\"unix:/path.sock\"', or, where nothing is "
            f"at stake, with {DEVELOPMENT_KEY}=true"
        )
    return derive_account(seed, "member", int(partition))


def has_own_key(context: Context) -> bool:
    """Whether the node's owner gave it a key, and it is no simulation's."""
    return SIGNER in context.node_config or KEY_FILE in context.node_config


def rpc_url_of(context: Context, named: str) -> str:
    """The owner's Ethereum node; ``named``, the server's, where the owner names none."""
    if (url := context.node_config.get(RPC_URL)) is not None:
        return str(url)
    if (where := context.node_config.get(SIGNER)) is not None:
        return _remote(str(where)).identity.rpc_url
    return named


def own_contract(context: Context) -> str:
    """The contract that the owner or the signer is for; empty where they name none."""
    if (contract := context.node_config.get(CONTRACT)) is not None:
        return str(contract)
    if (where := context.node_config.get(SIGNER)) is not None:
        return _remote(str(where)).identity.contract
    return ""


def refuse_development_key(context: Context, chain_id: int) -> None:
    """Let a node without a key of its own go on only where nothing is worth anything.

    Raises
    ------
    AccountError
        The chain is none of ``DEVELOPMENT_CHAINS`` and the node has no key of its own.
    """
    if not has_own_key(context) and chain_id not in DEVELOPMENT_CHAINS:
        raise AccountError(
            f"a development key is refused on chain {chain_id}: start this node with "
            f'--node-config \'{SIGNER}="unix:/path.sock"\', or {KEY_FILE}="/path/key.json"'
        )


def expect_own_node(context: Context, chain_id: int) -> None:
    """A key file's owner names the node: the server's would show what the server likes.

    A node that says it is a development chain's gets signatures that no other chain takes.

    Raises
    ------
    AccountError
        The owner has not, and the chain is none of ``DEVELOPMENT_CHAINS``.
    """
    config = context.node_config
    if KEY_FILE in config and RPC_URL not in config and chain_id not in DEVELOPMENT_CHAINS:
        raise AccountError(
            f"on chain {chain_id} this node believes no Ethereum node that only the server names: "
            f"start it with --node-config '{RPC_URL}=\"https://…\"'"
        )


def _on_a_supernode() -> bool:
    """Whether this is the process in which a real SuperNode runs its app, named as Flower does."""
    return sys.argv[0].endswith("flwr-clientapp")


@lru_cache
def _remote(where: str) -> RemoteSigner:
    return RemoteSigner(where)


@lru_cache
def _from_key_file(path: Path) -> Account:
    return Account.from_key_file(path)
