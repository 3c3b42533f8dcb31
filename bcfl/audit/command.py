"""``bcfl audit RUN_DIR``: whether every round of a run kept to the rules."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bcfl.audit.audit import audit_run
from bcfl.audit.blobs import open_blobs
from bcfl.audit.models import Measure
from bcfl.audit.report import lines, printable, to_json
from bcfl.core.errors import BcflError
from bcfl.files import write_atomically
from bcfl.keys.accounts import Account
from bcfl.market.task_file import MARKET_FILE
from bcfl.store.blob_store import BlobStore

HOLDS, DOES_NOT_HOLD, CANNOT = 0, 1, 2


def audit_command(
    run_dir: Path | str,
    rpc_url: str | None = None,
    receipts: Sequence[Path | str] = (),
    report: Path | str | None = None,
    ipfs_url: str | None = None,
    key_file: Path | str | None = None,
    *,
    blobs: Path | str | None = None,
    names: Mapping[str, str] | None = None,
    measure: Measure | None = None,
) -> int:
    """Audit a run, print what was found, and write the report.

    Parameters
    ----------
    run_dir : path
        The run's folder.
    rpc_url : str, optional
        A node of the chain that the run was on; without it the folder's own chain is replayed.
    receipts : sequence of path
        Files with receipts of the coordinator's, or with what members signed.
    report : path, optional
        Where the machine-readable report goes; by default ``audit.json`` in the run's folder.
    ipfs_url : str, optional
        The RPC of an IPFS node that has the blobs; by default they are in the run's folder.
    key_file : path, optional
        Of the coordinator, or of somebody who was a member all the time, where blobs are for
        members only; of a market's initiator or verifier. Its password is in the environment.
    blobs : path, optional
        The folder that has the blobs, where it is not the run's own.
    names : mapping, optional
        Who is behind an address (in lower case), as the reader knows.
    measure : callable, optional
        See ``audit_run``.

    Returns
    -------
    int
        0: every round holds. 1: something does not. 2: it cannot be audited, or the report
        cannot be written.
    """
    folder = Path(run_dir)
    asked = _Asked(
        folder,
        rpc_url,
        [Path(receipt) for receipt in receipts],
        ipfs_url,
        None if key_file is None else Path(key_file),
        None if blobs is None else Path(blobs),
        names or {},
        measure,
    )
    try:
        found = asked.market() if os.path.lexists(folder / MARKET_FILE) else asked.run()
    except (BcflError, MemoryError) as error:
        reason = error if isinstance(error, BcflError) else "there is not enough memory for it"
        print(printable(f"bcfl: cannot audit {folder}: {reason}"), file=sys.stderr)
        return CANNOT
    for line in found.lines:
        print(line)
    path = Path(report) if report is not None else folder / "audit.json"
    try:
        write_atomically(path, found.report)
    except OSError as error:
        print(
            f"cannot write the report {path}: {error.strerror}; name another file with --report",
            file=sys.stderr,
        )
        return CANNOT
    print(f"report: {path}")
    return HOLDS if found.holds else DOES_NOT_HOLD


@dataclass(frozen=True, slots=True)
class _Found:
    holds: bool
    lines: list[str]
    report: bytes  #: JSON


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the reader wants to know, and has; see ``audit_command``."""

    folder: Path
    rpc_url: str | None
    receipts: Sequence[Path]
    ipfs_url: str | None
    key_file: Path | None
    blobs: Path | None
    names: Mapping[str, str]
    measure: Measure | None

    def run(self) -> _Found:
        named = any(each is not None for each in (self.ipfs_url, self.key_file, self.blobs))
        store = self._store() if named else None
        audit = audit_run(self.folder, self.rpc_url, self.receipts, store, self.measure)
        audit.names = self.names
        return _Found(audit.holds, list(lines(audit)), to_json(audit))

    def market(self) -> _Found:
        # what a market is judged with: seconds
        from bcfl.audit.market import report  # noqa: PLC0415
        from bcfl.audit.market.audit import audit_market  # noqa: PLC0415

        key = None if self.key_file is None else Account.from_key_file(self.key_file)
        audit = audit_market(self.folder, self._store(), self.rpc_url, key, self.measure)
        audit.names = self.names
        return _Found(audit.holds, list(report.lines(audit)), report.to_json(audit))

    def _store(self) -> BlobStore:
        return open_blobs(self.folder, self.ipfs_url, self.key_file, self.blobs)
