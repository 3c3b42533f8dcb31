"""What was sent to a contract: who sent it, with how much ether, and which call it was.

An event says that the contract accepted something; the transaction that it came from says who
sent what. Whoever does not want to take the contract's word decodes the one beside the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import collapse_if_tuple, function_abi_to_4byte_selector

from bcfl.chain.connection import Connection
from bcfl.contracts import Artifact
from bcfl.core.errors import ReplyMalformed
from bcfl.keys.accounts import checksummed

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_DATA: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_NUMBER: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")

#: By the first four bytes of a call: the function's name and its arguments' types.
Selectors = Mapping[bytes, tuple[str, list[str]]]


@dataclass(frozen=True, slots=True)
class Sent:
    """A transaction as it was sent."""

    sender: str  #: checksummed
    to: str  #: 0x…; empty where it deployed something
    value: int  #: wei
    data: bytes


def read_sent(connection: Connection, transactions: Sequence[str]) -> dict[str, Sent | None]:
    """The transactions of these numbers, in few requests; None where the chain has none.

    Raises
    ------
    LedgerError
        They cannot be read.
    """
    rows = [[number] for number in transactions]
    found = connection.request_many("eth_getTransactionByHash", rows)
    return {
        number: None if each is None else _sent(number, each)
        for number, each in zip(transactions, found, strict=True)
    }


def selectors_of(*artifacts: Artifact) -> Selectors:
    """What calls of these contracts begin with."""
    return {
        bytes(function_abi_to_4byte_selector(entry)): (  # type: ignore[arg-type]
            entry["name"],
            [collapse_if_tuple(argument) for argument in entry["inputs"]],
        )
        for artifact in artifacts
        for entry in artifact.abi
        if entry["type"] == "function"
    }


def decode_input(selectors: Selectors, data: bytes) -> tuple[str, tuple[Any, ...]]:
    """A call's name and arguments; an empty name where it is no call of these contracts'."""
    name, types = selectors.get(data[:4], ("", []))
    try:
        return name, decode(types, data[4:]) if name else ()
    except (DecodingError, ValueError, OverflowError):
        return "", ()


def _sent(transaction: str, found: Any) -> Sent:
    try:
        number, sender, data = (str(found[name]) for name in ("hash", "from", "input"))
        to, value = str(found["to"] or ""), str(found["value"])
    except (KeyError, TypeError) as error:
        raise ReplyMalformed(f"transaction {transaction}: {error!r} is missing") from error
    if number.lower() != transaction.lower() or not _ADDRESS.fullmatch(sender):
        raise ReplyMalformed(f"asked for {transaction}; the node sent another one, or no sender")
    if not _DATA.fullmatch(data) or not _NUMBER.fullmatch(value):
        raise ReplyMalformed(f"transaction {transaction}: its input or value is not hexadecimal")
    return Sent(checksummed(sender), to, int(value, 16), bytes.fromhex(data[2:]))
