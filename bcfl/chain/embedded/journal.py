"""The embedded chain on disk: its genesis and every block, a JSON object a line.

``{"chain": …, "timestamp": …, "gas_limit": …, "balances": {…}, "hash": …}`` first, then for each
block ``{"block": 1, "timestamp": …, "transaction": "0x…" or null, "hash": "0x…"}``: the signed
bytes as their sender sent them. Executing them again must give the same hashes.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bcfl.chain.embedded.block import Genesis, Mined, RpcError
from bcfl.core.errors import AuditError, JournalDamaged
from bcfl.files import Journal

if TYPE_CHECKING:
    from bcfl.chain.embedded.evm import Evm

_FORMAT: Final = "bcfl embedded chain, format 1"


def begin(genesis: Genesis) -> Evm:
    """A chain of one block."""
    # py-evm takes seconds to import, which whoever only names a chain is spared
    from bcfl.chain.embedded.evm import Evm  # noqa: PLC0415

    return Evm(genesis)


def genesis_entry(genesis: Genesis, evm: Evm) -> dict[str, Any]:
    """The journal's first line."""
    return {
        "chain": _FORMAT,
        "timestamp": genesis.timestamp,
        "gas_limit": genesis.gas_limit,
        "balances": {address: str(wei) for address, wei in genesis.balances.items()},
        "hash": "0x" + evm.blocks[0].hash.hex(),
    }


def block_entry(mined: Mined, raw: bytes | None) -> dict[str, Any]:
    """The line of a block and the signed transaction in it."""
    return {
        "block": mined.number,
        "timestamp": mined.timestamp,
        "transaction": None if raw is None else "0x" + raw.hex(),
        "hash": "0x" + mined.hash.hex(),
    }


def read_entries(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a journal, which stays as it is.

    Raises
    ------
    JournalDamaged
        There is no such file, or a line is no JSON object.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            copy = Path(shutil.copy(path, Path(folder) / path.name))
            return list(Journal(copy))  # which cuts a torn last line off, so not from the original
        except OSError as error:
            raise JournalDamaged(f"cannot read the journal {path}: {error.strerror}") from error
        except AuditError as error:
            raise JournalDamaged(str(error)) from error


def rebuild(entries: Sequence[dict[str, Any]], path: Path) -> tuple[Genesis, Evm]:
    """Execute a journal again.

    Raises
    ------
    JournalDamaged
        What comes out is not what it says; names the line.
    """
    if not entries:
        raise JournalDamaged(f"{path}: expected a chain's journal; the file is empty")
    first = entries[0]
    try:
        if first["chain"] != _FORMAT:
            raise JournalDamaged(
                f"{path}, line 1: expected {_FORMAT!r}, found {first['chain']!r:.80}"
            )
        genesis = Genesis(
            {address: int(wei) for address, wei in first["balances"].items()},
            int(first["timestamp"]),
            int(first["gas_limit"]),
        )
        evm = begin(genesis)
        _expect_hash(path, 1, evm.head, first["hash"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise JournalDamaged(f"{path}, line 1: no genesis: {error!r}") from error
    for line, entry in enumerate(entries[1:], 2):
        _replay_line(evm, entry, path, line)
    return genesis, evm


def _replay_line(evm: Evm, entry: dict[str, Any], path: Path, line: int) -> None:
    try:
        number, timestamp, text, claimed = (
            entry[name] for name in ("block", "timestamp", "transaction", "hash")
        )
        raw = None if text is None else bytes.fromhex(text.removeprefix("0x"))
        if number != evm.head.number + 1:
            raise JournalDamaged(
                f"{path}, line {line}: expected block {evm.head.number + 1}, found {number!r}"
            )
        mined = evm.mine(raw, int(timestamp))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise JournalDamaged(f"{path}, line {line}: not a block: {error!r}") from error
    except RpcError as error:
        raise JournalDamaged(f"{path}, line {line}: the chain refuses it: {error}") from error
    _expect_hash(path, line, mined, claimed)


def _expect_hash(path: Path, line: int, mined: Mined, claimed: object) -> None:
    if claimed != "0x" + mined.hash.hex():
        raise JournalDamaged(
            f"{path}, line {line}: expected block {mined.number} to have the hash "
            f"0x{mined.hash.hex()}, which its contents give; found {claimed!r:.80}"
        )
