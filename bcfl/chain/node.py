"""The dozen questions that bcfl asks an Ethereum node, and answers that are checked.

A node is believed only as far as its words have the right shape: a missing field, a number that
is none, or the answer to another question is ``ReplyMalformed``, never a ``KeyError`` further
in. (web3's own formatters take nearly anything, so they do not stand here.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from bcfl.chain.json_rpc import ReplyTooLong
from bcfl.chain.provider import NodeProvider
from bcfl.core.errors import NodeRefused, ReplyMalformed

__all__ = ["Head", "Node", "RawLog", "Receipt", "transaction_number"]

_QUANTITY: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DATA: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_GWEI: Final = 10**9
#: What a node may make us pay a block's builder per gas. A lying node could name any sum.
_HIGHEST_TIP: Final = 50 * _GWEI


@dataclass(frozen=True, slots=True)
class Head:
    """What is needed of a block's header."""

    number: int
    timestamp: int  #: seconds
    base_fee: int  #: wei per gas
    gas_limit: int


@dataclass(frozen=True, slots=True)
class RawLog:
    """One event as the node gives it, not decoded."""

    address: str  #: checksummed
    topics: tuple[bytes, ...]
    data: bytes
    transaction: str
    block: int
    log_index: int
    timestamp: int | None  #: of the block, where the node says it


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the chain says of a mined transaction."""

    number: str  #: the transaction number (its hash), 0x…
    block: int
    gas: int
    succeeded: bool
    contract: str | None  #: checksummed address of the contract that it created
    logs: tuple[RawLog, ...]


class Node:
    """Typed reads, and the one write, of a node's JSON-RPC interface."""

    def __init__(self, rpc: NodeProvider) -> None:
        self.rpc = rpc
        self._longest_span: int | None = None  # blocks that one query of logs may cover

    def chain_id(self) -> int:
        """EIP-155 chain id."""
        return _quantity(self.rpc.request("eth_chainId", []), "the chain id")

    def head(self, block: int | str = "latest") -> Head:
        """A block's header; the newest one's unless a number is given."""
        tag = hex(block) if isinstance(block, int) else block
        header = _object(self.rpc.request("eth_getBlockByNumber", [tag, False]), "a block")
        return Head(
            _quantity(_field(header, "number"), "a block's number"),
            _quantity(_field(header, "timestamp"), "a block's timestamp"),
            _quantity(header.get("baseFeePerGas", "0x0"), "a block's base fee", 256),
            _quantity(_field(header, "gasLimit"), "a block's gas limit"),
        )

    def balance(self, address: str) -> int:
        """Wei."""
        return _quantity(self.rpc.request("eth_getBalance", [address, "latest"]), "a balance", 256)

    def code(self, address: str) -> bytes:
        """The code at an address; empty where there is no contract."""
        return _data(self.rpc.request("eth_getCode", [address, "latest"]), "a contract's code")

    def next_nonce(self, address: str) -> int:
        """The nonce after all that the node has of this account, pending transactions too."""
        count = self.rpc.request("eth_getTransactionCount", [address, "pending"])
        return _quantity(count, "a transaction count")

    def tip(self) -> int:
        """Wei per gas for the block's builder: the node's advice, within reason."""
        try:
            tip = self.rpc.request("eth_maxPriorityFeePerGas", [])
        except NodeRefused:  # not every node has the method
            return _GWEI
        return min(_quantity(tip, "a priority fee", 256), _HIGHEST_TIP)

    def estimate(self, fields: Mapping[str, Any]) -> int:
        """The gas that a transaction would need; raises NodeRefused if it would revert."""
        return _quantity(self.rpc.request("eth_estimateGas", [fields]), "a gas estimate")

    def call(self, fields: Mapping[str, Any], block: int) -> bytes:
        """What a call returns in the state after ``block``; NodeRefused if it reverts."""
        return _data(self.rpc.request("eth_call", [fields, hex(block)]), "a call's result")

    def send(self, raw: bytes) -> None:
        """Hand over signed bytes, once."""
        sent = self.rpc.request("eth_sendRawTransaction", ["0x" + raw.hex()])
        if sent != transaction_number(raw):
            raise ReplyMalformed("eth_sendRawTransaction: the node names another transaction")

    def knows(self, number: str) -> bool:
        """Whether the node has the transaction, pending or mined."""
        return self.rpc.request("eth_getTransactionByHash", [number]) is not None

    def find_receipt(self, number: str) -> Receipt | None:
        """The receipt of a mined transaction; None while there is none."""
        reply = self.rpc.request("eth_getTransactionReceipt", [number])
        if reply is None:
            return None
        receipt = _object(reply, "a receipt")
        if (found := _hash(_field(receipt, "transactionHash"))) != number.lower():
            raise ReplyMalformed(
                f"asked for the receipt of {number}; the node sent that of {found}"
            )
        if (status := _quantity(_field(receipt, "status"), "a status")) > 1:
            raise ReplyMalformed(f"a receipt's status is 0 or 1; found {status}")
        created = receipt.get("contractAddress")
        return Receipt(
            number.lower(),
            _quantity(_field(receipt, "blockNumber"), "a block number"),
            _quantity(_field(receipt, "gasUsed"), "gas used"),
            status == 1,
            None if created is None else _address(created),
            tuple(_log(log) for log in _list(_field(receipt, "logs"), "logs")),
        )

    def logs_since(self, first: int, address: str, topics: Sequence[bytes]) -> list[RawLog]:
        """All that ``address`` logged under these first topics from block ``first`` on, in order.

        In as few queries as the node allows: hosted ones limit the blocks, or the events, of
        each, so that one that is refused is asked again for half the blocks.
        """
        found: list[RawLog] = []
        end = self.head().number + 1
        while first < end:
            span = min(self._longest_span or end, end - first)
            try:
                found += self._logs(address, topics, first, first + span - 1)
            except (NodeRefused, ReplyTooLong):
                if span == 1:
                    raise
                self._longest_span = span // 2
            else:
                first += span
        return found

    def _logs(
        self, address: str, topics: Sequence[bytes], first: int, last: int
    ) -> tuple[RawLog, ...]:
        query = {
            "address": [address],
            "topics": [["0x" + topic.hex() for topic in topics]],
            "fromBlock": hex(first),
            "toBlock": hex(last),
        }
        found = tuple(
            _log(log)
            for log in _list(self.rpc.request("eth_getLogs", [query]), "logs")
            if not (isinstance(log, dict) and log.get("removed"))
        )
        for log in found:
            if log.address != address or not first <= log.block <= last:
                raise ReplyMalformed("eth_getLogs: the node sent an event that nobody asked for")
        return found


