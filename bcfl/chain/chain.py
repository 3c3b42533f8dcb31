"""A chain to run on: where it answers, who pays for the rules, and how its clock moves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, Self

from bcfl.chain.connection import Connection
from bcfl.keys.accounts import Account
from bcfl.keys.signer import Wallet

_POLL_S: Final = 1.0
#: What connects to chains that are in this process and speak no JSON-RPC, by their URLs.
IN_PROCESS: Final[dict[str, Callable[[Wallet | None], Connection]]] = {}


class Chain(ABC):
    """One Ethereum chain behind one URL, whichever of the three kinds it is.

    A context manager: entering it starts (or first contacts) the node, leaving it stops
    what entering started.
    """

    @property
    @abstractmethod
    def url(self) -> str:
        """Where the node answers JSON-RPC over HTTP; enough for any other process."""

    @property
    @abstractmethod
    def coordinator(self) -> Account:
        """The account that deploys tasks here, and has ether to do so."""

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
    def time_is_virtual(self) -> bool:
        """Whether ``wait_until`` moves the clock instead of waiting."""
        return False

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
