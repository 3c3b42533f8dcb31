"""``market.json``: where a task is, and what it came to. What resuming and auditing begin with.

Every role's program and every run leaves one in its folder; the chain says the rest.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import to_json

from bcfl.core.errors import AuditError
from bcfl.core.strict_json import parse_json
from bcfl.files import write_atomically

MARKET_FILE: Final = "market.json"


@dataclass(frozen=True, slots=True)
class MarketTask:
    """One task on one market."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    chain_id: int
    market: str  #: the contract's address
    initiator: str  #: address
    deployed_at: int = 0  #: the contract's block; 0 where it is not known
    seed: int | None = None  #: of the development keys of a simulation
    description: str = ""  #: hex digest; empty until the task is about to be launched
    task: int = 0  #: its number; 0 until it is launched
    statement: dict[str, Any] = field(default_factory=dict)  #: ``statement_of``, at last

    def write(self, folder: Path) -> None:
        """Put it into ``folder``; raises OSError."""
        write_atomically(folder / MARKET_FILE, to_json(asdict(self), indent=1) + b"\n")


_ADAPTER: Final = TypeAdapter(MarketTask)


def parse_market_task(text: bytes, path: Path) -> MarketTask:
    """Invert :meth:`MarketTask.write`; raises AuditError for anything else."""
    try:
        parse_json(text)  # bounds its depth
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        reason = error.errors()[0]
        where = ".".join(str(part) for part in reason["loc"])
        raise AuditError(f"{path}: not a market's task: {where}: {reason['msg']}") from error
    except ValueError as error:
        raise AuditError(f"{path}: not JSON: {error}") from error


def read_market_task(folder: Path) -> MarketTask | None:
    """The task that was begun in ``folder``, or None; raises AuditError for a file that is none."""
    path = folder / MARKET_FILE
    return parse_market_task(path.read_bytes(), path) if path.exists() else None
