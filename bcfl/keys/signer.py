"""Who signs, pays and reads: an Ethereum account, wherever its key is kept."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


class Signer(Protocol):
    """Signs EIP-712 messages. Deterministic (RFC 6979): the same message, the same bytes."""

    @property
    def address(self) -> str:
        """Checksummed address."""

    def sign(self, message: dict[str, Any]) -> bytes:
        """65 bytes, r ‖ s ‖ v, of a ``full_message``."""


class Wallet(Signer, Protocol):
    """A signer whose account can also pay: it signs transactions, locally."""

    def __hash__(self) -> int: ...

    def sign_transaction(self, fields: dict[str, Any]) -> bytes:
        """The signed bytes, ready to be sent, of a transaction with exactly these fields."""


@runtime_checkable
class Reader(Protocol):
    """Whoever blobs can be sealed to; the key stays with it."""

    @property
    def public_key(self) -> bytes:
        """33, 64 or 65 bytes."""

    def unseal(self, sealed: bytes) -> bytes:
        """What was sealed to that key. Raises as ``bcfl.keys.sealing.open_sealed``."""
