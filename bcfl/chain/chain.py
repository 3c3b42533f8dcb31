"""What the three kinds of chain have in common: everything above the node's URL."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, Self

from bcfl.chain.chain_port import Wallet
from bcfl.chain.connection import Connection
from bcfl.keys.accounts import Account

__all__ = ["BaseChain", "wait_for_time"]

_POLL_S: Final = 1.0


class BaseChain(ABC):
    """A chain behind a URL; see ``bcfl.chain.chain_port.Chain``."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Where the node answers JSON-RPC over HTTP."""

    @property
    @abstractmethod
    def coordinator(self) -> Account:
        """The account that deploys tasks here."""

    @abstractmethod
    def start(self) -> None:
        """Make ``url`` answer."""

    @abstractmethod
    def stop(self) -> None:
        """Give back what ``start`` took; a second call does nothing."""

    @abstractmethod
    def wait_until(self, timestamp: int) -> None:
        """Return once the newest block is later than ``timestamp`` (seconds, chain time)."""

    @property
    def _treasury(self) -> Account:
        """Whose ether ``fund`` gives away."""
        return self.coordinator

    def connect(self, signer: Wallet | None = None, **options: Any) -> Connection:
        """A connection that sends as ``signer``, or only reads; options as Connection's."""
        return Connection(self.url, signer, **options)

    def fund(self, address: str, wei: int) -> None:
        """Give an account ether, so that it can pay for transactions of its own."""
        with self.connect(self._treasury) as connection:
            connection.transfer(address, wei)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def wait_for_time(
    now: Callable[[], int],
    timestamp: int,
    *,
    nudge: Callable[[], None],
    grace_s: float,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> None:
    """Wait, in real time, until a chain's newest block is later than ``timestamp``.

    Parameters
    ----------
    now : callable
        The newest block's timestamp.
    timestamp : int
        Seconds.
    nudge : callable
        Makes the chain mine a block. Needed where nobody else's transactions do.
    grace_s : float
        How long after its time a block may be late before the chain is nudged.
    sleep, clock : callable
        Seconds to wait, and the seconds since 1970; exchanged in tests.
    """
    while now() <= timestamp:
        early = timestamp + 1 - clock()
        if early <= -grace_s:
            nudge()
            if now() > timestamp:
                return
        sleep(min(early, _POLL_S) if early > 0 else _POLL_S)
