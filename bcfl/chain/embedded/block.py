"""What goes into the embedded chain and comes out of it; its machine is in ``evm``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bcfl.core.errors import LedgerError

#: 2026-01-01T00:00:00Z
GENESIS_TIMESTAMP: Final = 1_767_225_600
#: A batch of 128 signed ballots must fit into one block.
GAS_LIMIT: Final = 60_000_000


class RpcError(LedgerError):
    """No block may hold this transaction, or a call failed; the chain is as it was.

    Parameters
    ----------
    words : str
        What is wrong, in geth's words where it has any.
    code : int
        JSON-RPC's: 3 where a contract reverted.
    data : str, optional
        What it reverted with, hexadecimal.
    """

    def __init__(self, words: str, code: int = -32000, data: str | None = None) -> None:
        super().__init__(words)
        self.code = code
        self.data = data


@dataclass(frozen=True, slots=True)
class Genesis:
    """What block 0 is made of."""

    balances: Mapping[str, int]  #: wei by address
    timestamp: int = GENESIS_TIMESTAMP
    gas_limit: int = GAS_LIMIT


@dataclass(frozen=True, slots=True)
class Mined:
    """A block and, unless it is empty, its one transaction."""

    number: int
    timestamp: int
    hash: bytes
    block: Mapping[str, Any]
    transaction: Mapping[str, Any] | None
    receipt: Mapping[str, Any] | None
