"""What a contract has logged, in as few queries as the node allows.

Hosted nodes limit the blocks, the events or the time of one query, and some have let go of old
history (EIP-4444). So nothing is asked about blocks before the contract was there, what lies too
deep to change is asked once, and a query that is too much is halved, and grows again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeAlias

from pydantic import Field

from bcfl.chain.json_rpc import ReplyTooLong
from bcfl.chain.provider import PRUNED, TooMuch
from bcfl.chain.wire import Address, Bytes32, Data, Quantity, TransactionNumber
from bcfl.core.errors import LedgerError, NodeRefused

#: Two epochs of 32 slots: on Ethereum, what lies beneath is final.
FINAL_DEPTH: Final = 64
#: So few blocks are asked about at once everywhere: not worth looking for the deployment.
_FEW_BLOCKS: Final = 1000
#: After so many answers in a row the next query is twice as large.
_CALM: Final = 8


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


_Query: TypeAlias = Callable[[str, tuple[bytes, ...], int, int], list[RawLog]]


@dataclass(slots=True)
class _Known:
    """What is final of one contract's events: blocks ``first`` to ``last``."""

    first: int
    last: int
    logs: list[RawLog] = field(default_factory=list)


class LogHistory:
    """A node's logs, range by range.

    Parameters
    ----------
    query : callable
        (address, first topics, first block, last block) to the logs.
    exists : callable
        (address, block): whether there is a contract then; None where the node does not know.
    tries : callable
        Steps at which to ask once more.
    """

    def __init__(
        self,
        query: _Query,
        exists: Callable[[str, int], bool | None],
        tries: Callable[[], Iterator[float]],
    ) -> None:
        self._query = query
        self._exists = exists
        self._tries = tries
        self._span: int | None = None  # blocks that one query may cover; None: not known
        self._calm = 0
        self._known: dict[tuple[str, tuple[bytes, ...]], _Known] = {}
        self._deployed: dict[str, int] = {}

    def forget(self) -> None:
        """Blocks were taken back: nothing is final that was thought so."""
        self._known.clear()
        self._deployed.clear()

    def read(self, first: int, last: int, address: str, topics: tuple[bytes, ...]) -> list[RawLog]:
        """The logs of these blocks, both included, in order.

        Raises
        ------
        NodeRefused
            The node has let go of blocks in which there may be events, or refuses even one block.
        """
        if first == 0 and last > _FEW_BLOCKS:
            first = self._deployment(address, last)
        try:
            return self._read_from(first, last, address, topics)
        except NodeRefused as error:
            if error.code != PRUNED or (deployed := self._deployment(address, last)) <= first:
                raise
        return self._read_from(deployed, last, address, topics)

    def _read_from(
        self, first: int, last: int, address: str, topics: tuple[bytes, ...]
    ) -> list[RawLog]:
        known = self._known.get((address, topics))
        if known is None or not known.first <= first <= known.last + 1:
            known = _Known(first, first - 1)
        final = max(last - FINAL_DEPTH, known.last)
        settled = known.logs + self._read(address, topics, known.last + 1, min(final, last))
        self._known[address, topics] = _Known(known.first, final, settled)
        recent = self._read(address, topics, final + 1, last)
        return [log for log in settled + recent if first <= log.block <= last]

    def _deployment(self, address: str, last: int) -> int:
        """The first block with a contract at the address, as far as the node can say."""
        if address not in self._deployed:
            without, there = -1, last
            while there - without > 1:
                middle = (there + without) // 2
                if self._exists(address, middle) is False:
                    without = middle
                else:
                    there = middle
            self._deployed[address] = there
        return self._deployed[address]

    def _read(self, address: str, topics: tuple[bytes, ...], first: int, last: int) -> list[RawLog]:
        found: list[RawLog] = []
        while first <= last:
            span = min(self._span or last + 1, last + 1 - first)
            try:
                found += self._query(address, topics, first, first + span - 1)
            except (NodeRefused, TooMuch, ReplyTooLong) as error:
                if isinstance(error, NodeRefused) and error.code == PRUNED:
                    raise
                if span > 1:
                    self._span, self._calm = span // 2, 0
                    continue
                found += self._one_block(address, topics, first, error)
            else:
                self._calm += 1
                if self._span is not None and self._calm == _CALM:
                    self._span, self._calm = 2 * self._span, 0
            first += span
        return found

    def _one_block(
        self, address: str, topics: tuple[bytes, ...], block: int, error: LedgerError
    ) -> list[RawLog]:
        """Less cannot be asked for: then it was not too much, and may pass."""
        if isinstance(error, ReplyTooLong):
            raise error
        for waited in self._tries():
            try:
                if waited:
                    return self._query(address, topics, block, block)
            except (NodeRefused, TooMuch) as again:
                error = again
        raise error
