"""``bcfl audit RUN_DIR``: whether every round of a run kept to the rules."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bcfl.audit.audit import audit_run
from bcfl.audit.blobs import open_blobs
from bcfl.audit.models import Measure
from bcfl.audit.report import lines, printable, to_json
from bcfl.core.errors import BcflError
from bcfl.files import write_atomically

HOLDS, DOES_NOT_HOLD, CANNOT = 0, 1, 2


def audit_command(
    run_dir: Path | str,
    rpc_url: str | None = None,
    receipts: Sequence[Path | str] = (),
    report: Path | str | None = None,
    ipfs_url: str | None = None,
    key_file: Path | str | None = None,
    *,
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
        members only; its password is in the environment.
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
    try:
        key = None if key_file is None else Path(key_file)
        named = ipfs_url is not None or key is not None
        store = open_blobs(folder, ipfs_url, key) if named else None
        audit = audit_run(folder, rpc_url, [Path(receipt) for receipt in receipts], store, measure)
        audit.names = names or {}
    except (BcflError, MemoryError) as error:
        reason = error if isinstance(error, BcflError) else "there is not enough memory for it"
        print(printable(f"cannot audit {folder}: {reason}"), file=sys.stderr)
        return CANNOT
    for line in lines(audit):
        print(line)
    path = Path(report) if report is not None else folder / "audit.json"
    try:
        write_atomically(path, to_json(audit))
    except OSError as error:
        print(
            f"cannot write the report {path}: {error.strerror}; name another file with --report",
            file=sys.stderr,
        )
        return CANNOT
    print(f"report: {path}")
    return HOLDS if audit.holds else DOES_NOT_HOLD
