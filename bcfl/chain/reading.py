"""What a node says of its newest block, once all that was sent from here is on its chain.

Every read is of a named block, never of an older one than was seen or written to before, and
what a reorganisation took back of one's own transactions is sent again before it is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from bcfl.chain.log_history import RawLog
from bcfl.chain.node import Head, Node, Receipt
from bcfl.chain.outbox import Outbox
from bcfl.core.errors import ContractReverted, NodeBehind, NodeRefused, TransactionUnknown

_T = TypeVar("_T")

_HASH: Final = re.compile(r"0x[0-9a-fA-F]{64}")


class Reading:
    """A node's newest block, beside what one account has sent.

    Parameters
    ----------
    node : Node
    outbox : Outbox
    """

    def __init__(self, node: Node, outbox: Outbox) -> None:
        self._node = node
        self._outbox = outbox
        self._glanced: dict[str, Receipt] = {}  # by number

    def head(self) -> Head:
        """The newest block."""
        try:
            head = self._node.head()
        except NodeBehind:
            if self._outbox.newest is None:
                raise
        else:
            if self._outbox.stands(head):
                return head
        self._outbox.restore()
        return self._node.head()

    def at_head(self, ask: Callable[[Head], _T]) -> _T:
        """What the node answers of the newest block.

        Asked once more where a reorganisation takes that block back in between.
        """
        head = self.head()
        try:
            return ask(head)
        except (NodeRefused, NodeBehind, ContractReverted):
            newest = self._node.newest()
            if newest.number >= head.number and self._outbox.stands(newest):
                raise
        return ask(self.head())

    def calls(
        self,
        calls: Sequence[Mapping[str, Any]],
        block: int = 0,
        block_hash: str = "",
        transactions: Sequence[str] = (),
    ) -> tuple[Head, list[bytes]]:
        """What calls return of the newest block: at a glance where it is the one expected.

        See ``Connection.views``.
        """
        if transactions:
            transactions = [number for number in transactions if _HASH.fullmatch(number)]
        expected = block if block_hash else self._node.reached
        if glance := self._node.glance(expected, block_hash, calls, transactions):
            head, found, receipts = glance
            if self._outbox.stands(head):
                self._glanced |= receipts
                return head, found
        if block_hash:
            self._node.await_block(block, block_hash)
        return self.at_head(lambda head: (head, self._node.call_each(calls, head.number)))

    def forget(self) -> None:
        """What was looked up along with an older block: a reorganisation may have taken it back."""
        self._glanced = {}

    def receipt(self, transaction: str, depth: int, *, expected: bool) -> Receipt:
        """See ``Connection.receipt``; ``depth`` blocks are to stand on its own."""
        if not _HASH.fullmatch(transaction):
            raise TransactionUnknown(
                f"a transaction number is 0x and 64 hexadecimal digits; found {transaction!r:.80}"
            )
        find = self._node.await_receipt if expected else self._node.find_receipt
        receipt = self._glanced.pop(transaction, None) or find(transaction)
        if receipt is None and expected:
            self.head()  # it may have been taken back; it is sent again then
            receipt = find(transaction)
        if receipt is None:
            raise TransactionUnknown(f"the chain has no transaction {transaction}")
        if not receipt.succeeded:
            raise TransactionUnknown(f"transaction {transaction} was mined, but it reverted")
        if not self._node.confirmed(receipt, depth):
            raise TransactionUnknown(
                f"transaction {transaction} is not confirmed: expected {depth} blocks "
                "on top of its own (chain.confirmations); ask again later"
            )
        return receipt

    def receipts(self, transactions: Sequence[str]) -> dict[str, Receipt]:
        """By number, the receipts of those that are known to be mined, in few requests."""
        return self._node.find_receipts([n for n in transactions if _HASH.fullmatch(n)])

    def logs(
        self, address: str, topics: tuple[bytes, ...], first: int, depth: int, at: int = 0
    ) -> list[RawLog]:
        """What a contract has logged from block ``first`` on, but in the newest ``depth`` blocks.

        ``at`` is the newest block, where it is known.
        """
        for _ in self._node.rpc.tries():
            last = (at or self.head().number) - depth
            at = 0
            logs = self._node.history.read(first, last, address, topics)
            own = self._outbox.logs(address, topics, first, last)
            if {*map(_place, own)} <= {*map(_place, logs)}:
                return logs
        raise NodeBehind(
            f"expected the {len(own)} events that this account's transactions have logged; the "
            "node does not show them all: it lags; try again"
        )

    def timestamps(self, logs: Sequence[RawLog]) -> dict[int, int]:
        """When the blocks of these were made, seconds, by number."""
        times = {log.block: log.timestamp for log in logs if log.timestamp is not None}
        return times | self._node.timestamps(sorted({log.block for log in logs} - times.keys()))


def _place(log: RawLog) -> tuple[str, int, int]:
    return log.transaction, log.block, log.log_index
