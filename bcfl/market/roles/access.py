"""How a role's program comes to its market: a node, an account, a store, a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bcfl.chain.chain import Chain
from bcfl.chain.connection import Connection
from bcfl.chain.node_chain import RpcChain
from bcfl.core.errors import ConfigurationError
from bcfl.keys.accounts import Account
from bcfl.market.contract.ledger import MarketLedger
from bcfl.store.blob_store import BlobStore
from bcfl.store.ipfs import IpfsStore
from bcfl.store.local import LocalStore

#: How long a read-only command waits for the node: a wrong URL is told soon.
_FIRST_CONTACT_S = 3.0


@dataclass(frozen=True, slots=True)
class Session:
    """What a role works with."""

    chain: Chain
    ledger: MarketLedger
    store: BlobStore
    account: Account
    folder: Path  #: of this account and market alone
    most_bond_wei: int = 0  #: what all the account's bonds may come to, as its owner allows
    most_stake_wei: int = 0  #: what a submission may stake, as its owner allows


@dataclass(frozen=True, slots=True)
class Access:
    """What a person gives on the command line.

    Parameters
    ----------
    rpc : str
        A node's JSON-RPC over HTTP.
    market : str or None
        The marketplace's address.
    key_file : Path or None
        The role's encrypted key file.
    store : str
        A folder, or the URL of a Kubo node's RPC.
    folder : Path or None
        Left out: ``bcfl-market/`` and the first digits of market and account.
    most_bond_wei, most_stake_wei : int
        See ``Session``. Without them nothing is deposited.
    """

    rpc: str
    market: str | None
    key_file: Path | None
    store: str
    folder: Path | None = None
    most_bond_wei: int = 0
    most_stake_wei: int = 0

    @contextmanager
    def chain(self) -> Iterator[RpcChain]:
        """The chain, reached.

        Raises
        ------
        AccountError, ConfigurationError, NodeUnreachable
            No key file was given, or it cannot be used; nobody answers.
        """
        if self.key_file is None:
            raise ConfigurationError(
                "expected a key file: give --key-file, or set BCFL_KEY_FILE; "
                "`bcfl key FILE` makes one"
            )
        with RpcChain(self.rpc, self.key_file) as chain:
            yield chain

    @contextmanager
    def open(self) -> Iterator[Session]:
        """Everything that a role needs; raises as :meth:`chain`, and where there is no market."""
        with self.chain() as chain:
            market = self._market()
            account = chain.coordinator
            with chain.connect(account) as connection:
                ledger = MarketLedger.attach(connection, market, chain.wait_until)
                name = f"{ledger.address[2:10]}-{account.address[2:10]}".lower()
                folder = self.folder or Path("bcfl-market") / name
                store = open_store(self.store)
                caps = self.most_bond_wei, self.most_stake_wei
                yield Session(chain, ledger, store, account, folder, *caps)

    @contextmanager
    def read(self) -> Iterator[MarketLedger]:
        """The market, for whoever only looks; raises as :meth:`open`, but for the key file."""
        with Connection(self.rpc, retry_s=_FIRST_CONTACT_S) as connection:
            yield MarketLedger.attach(connection, self._market())

    def _market(self) -> str:
        if self.market is None:
            raise ConfigurationError(
                "expected the marketplace's address: give --market, or set BCFL_MARKET; "
                "`bcfl market open` opens one"
            )
        return self.market


def open_store(where: str) -> BlobStore:
    """A folder, or with http:// or https:// an IPFS node's RPC."""
    return IpfsStore(where) if where.startswith(("http://", "https://")) else LocalStore(where)
