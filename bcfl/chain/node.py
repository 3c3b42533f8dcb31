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
from bcfl.chain.log_history import LogHistory, RawLog
from bcfl.chain.provider import FAILED, Call, NodeProvider
from bcfl.chain.wire import Address, Bytes32, Data, Flag, Quantity, TransactionNumber, Wei
from bcfl.core.errors import NodeBehind, NodeRefused, ReplyMalformed

_GWEI: Final = 10**9
#: What a node may make us pay a block's builder per gas. A lying node could name any sum.
_HIGHEST_TIP: Final = 50 * _GWEI

#: What is of use, but can be done without, is asked for so long.
_GLANCE_S: Final = 1.0

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Head:
    """What is needed of a block's header."""

    number: Quantity
    timestamp: Quantity  #: seconds
    gas_limit: Annotated[Quantity, Field(validation_alias="gasLimit")]
    base_fee: Annotated[Wei, Field(validation_alias="baseFeePerGas")] = 0  #: wei per gas
    hash: Bytes32 | None = None

    def is_called(self, block_hash: str) -> bool:
        """Whether this is its hash, 0x…; where the node does not say, it may be."""
        return self.hash is None or "0x" + self.hash.hex() == block_hash.lower()


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


@dataclass(frozen=True, slots=True)
class Quote:
    """What a transaction would need, and what there is."""

    gas: int
    head: Head  #: the newest block
    balance: int  #: wei, the account's
    tip: int  #: wei per gas


