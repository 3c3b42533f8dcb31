"""JSON-RPC's hexadecimal, read strictly and written from eth-tester's serialized values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["read_bytes", "read_quantity", "to_json", "transaction_to_json"]

#: Where eth-tester and JSON-RPC have different names for one thing.
_NAMES: Final = {"coinbase": "miner"}


def read_quantity(value: Any) -> int:
    """``0x…`` as a number; raises ValueError."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise ValueError(f"expected 0x…, found {value!r:.40}")
    return int(value, 16)


def read_bytes(value: Any, size_bytes: int | None = None) -> bytes:
    """``0x…`` as bytes, of that size if one is given; raises ValueError."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise ValueError(f"expected 0x…, found {value!r:.40}")
    data = bytes.fromhex(value[2:])
    if size_bytes not in (None, len(data)):
        raise ValueError(f"expected {size_bytes} bytes, found {len(data)}")
    return data


def transaction_to_json(transaction: Mapping[str, Any]) -> Any:
    """A transaction, whose call data JSON-RPC calls ``input``."""
    return to_json({"input" if name == "data" else name: x for name, x in transaction.items()})


def to_json(value: Any) -> Any:
    """eth-tester's form (snake case, bytes, integers) in JSON-RPC's (camel case, 0x…)."""
    if isinstance(value, Mapping):
        # a deployment goes to nobody: b"" there, null here
        return {
            _NAMES.get(name) or _camel(name): None if (name, x) == ("to", b"") else to_json(x)
            for name, x in value.items()
        }
    if isinstance(value, list | tuple):
        return [to_json(x) for x in value]
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, int) and not isinstance(value, bool):
        return hex(value)
    return value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
