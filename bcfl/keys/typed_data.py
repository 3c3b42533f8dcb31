"""What is hashed, and then signed, of an EIP-712 ``full_message`` (eips.ethereum.org/EIPS/eip-712).

As eth-account's ``encode_typed_data``, for structures without structures or arrays in them, which
ours are; eth-account takes half a second to import.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak


def signed_hash(message: Mapping[str, Any]) -> bytes:
    """32 bytes: ``keccak256(0x1901 ‖ hash of the domain ‖ hash of the structure)``.

    Parameters
    ----------
    message : mapping
        ``types``, ``primaryType``, ``domain`` and ``message``, as wallets take them; numbers as
        int, bytes as bytes, addresses and strings as str.

    Raises
    ------
    KeyError
        A field is missing.
    eth_abi.exceptions.EncodingError
        A value is not of its type, or the type none of a single value.
    """
    domain = _hash_struct("EIP712Domain", message["types"], message["domain"])
    name = message["primaryType"]
    return keccak(b"\x19\x01" + domain + _hash_struct(name, message["types"], message["message"]))


def _hash_struct(
    name: str, types: Mapping[str, Sequence[Mapping[str, str]]], values: Mapping[str, Any]
) -> bytes:
    fields = tuple((field["type"], field["name"]) for field in types[name])
    return _hash_fields(name, fields, *(values[field] for _, field in fields))


@lru_cache(maxsize=512, typed=True)  # who signs hashes what others hash to check it
def _hash_fields(name: str, fields: tuple[tuple[str, str], ...], *values: Any) -> bytes:
    kind = f"{name}({','.join(' '.join(field) for field in fields)})"
    kinds = (of for of, _ in fields)
    words = [("bytes32", keccak(text=kind)), *map(_word, kinds, values)]
    return keccak(encode(*zip(*words, strict=True)))


def _word(kind: str, value: Any) -> tuple[str, Any]:
    """The type and the value of what stands in a structure's 32 bytes for a field of it."""
    if kind == "string":
        return "bytes32", keccak(text=value)
    if kind == "bytes":
        return "bytes32", keccak(value)
    return kind, value