def transaction_number(raw: bytes) -> str:
    """The transaction number: keccak256 of the signed bytes."""
    return "0x" + keccak(raw).hex()


def _log(value: Any) -> RawLog:
    log = _object(value, "an event")
    topics = _list(_field(log, "topics"), "topics")
    timestamp = log.get("blockTimestamp")
    return RawLog(
        _address(_field(log, "address")),
        tuple(_data(topic, "a topic", 32) for topic in topics),
        _data(_field(log, "data"), "an event's data"),
        _hash(_field(log, "transactionHash")),
        _quantity(_field(log, "blockNumber"), "a block number"),
        _quantity(_field(log, "logIndex"), "a log index"),
        None if timestamp is None else _quantity(timestamp, "a block's timestamp"),
    )


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ReplyMalformed(f"expected {what}; the node sent {value!r:.60}")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ReplyMalformed(f"expected a list of {what}; the node sent {value!r:.60}")
    return value


def _field(value: dict[str, Any], name: str) -> Any:
    if name not in value:
        raise ReplyMalformed(f"the node's answer has no {name}")
    return value[name]


def _quantity(value: Any, what: str, bits: int = 64) -> int:
    """A JSON-RPC quantity, 0x…; amounts of ether may have 256 bits."""
    if isinstance(value, str) and _QUANTITY.fullmatch(value):
        quantity = int(value, 16)
        if quantity < 1 << bits:
            return quantity
    raise ReplyMalformed(f"expected {what}, hexadecimal; the node sent {value!r:.60}")


def _data(value: Any, what: str, size_bytes: int | None = None) -> bytes:
    if isinstance(value, str) and _DATA.fullmatch(value):
        data = bytes.fromhex(value[2:])
        if size_bytes in (None, len(data)):
            return data
    raise ReplyMalformed(f"expected {what}, hexadecimal; the node sent {value!r:.60}")


def _hash(value: Any) -> str:
    return "0x" + _data(value, "a hash", 32).hex()


def _address(value: Any) -> str:
    return to_checksum_address(_data(value, "an address", 20))
