"""Public keys by address: whom a members-only blob is sealed to.

An address is a hash of a public key and does not give it back; a signature does. So whoever
has proven an address, as every member does on joining, can be sealed to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from eth_keys.datatypes import PublicKey

from bcfl.core.errors import AuditError, SealError
from bcfl.core.strict_json import parse_json
from bcfl.files import write_atomically
from bcfl.keys.envelope import compressed_key


def address_of(public_key: bytes) -> str:
    """The checksummed address of a public key of 33, 64 or 65 bytes.

    Raises
    ------
    SealError
        It is no point of the curve.
    """
    key = PublicKey.from_compressed_bytes(compressed_key(public_key))
    return str(key.to_checksum_address())


class PublicKeys:
    """The public keys that members have shown, on disk: members that are away count as well.

    Parameters
    ----------
    path : Path
        A JSON file, made when the first key is added. Nothing in it is secret.

    Raises
    ------
    AuditError
        The file is there, and holds something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: dict[str, bytes] = {}
        if path.exists():
            self._keys = _read(path)

    def add(self, public_key: bytes) -> None:
        """Remember the key of an account. Raises SealError if it is none."""
        address = address_of(public_key)
        if address in self._keys:
            return
        self._keys[address] = public_key
        plain = {address: key.hex() for address, key in sorted(self._keys.items())}
        write_atomically(self._path, json.dumps(plain, indent=2).encode() + b"\n")

    def of(self, addresses: Iterable[str]) -> list[bytes]:
        """The keys of these accounts, without those that have never shown theirs."""
        return [self._keys[address] for address in addresses if address in self._keys]


def _read(path: Path) -> dict[str, bytes]:
    try:
        keys = {
            address: bytes.fromhex(key) for address, key in parse_json(path.read_bytes()).items()
        }
        if wrong := [address for address, key in keys.items() if address_of(key) != address]:
            raise ValueError(f"another key than that of {wrong[0]}")
    except (ValueError, TypeError, AttributeError, SealError) as error:
        raise AuditError(
            f"{path}: expected public keys by address; found {error}; remove the file, and the "
            "members show their keys again when they connect"
        ) from error
    return keys
