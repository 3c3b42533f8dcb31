"""JSON-RPC's hexadecimal: as types, so that pydantic reads it strictly, and written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, TypeAlias

from eth_utils.address import to_checksum_address
from pydantic import BeforeValidator, Field
from pydantic.alias_generators import to_camel

_QUANTITY: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DATA: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*")


def _quantity(value: Any) -> int:
    if isinstance(value, str) and _QUANTITY.fullmatch(value):
        return int(value, 16)
    raise ValueError("expected a number, 0x and hexadecimal digits")


def _data(value: Any) -> bytes:
    if isinstance(value, str) and _DATA.fullmatch(value):
        return bytes.fromhex(value[2:])
    raise ValueError("expected bytes, 0x and pairs of hexadecimal digits")


def _sized(value: Any, size_bytes: int) -> bytes:
    if len(data := _data(value)) == size_bytes:
        return data
    raise ValueError(f"expected {size_bytes} bytes, found {len(data)}")


@lru_cache(2**12)  # Keccak, for each of the few addresses that events name over and over
def with_capitals(address: bytes | str) -> str:
    """An address, as 20 bytes or in hexadecimal, checksummed."""
    return str(to_checksum_address(address))


_camel: Final = lru_cache(2**8)(to_camel)

#: An amount of ether, up to 256 bits.
Wei: TypeAlias = Annotated[int, BeforeValidator(_quantity)]
Quantity: TypeAlias = Annotated[int, Field(lt=2**64), BeforeValidator(_quantity)]
#: 0x0 or 0x1.
Flag: TypeAlias = Annotated[bool, BeforeValidator(_quantity)]
Data: TypeAlias = Annotated[bytes, BeforeValidator(_data)]
Bytes20: TypeAlias = Annotated[bytes, BeforeValidator(lambda value: _sized(value, 20))]
Bytes32: TypeAlias = Annotated[bytes, BeforeValidator(lambda value: _sized(value, 32))]
#: 0x…, lower case.
TransactionNumber: TypeAlias = Annotated[
    str, BeforeValidator(lambda value: "0x" + _sized(value, 32).hex())
]
#: Checksummed.
Address: TypeAlias = Annotated[str, BeforeValidator(lambda value: with_capitals(_sized(value, 20)))]


def to_json(value: Any) -> Any:
    """What eth-tester or a middleware has (bytes, integers, snake case), as a node writes it."""
    if isinstance(value, Mapping):
        # a deployment goes to nobody: b"" there, null here
        return {
            _camel(str(name)): None if (name, x) == ("to", b"") else to_json(x)
            for name, x in value.items()
        }
    if isinstance(value, list | tuple):
        return [to_json(x) for x in value]
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, int) and not isinstance(value, bool):
        return hex(value)
    return value
