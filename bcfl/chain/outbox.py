"""What was sent and mined, kept until no reorganisation can take it back any more."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from bcfl.chain.log_history import FINAL_DEPTH, RawLog
from bcfl.chain.node import Head, Node, Receipt
from bcfl.core.errors import ChainReorganised, ContractReverted, LedgerError, TransactionLost

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Mined:
    raw: bytes
    call: str
    receipt: Receipt
    still: Callable[[], bool]


class Outbox:
    """One connection's transactions, as the chain last had them. Safe to share between threads.

    Parameters
    ----------
    node : Node
    settle : callable
        (signed bytes, name) to their receipt; sends them again where they are lost.
    """

    def __init__(self, node: Node, settle: Callable[[bytes, str], Receipt]) -> None:
        self._node = node
        self._settle = settle
        self._lock = threading.RLock()
        self._mined: list[_Mined] = []

    @property
    def newest(self) -> Receipt | None:
        """The receipt of the last transaction that was sent from here."""
        return self._mined[-1].receipt if self._mined else None

    def note(
        self, raw: bytes, call: str, receipt: Receipt, still: Callable[[], bool] = lambda: True
    ) -> None:
        """Remember a transaction that was mined; what is final is forgotten.

        ``still`` says whether it is to be sent again where it was lost.
        """
        with self._lock:
            self._node.know(receipt.block)
            final = receipt.block - FINAL_DEPTH
            self._mined = [each for each in self._mined if each.receipt.block > final]
            self._mined.append(_Mined(raw, call, receipt, still))

    def logs(self, address: str, topics: tuple[bytes, ...], first: int, last: int) -> list[RawLog]:
        """What the transactions sent from here have logged, as their receipts say."""
        with self._lock:
            return [
                log
                for each in self._mined
                for log in each.receipt.logs
                if log.address == address and first <= log.block <= last and log.topics[0] in topics
            ]

    def stands(self, head: Head) -> bool:
        """Whether the chain still has the block of the last transaction."""
        if (newest := self.newest) is None or newest.block_hash is None:
            return True
        found: Head | None = head
        for _ in self._node.rpc.tries() if head.number != newest.block else ():
            if (found := self._node.block(newest.block)) is not None:
                break
        return found is not None and found.hash in (None, newest.block_hash)

    def mend(self) -> None:
        """Restore what was lost, if anything was."""
        if self._mined and not self.stands(self._node.newest()):
            self.restore()

    def restore(self) -> None:
        """After a reorganisation: send again, in their order and unchanged, what was lost.

        What cannot be mined again, as another one took its nonce or the contract refuses it now,
        is let go of.

        Raises
        ------
        ChainReorganised
            One of them is not right any more, after what is now before it.
        LedgerError
            The node cannot be asked; what was not sent again yet is not forgotten.
        """
        with self._lock:
            stands = 0
            while stands < len(self._mined) and self._is_where_it_was(self._mined[stands]):
                stands += 1
            self._mined, lost = self._mined[:stands], self._mined[stands:]
            self._node.forget(self._mined[-1].receipt.block if self._mined else 0)
            while lost:
                each = lost[0]
                if not each.still():
                    raise ChainReorganised(
                        f"the chain was reorganised and has taken back {each.call}, and what led "
                        "to it came out otherwise: go on by `bcfl resume`"
                    )
                try:
                    receipt = self._settle(each.raw, each.call)
                except (TransactionLost, ContractReverted) as error:
                    logger.warning("%s was lost in a reorganisation: %s", each.call, error)
                    lost.pop(0)
                    continue
                except LedgerError:
                    self._mined += lost
                    raise
                logger.warning("%s was taken back by a reorganisation and sent again", each.call)
                self._mined.append(replace(lost.pop(0), receipt=receipt))
                self._node.know(receipt.block)

    def _is_where_it_was(self, each: _Mined) -> bool:
        found = self._node.block(each.receipt.block)
        return found is not None and found.hash == each.receipt.block_hash
