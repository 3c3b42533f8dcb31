"""The dozen questions that bcfl asks an Ethereum node, and answers that are checked.

A node is believed only as far as its words have the right shape: a missing field, a number that
is none, or the answer to another question is ``ReplyMalformed``, never a ``KeyError`` further
in. (web3's own formatters take nearly anything, so they do not stand here.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from eth_utils.crypto import keccak
from pydantic import Field, TypeAdapter, ValidationError

from bcfl.chain.event import Transaction
from bcfl.chain.json_rpc import ReplyTooLong
from bcfl.chain.provider import NodeProvider
from bcfl.chain.wire import Address, Bytes32, Data, Flag, Quantity, TransactionNumber, Wei
from bcfl.core.errors import NodeRefused, ReplyMalformed

__all__ = ["Head", "Node", "RawLog", "Receipt", "transaction_number"]

_GWEI: Final = 10**9
#: What a node may make us pay a block's builder per gas. A lying node could name any sum.
_HIGHEST_TIP: Final = 50 * _GWEI

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Head:
    """What is needed of a block's header."""

    number: Quantity
    timestamp: Quantity  #: seconds
    gas_limit: Annotated[Quantity, Field(validation_alias="gasLimit")]
    base_fee: Annotated[Wei, Field(validation_alias="baseFeePerGas")] = 0  #: wei per gas
    hash: Bytes32 | None = None


@dataclass(frozen=True, slots=True)
class RawLog:
    """One event as the node gives it, not decoded."""

    address: Address
    topics: tuple[Bytes32, ...]
    data: Data
    transaction: Annotated[TransactionNumber, Field(validation_alias="transactionHash")]
    block: Annotated[Quantity, Field(validation_alias="blockNumber")]
    log_index: Annotated[Quantity, Field(validation_alias="logIndex")]
    #: of the block, where the node says it
    timestamp: Annotated[Quantity | None, Field(validation_alias="blockTimestamp")] = None
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the chain says of a mined transaction."""

    #: the transaction number (its hash), 0x…
    number: Annotated[TransactionNumber, Field(validation_alias="transactionHash")]
    block: Annotated[Quantity, Field(validation_alias="blockNumber")]
    gas: Annotated[Quantity, Field(validation_alias="gasUsed")]
    succeeded: Annotated[Flag, Field(validation_alias="status")]
    #: address of the contract that it created
    contract: Annotated[Address | None, Field(None, validation_alias="contractAddress")]
    logs: tuple[RawLog, ...]
    block_hash: Annotated[Bytes32 | None, Field(validation_alias="blockHash")] = None

    @property
    def transaction(self) -> Transaction:
        """The same without logs."""
        return Transaction(self.number, self.block, self.gas)


class Node:
    """Typed reads, and the one write, of a node's JSON-RPC interface."""

    def __init__(self, rpc: NodeProvider) -> None:
        self.rpc = rpc
        self._longest_span: int | None = None  # blocks that one query of logs may cover

    def chain_id(self) -> int:
        """EIP-155 chain id."""
        return self._ask(_QUANTITY, "eth_chainId")

    def head(self, block: int | str = "latest") -> Head:
        """A block's header; the newest one's unless a number is given."""
        tag = hex(block) if isinstance(block, int) else block
        return self._ask(_HEAD, "eth_getBlockByNumber", tag, False)

    def balance(self, address: str) -> int:
        """Wei."""
        return self._ask(_WEI, "eth_getBalance", address, "latest")

    def code(self, address: str) -> bytes:
        """The code at an address; empty where there is no contract."""
        return self._ask(_DATA, "eth_getCode", address, "latest")

    def next_nonce(self, address: str) -> int:
        """The nonce after all that the node has of this account, pending transactions too."""
        return self._ask(_QUANTITY, "eth_getTransactionCount", address, "pending")

    def tip(self) -> int:
        """Wei per gas for the block's builder: the node's advice, within reason."""
        try:
            return min(self._ask(_WEI, "eth_maxPriorityFeePerGas"), _HIGHEST_TIP)
        except NodeRefused:  # not every node has the method
            return _GWEI

    def estimate(self, fields: Mapping[str, Any]) -> int:
        """The gas that a transaction would need; raises NodeRefused if it would revert."""
        return self._ask(_QUANTITY, "eth_estimateGas", fields)

    def call(self, fields: Mapping[str, Any], block: int) -> bytes:
        """What a call returns in the state after ``block``; NodeRefused if it reverts."""
        return self._ask(_DATA, "eth_call", fields, hex(block))

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
        receipt = self._ask(_RECEIPT, "eth_getTransactionReceipt", number)
        if receipt is not None and receipt.number != number.lower():
            raise ReplyMalformed(
                f"asked for the receipt of {number}; the node sent that of {receipt.number}"
            )
        return receipt

    def confirmed(self, receipt: Receipt, depth: int) -> bool:
        """Whether ``depth`` blocks stand on the receipt's block, and that one on the chain."""
        if depth == 0:
            return True
        if self.head().number < receipt.block + depth:
            return False
        return receipt.block_hash is not None and (
            self.head(receipt.block).hash == receipt.block_hash
        )

    def logs_since(
        self, first: int, address: str, topics: Sequence[bytes], depth: int = 0
    ) -> list[RawLog]:
        """All that ``address`` logged under these first topics from block ``first`` on, in order.

        Up to the block on which ``depth`` others stand.

        In as few queries as the node allows: hosted ones limit the blocks, or the events, of
        each, so that one that is refused is asked again for half the blocks.
        """
        found: list[RawLog] = []
        end = self.head().number + 1 - depth
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

    def _logs(self, address: str, topics: Sequence[bytes], first: int, last: int) -> list[RawLog]:
        query = {
            "address": [address],
            "topics": [["0x" + topic.hex() for topic in topics]],
            "fromBlock": hex(first),
            "toBlock": hex(last),
        }
        found = [log for log in self._ask(_LOGS, "eth_getLogs", query) if not log.removed]
        if any(log.address != address or not first <= log.block <= last for log in found):
            raise ReplyMalformed("eth_getLogs: the node sent an event that nobody asked for")
        return found

    def _ask(self, kind: TypeAdapter[_T], method: str, *parameters: Any) -> _T:
        reply = self.rpc.request(method, parameters)
        try:
            return kind.validate_python(reply)
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_context=False)[0]
            where = "".join(f", {place}" for place in wrong["loc"])
            raise ReplyMalformed(
                f"{method}{where}: {wrong['msg']}; the node sent {wrong['input']!r:.60}"
            ) from None


def transaction_number(raw: bytes) -> str:
    """The transaction number: keccak256 of the signed bytes."""
    return "0x" + keccak(raw).hex()


_QUANTITY: Final = TypeAdapter[int](Quantity)
_WEI: Final = TypeAdapter[int](Wei)
_DATA: Final = TypeAdapter[bytes](Data)
_HEAD: Final = TypeAdapter(Head)
_RECEIPT: Final = TypeAdapter[Receipt | None](Receipt | None)
_LOGS: Final = TypeAdapter(list[RawLog])
