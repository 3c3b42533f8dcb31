"""A chain to run on: where it answers, who pays for the rules, and how its clock moves."""

from __future__ import annotations

from typing import Any, Protocol, Self

from bcfl.keys.signer import Signer

__all__ = ["Chain", "Wallet"]


class Wallet(Signer, Protocol):
    """A signer whose account can also pay: it signs transactions, locally."""

    def __hash__(self) -> int: ...

    def sign_transaction(self, fields: dict[str, Any]) -> bytes:
        """The signed bytes, ready to be sent, of a transaction with exactly these fields."""


class Chain(Protocol):
    """One Ethereum chain behind one URL, whichever of the three kinds it is.

    A context manager: entering it starts (or first contacts) the node, leaving it stops
    what entering started.
    """

    @property
    def url(self) -> str:
        """Where the node answers JSON-RPC over HTTP; enough for any other process."""

    @property
    def coordinator(self) -> Wallet:
        """The account that deploys tasks here, and has ether to do so."""

    def connect(self, signer: Wallet | None = None) -> Any:
        """A client that sends as ``signer``, or only reads: the adapters' ``Connection``."""

    def fund(self, address: str, wei: int) -> None:
        """Give an account ether, so that it can pay for transactions of its own."""

    def wait_until(self, timestamp: int) -> None:
        """Return once the newest block is later than ``timestamp`` (seconds, chain time)."""

    def start(self) -> None:
        """Make ``url`` answer."""

    def stop(self) -> None:
        """Give back what ``start`` took; a second call does nothing."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...
