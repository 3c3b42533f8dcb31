"""Task, journal and receipts on disk: what was agreed and signed, read without trust."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from bcfl.audit.evidence import Journaled, Receipt, Task
from bcfl.audit.findings import KEEPER, Finding
from bcfl.consensus.spec.domain import (
    MAX_MEMBERS,
    Ballot,
    Commitment,
    SignedBallot,
    SignedCommitment,
    SignedSeal,
)
from bcfl.consensus.spec.rules import Rules
from bcfl.core import strict_json
from bcfl.core.errors import AuditError, BcflError, ProtocolError

__all__ = ["parse_json", "read_file", "read_journal", "read_lines", "read_shown", "read_task"]

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
#: Far more than any run writes; what is larger is something else, and is not read at all.
_MOST_BYTES: Final = 2**30
_MOST_TASK_BYTES: Final = 2**20
#: What goes wrong when a JSON value is not of the shape that is wanted of it.
_MISFIT: Final = (KeyError, TypeError, ValueError, AttributeError, OverflowError, BcflError)


def read_file(path: Path, most_bytes: int = _MOST_BYTES) -> bytes:
    """The whole of a plain file.

    Raises
    ------
    AuditError
        It is missing, no plain file, larger than any that a run writes, or not readable.
    """
    try:
        if not path.is_file():
            raise AuditError(f"expected a file {path}; there is none")
        if (size := path.stat().st_size) > most_bytes:
            raise AuditError(f"expected at most {most_bytes} bytes in {path}; found {size}")
        return path.read_bytes()
    except OSError as error:
        raise AuditError(f"cannot read {path}: {error.strerror or error}") from error


def read_lines(path: Path) -> list[bytes]:
    """The whole lines of a file; a torn last one was promised to nobody.

    Raises
    ------
    AuditError
        As ``read_file``.
    """
    return read_file(path).split(b"\n")[:-1]


def parse_json(path: Path, text: bytes) -> Any:
    """The JSON value of a text from ``path``.

    Raises
    ------
    AuditError
        It is no JSON, or nested deeper than anything that a run writes.
    """
    try:
        return strict_json.parse_json(text)
    except ValueError as error:
        raise AuditError(f"{path.name}: not JSON: {error}") from error


def read_task(folder: Path) -> Task:
    """``task.json``, without which nobody knows which contract to look at.

    Raises
    ------
    AuditError
        There is none, or it does not name a contract.
    """
    path = folder / "task.json"
    if not folder.is_dir():
        raise AuditError(f"expected a run's folder at {folder}; there is none")
    fields = parse_json(path, read_file(path, _MOST_TASK_BYTES))
    try:
        contract, coordinator = fields["contract"], fields["coordinator"]
        if not _ADDRESS.fullmatch(contract):
            raise ValueError(f"{contract!r:.60} is no address")
        return Task(
            _integer(fields["chain_id"]),
            str(contract),
            str(coordinator),
            str(fields["genesis"]),
            _rules(fields.get("rules")),
        )
    except _MISFIT as error:
        raise AuditError(f"{path}: not a task description: {error!r}") from error


def read_journal(folder: Path, contract: str) -> tuple[list[Journaled], list[Finding]]:
    """The lines of ``journal.jsonl`` about this contract; those that are none are findings."""
    path = folder / "journal.jsonl"
    if not path.exists():
        return [], []
    entries: list[Journaled] = []
    findings: list[Finding] = []
    try:
        lines = read_lines(path)
    except AuditError as error:
        return [], [Finding("journal", KEEPER, None, "a journal", str(error))]
    for number, line in enumerate(lines, 1):
        try:
            entry = parse_json(path, line)
            if entry["contract"].lower() == contract.lower():
                entries.append(Journaled(number, _signed(entry)))
        except _MISFIT as error:
            expected = f"something signed in journal.jsonl, line {number}"
            findings.append(Finding("journal", KEEPER, None, expected, f"{error!r:.200}"))
    return entries, findings


def read_shown(paths: Iterable[Path]) -> Iterator[Receipt | SignedCommitment]:
    """Receipts, and commitments that a member signed, as somebody shows them.

    A file holds an object, or a list of them. A receipt has ``round``, ``member``, ``digest``
    and ``signature``; a commitment has ``base`` and ``timestamp`` as well. Bytes are
    hexadecimal.

    Raises
    ------
    AuditError
        A file is neither.
    """
    for path in paths:
        content = parse_json(path, read_file(path))
        for entry in content if isinstance(content, list) else [content]:
            try:
                yield _shown(entry, path)
            except _MISFIT as error:
                raise AuditError(
                    f"{path}: expected a receipt (round, member, digest, signature) or a signed "
                    f"commitment (base and timestamp as well); found {error!r}"
                ) from error


def _shown(entry: Any, path: Path) -> Receipt | SignedCommitment:
    if "timestamp" in entry:
        return _commitment(entry)
    digest, signature = _bytes(entry["digest"]), _bytes(entry["signature"])
    round_, member = _integer(entry["round"]), _integer(entry["member"])
    if not (0 < round_ < 2**64 and 0 <= member < MAX_MEMBERS) or len(digest) != 32:
        raise ProtocolError(f"round {round_}, member {member}, a digest of {len(digest)} bytes")
    return Receipt(round_, member, digest, signature, path.name)


def _signed(entry: Any) -> SignedCommitment | SignedSeal | SignedBallot:
    round_, member = _integer(entry["round"]), _integer(entry["member"])
    signature = _bytes(entry["signature"])
    match entry["kind"]:
        case "commitment":
            return _commitment(entry)
        case "seal":
            if not 0 < round_ < 2**64:
                raise ProtocolError(f"round {round_}")
            return SignedSeal(member, round_, _bytes(entry["seal"]), signature)
        case "ballot":
            ballot = Ballot.decode(round_, _bytes(entry["entries"]))
            return SignedBallot(member, ballot, signature, _bytes(entry["salt"]))
    raise ValueError(f"kind {entry['kind']!r:.40}")


def _commitment(entry: Any) -> SignedCommitment:
    commitment = Commitment(
        _integer(entry["round"]),
        _bytes(entry["base"]),
        _bytes(entry["digest"]),
        _integer(entry["timestamp"]),
    )
    return SignedCommitment(_integer(entry["member"]), commitment, _bytes(entry["signature"]))


def _rules(fields: Any) -> Rules | None:
    """The rules; None where they are none, which the contract's digest will show."""
    try:
        return Rules(**fields)
    except _MISFIT:
        return None


def _integer(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError(f"expected an integer; found {value!r:.60}")


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return bytes.fromhex(value.removeprefix("0x"))
    raise TypeError(f"expected hexadecimal; found {value!r:.60}")
