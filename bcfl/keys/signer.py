"""Who signs: an Ethereum account, wherever its key is kept."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Signer"]


class Signer(Protocol):
    """Signs EIP-712 messages. Deterministic (RFC 6979): the same message, the same bytes."""

    @property
    def address(self) -> str:
        """Checksummed address."""

    def sign(self, message: dict[str, Any]) -> bytes:
        """65 bytes, r ‖ s ‖ v, of a ``full_message`` from ``bcfl.consensus.spec.messages``."""