class Node:
    """Typed reads, and the one write, of a node's JSON-RPC interface.

    Behind one URL there may be several nodes, which learn of a block one after the other. So a
    read names the block that it is of, the newest that was ever seen or a later one, and is
    asked again where the node that answers has not got it yet.
    """

    def __init__(self, rpc: NodeProvider) -> None:
        self.rpc = rpc
        self._known = 0  # a block that is on the chain: of a receipt of ours, or named by others
        self._seen = 0  # the newest that was seen
        self.history = LogHistory(self._logs, self.had_code, rpc.tries)

    @property
    def reached(self) -> int:
        """The newest block that was seen, or is known to be there."""
        return max(self._known, self._seen)

    def chain_id(self) -> int:
        """EIP-155 chain id."""
        return self._ask(_QUANTITY, "eth_chainId")

    def head(self) -> Head:
        """The newest block's header: never an older one than was seen before.

        Raises
        ------
        NodeBehind
            The node stays behind a block that is known to be on the chain.
        """
        for _ in self.rpc.tries():
            if (found := self.newest()).number >= self.reached:
                break
        if found.number < self._known:
            raise NodeBehind(
                f"expected block {self._known}, in which there is a transaction that counts; the "
                f"node's newest is {found.number}: it lags, or has taken blocks back; try again"
            )
        self._seen = found.number  # whoever's blocks were dropped, they were not ours
        return found

    def newest(self) -> Head:
        """The newest block's header as whichever node answers has it."""
        for _ in self.rpc.tries():
            if (found := self._ask(_HEAD, "eth_getBlockByNumber", "latest", False)) is not None:
                return found
        raise ReplyMalformed("eth_getBlockByNumber: the node has no newest block")

    def know(self, block: int) -> None:
        """Every read from now on is of this block or a later one."""
        self._known = max(self._known, block)

    def forget(self, block: int) -> None:
        """The chain was reorganised: what is known for sure ends with this block."""
        self._known = self._seen = block
        self.history.forget()

    def block(self, number: int) -> Head | None:
        """A block's header, or None where the node has not got it."""
        found = self._ask(_HEAD, "eth_getBlockByNumber", hex(number), False)
        if found is not None and found.number != number:
            raise ReplyMalformed(f"asked for block {number}; the node sent {found.number}")
        return found

    def await_block(self, number: int, block_hash: str) -> None:
        """Wait until the node has this very block; read at or after it from now on.

        Raises
        ------
        NodeBehind
            It has not got it in time, or has another in its place.
        """
        found = None
        for _ in self.rpc.tries():
            found = self.newest()
            if found.number > number:
                found = self.block(number)
            if found is not None and found.number == number and found.is_called(block_hash):
                if number < self._known:  # blocks were taken back since
                    self.history.forget()
                self._known = self._seen = number
                return
        there = "another in its place"
        if found is None or found.number < number:
            there = f"none later than {found.number if found else number - 1}"
        raise NodeBehind(
            f"expected block {number}, {block_hash[:18]}…, which the server names; this "
            f"node has {there}: it lags, or the chain was reorganised; ask again"
        )

    def timestamps(self, numbers: Sequence[int]) -> dict[int, int]:
        """When these blocks were made, seconds, by number."""
        rows = [[hex(number), False] for number in numbers]
        replies = self.rpc.request_many("eth_getBlockByNumber", rows)
        found: dict[int, int] = {}
        for number, reply in zip(numbers, replies, strict=True):
            head = self._read(_HEAD, "eth_getBlockByNumber", reply)
            for _ in self.rpc.tries() if head is None else ():
                if (head := self.block(number)) is not None:
                    break
            if head is None or head.number != number:
                raise ReplyMalformed(f"the node has an event of block {number}, and no such block")
            found[number] = head.timestamp
        return found

    def balance(self, address: str) -> int:
        """Wei."""
        return self._ask(_WEI, "eth_getBalance", address, hex(self.head().number))

    def code(self, address: str, block: int) -> bytes:
        """The code at an address after ``block``; empty where there is no contract."""
        return self._ask(_DATA, "eth_getCode", address, hex(block))

    def nonces(self, address: str) -> tuple[int, int]:
        """How many transactions of this account are mined, and with those that are pending."""
        rows = [[address, hex(self.head().number)], [address, "pending"]]
        answers = self.rpc.request_many("eth_getTransactionCount", rows)
        mined, pending = (
            self._read(_QUANTITY, "eth_getTransactionCount", answer) for answer in answers
        )
        return mined, max(mined, pending)

    def quote(self, fields: Mapping[str, Any], address: str) -> Quote:
        """What a transaction of this account would need; raises NodeRefused if it would revert."""
        at = hex(self.head().number)
        calls: list[Call] = [
            ("eth_estimateGas", [fields, at]),
            ("eth_getBlockByNumber", ["latest", False]),
            ("eth_getBalance", [address, at]),
            ("eth_maxPriorityFeePerGas", []),
        ]
        *answers, tip = self.rpc.glance(calls)
        gas, newest, wei = (
            self.rpc.request(*call) if answer is FAILED else answer
            for call, answer in zip(calls[:3], answers, strict=True)
        )
        return Quote(
            self._read(_QUANTITY, "eth_estimateGas", gas),
            self._read(_HEAD, "eth_getBlockByNumber", newest) or self.newest(),
            self._read(_WEI, "eth_getBalance", wei),
            self._tip(tip),
        )

    def _tip(self, answer: Any) -> int:
        """Wei per gas for the block's builder: the node's advice, within reason."""
        try:
            if answer is FAILED:
                answer = self.rpc.request("eth_maxPriorityFeePerGas", [])
            return min(self._read(_WEI, "eth_maxPriorityFeePerGas", answer), _HIGHEST_TIP)
        except NodeRefused:  # not every node has the method
            return _GWEI

    def call(self, fields: Mapping[str, Any], block: int) -> bytes:
        """What a call returns in the state after ``block``; NodeRefused if it reverts."""
        return self._ask(_DATA, "eth_call", fields, hex(block))

    def call_each(self, calls: Sequence[Mapping[str, Any]], block: int) -> list[bytes]:
        """As :meth:`call`, for each."""
        answers = self.rpc.request_many("eth_call", [[fields, hex(block)] for fields in calls])
        return [self._read(_DATA, "eth_call", answer) for answer in answers]

    def glance(
        self,
        block: int,
        block_hash: str,
        calls: Sequence[Mapping[str, Any]],
        transactions: Sequence[str],
    ) -> tuple[Head, list[bytes], dict[str, Receipt]] | None:
        """As :meth:`call_each`, and receipts; None unless this very block is the newest.

        One request, which says so itself, and is not repeated. Without a hash, ``block`` is a
        guess, such as :attr:`reached`.
        """
        if block == 0:
            return None
        newest, *answers = self.rpc.glance(
            [
                ("eth_getBlockByNumber", ["latest", False]),
                *(("eth_call", [fields, hex(block)]) for fields in calls),
                *(("eth_getTransactionReceipt", [number]) for number in transactions),
            ]
        )
        called, looked_up = answers[: len(calls)], answers[len(calls) :]
        if newest is FAILED or FAILED in called:
            return None
        head = self._read(_HEAD, "eth_getBlockByNumber", newest)
        if head is None or head.number != block:
            return None
        if block_hash and not head.is_called(block_hash):
            return None
        if block < self.reached:
            return None
        self._seen = block
        if block_hash:
            self._known = block
        found = [self._read(_DATA, "eth_call", answer) for answer in called]
        receipts = {
            number: receipt
            for number, answer in zip(transactions, looked_up, strict=True)
            if answer is not FAILED and (receipt := self._receipt_of(number, answer)) is not None
        }
        return head, found, receipts

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
        answer = self.rpc.request("eth_getTransactionReceipt", [number])
        return self._receipt_of(number, answer)

    def await_receipt(self, number: str) -> Receipt | None:
        """The receipt of a transaction that is known to be mined; None after some patience."""
        for _ in self.rpc.tries():
            if (receipt := self.find_receipt(number)) is not None:
                return receipt
        return None

    def find_receipts(self, numbers: Sequence[str]) -> dict[str, Receipt]:
        """By number, the receipts of those that are mined."""
        rows = [[number] for number in numbers]
        replies = self.rpc.request_many("eth_getTransactionReceipt", rows)
        found = {}
        for number, reply in zip(numbers, replies, strict=True):
            if (receipt := self._receipt_of(number, reply)) is None:
                receipt = self.await_receipt(number)
            if receipt is not None:
                found[number] = receipt
        return found

    def confirmed(self, receipt: Receipt, depth: int) -> bool:
        """Whether ``depth`` blocks stand on the receipt's block, and that one on the chain."""
        if depth == 0:
            return True
        if self.newest().number < receipt.block + depth:
            return False
        block = self.block(receipt.block)
        return (
            block is not None
            and receipt.block_hash is not None
            and (block.hash == receipt.block_hash)
        )

    def had_code(self, address: str, block: int) -> bool | None:
        """Whether there was a contract after ``block``; None where the node does not know."""
        try:
            found = self.rpc.request("eth_getCode", [address, hex(block)], retry_s=_GLANCE_S)
        except NodeRefused:
            return None
        return bool(self._read(_DATA, "eth_getCode", found))

    def _receipt_of(self, number: str, reply: Any) -> Receipt | None:
        receipt = self._read(_RECEIPT, "eth_getTransactionReceipt", reply)
        if receipt is not None and receipt.number != number.lower():
            raise ReplyMalformed(
                f"asked for the receipt of {number}; the node sent that of {receipt.number}"
            )
        return receipt

    def _logs(self, address: str, topics: tuple[bytes, ...], first: int, last: int) -> list[RawLog]:
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
        return self._read(kind, method, self.rpc.request(method, parameters))

    def _read(self, kind: TypeAdapter[_T], method: str, reply: Any) -> _T:
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
_HEAD: Final = TypeAdapter[Head | None](Head | None)
_RECEIPT: Final = TypeAdapter[Receipt | None](Receipt | None)
_LOGS: Final = TypeAdapter(list[RawLog])
