"""Which Ethereum account a Flower node is.

A SuperNode is started with ``--node-config 'bcfl-key-file="/path/key.json"'`` and the
password in ``BCFL_KEY_PASSWORD``, or in the file that ``BCFL_KEY_PASSWORD_FILE`` names.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from flwr.app import Context

from bcfl.core.errors import AccountError
from bcfl.keys.accounts import DEVELOPMENT_CHAINS, Account, derive_account

__all__ = ["KEY_FILE", "refuse_development_key", "signer_from"]

KEY_FILE = "bcfl-key-file"


def signer_from(context: Context, seed: int) -> Account:
    """The account of the node that ``context`` belongs to.

    A node without a key file, but with a ``partition-id``, is one of a simulation: it gets
    a development account derived from ``seed`` and the partition. Those keys are no secret,
    and :func:`refuse_development_key` keeps them off every chain that matters.

    Raises
    ------
    AccountError
        There is neither; or the key file or its password cannot be used.
    """
    if (path := context.node_config.get(KEY_FILE)) is not None:
        return _from_key_file(Path(str(path)))
    partition = context.node_config.get("partition-id")
    if partition is None:
        raise AccountError(
            f"this node has no key: start it with --node-config '{KEY_FILE}=\"/path/key.json\"'"
        )
    return derive_account(seed, "member", int(partition))


def refuse_development_key(context: Context, chain_id: int) -> None:
    """Let a node without a key file go on only where nothing is worth anything.

    Raises
    ------
    AccountError
        The chain is none of ``DEVELOPMENT_CHAINS`` and the node has no key of its own.
    """
    if KEY_FILE not in context.node_config and chain_id not in DEVELOPMENT_CHAINS:
        raise AccountError(
            f"a development key is refused on chain {chain_id}: start this node with "
            f"--node-config '{KEY_FILE}=\"/path/key.json\"'"
        )


@lru_cache
def _from_key_file(path: Path) -> Account:
    return Account.from_key_file(path)
