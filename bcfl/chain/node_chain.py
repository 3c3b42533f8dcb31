"""A node that somebody else runs: at a URL, or behind a ``web3.Web3`` of the user's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bcfl.chain.chain import Chain, wait_for_time
from bcfl.chain.connection import Connection
from bcfl.core.errors import ConfigurationError, expect
from bcfl.keys.accounts import Account
from bcfl.keys.signer import Wallet

if TYPE_CHECKING:
    from web3 import Web3

#: A wrong URL should be an answer, not a wait.
_FIRST_CONTACT_S: Final = 3.0
#: Ethereum's slots take 12 s.
_GRACE_S: Final = 15.0


class NodeChain(Chain):
    """A node that runs elsewhere, and an account that pays there.

    Parameters
    ----------
    url : str or web3.Web3
        The node's JSON-RPC over HTTP, or a ``Web3`` with middlewares, authentication, an IPC or
        a WebSocket provider of the user's own, which then bounds and repeats requests itself.
    account : Account
        Who deploys, and pays.
    confirmations : int, optional
        As ``Connection``'s.
    max_fee_gwei : float
        As ``Connection``'s.
    sleep, clock : callable
        Seconds to wait, and the seconds since 1970; exchanged in tests.

    Raises
    ------
    NodeUnreachable
        From ``start``: no node answers.
    """

    def __init__(
        self,
        url: str | Web3,
        account: Account,
        *,
        confirmations: int | None = None,
        max_fee_gwei: float = 500.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._node = url
        self._coordinator = account
        self._confirmations = confirmations
        self._max_fee_gwei = max_fee_gwei
        expect(max_fee_gwei > 0, "chain.max_fee_gwei", "above 0", max_fee_gwei)
        if confirmations is not None:
            expect(confirmations >= 0, "chain.confirmations", "at least 0", confirmations)
        self._sleep = sleep
        self._clock = clock

    @property
    def url(self) -> str:
        """Where the node answers; ConfigurationError for a ``Web3`` that has no HTTP URL."""
        if isinstance(self._node, str):
            return self._node
        endpoint = getattr(self._node.provider, "endpoint_uri", None)
        if isinstance(endpoint, str) and endpoint.startswith(("http://", "https://")):
            return endpoint
        raise ConfigurationError(
            "the chain's URL is needed for other processes, and this Web3 has none; give each "
            "client its own in --node-config, or the chain a Web3 with an HTTPProvider"
        )

    @property
    def coordinator(self) -> Account:
        """The account that pays."""
        return self._coordinator

    def start(self) -> None:
        """Ask the node for its chain, once, so that a wrong URL is found out first."""
        with self.connect(
            retry_s=_FIRST_CONTACT_S, sleep=self._sleep, clock=self._clock
        ) as connection:
            _ = connection.chain_id

    def stop(self) -> None:
        """Leave the node alone: it is not ours."""

    def connect(self, signer: Wallet | None = None, **options: Any) -> Connection:
        """As ``Chain.connect``."""
        own = {"confirmations": self._confirmations, "max_fee_gwei": self._max_fee_gwei}
        return Connection(self._node, signer, **(own | options))

    def wait_until(self, timestamp: int) -> None:
        """Wait in real time; see ``Chain.wait_until``.

        Where no block comes by itself, the coordinator sends itself nothing, for 21,000 gas.
        """
        with self.connect(self._coordinator, confirmations=0) as connection:
            wait_for_time(
                connection.now,
                timestamp,
                nudge=lambda: _discard(connection.transfer(self._coordinator.address, 0)),
                grace_s=_GRACE_S,
                sleep=self._sleep,
                clock=self._clock,
            )


class RpcChain(NodeChain):
    """A node that runs elsewhere, and the key file of who pays there.

    Parameters
    ----------
    url : str or web3.Web3
        As ``NodeChain``'s.
    key_file : Path
        The coordinator's encrypted key.
    password : str, optional
        Left out: from the environment, see ``Account.from_key_file``.
    confirmations, max_fee_gwei, sleep, clock
        As ``NodeChain``'s.

    Raises
    ------
    AccountError
        The key file, or its password, cannot be used.
    NodeUnreachable
        From ``start``: no node answers.
    """

    def __init__(
        self,
        url: str | Web3,
        key_file: Path,
        password: str | None = None,
        *,
        confirmations: int | None = None,
        max_fee_gwei: float = 500.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        account = Account.from_key_file(key_file, password)
        super().__init__(
            url,
            account,
            confirmations=confirmations,
            max_fee_gwei=max_fee_gwei,
            sleep=sleep,
            clock=clock,
        )


def _discard(_: object) -> None:
    return None
