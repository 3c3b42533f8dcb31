"""Task, journal and receipts on disk: what was agreed and signed, read without trust."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bcfl.audit.evidence import Journaled, Receipt, Signed, Task
from bcfl.audit.findings import KEEPER, Finding
from bcfl.audit.plain_files import parse_json, read_file, read_lines
from bcfl.consensus.spec.domain import (
    MAX_MEMBERS,
    Ballot,
    Commitment,
    Proposal,
    SignedBallot,
    SignedCommitment,
    SignedProposal,
    SignedSeal,
)
from bcfl.consensus.spec.rules import Rules
from bcfl.core.errors import AuditError, BcflError

_MOST_TASK_BYTES: Final = 2**20
_ENOUGH: Final = 20  #: lines that are wrong
#: What goes wrong when a JSON value is not of the shape that is wanted of it.
_MISFIT: Final = (KeyError, TypeError, ValueError, AttributeError, OverflowError, BcflError)


def _unhex(value: object) -> bytes:
    if isinstance(value, str):
        return bytes.fromhex(value.removeprefix("0x"))
    raise ValueError("expected hexadecimal")


_Integer = Annotated[int, Field(ge=0, lt=2**256)]
_Text = Annotated[str, Field(max_length=1000)]
_Bytes = Annotated[bytes, BeforeValidator(_unhex)]
_Digest = Annotated[_Bytes, Field(min_length=32, max_length=32)]


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
        task = _TaskFile.model_validate(fields)
    except ValidationError as error:
        raise AuditError(f"{path}: not a task description: {_first(error)}") from error
    try:
        rules = Rules(**fields.get("rules"))
    except _MISFIT:
        rules = None  # which the contract's digest will show
    return Task(
        task.chain_id, task.contract, task.coordinator, task.genesis, rules, task.deployed_at
    )


def read_journal(folder: Path, contract: str) -> tuple[list[Journaled], list[Finding]]:
    """The lines of ``journal.jsonl`` about this contract; those that are none are findings."""
    path = folder / "journal.jsonl"
    if not os.path.lexists(path):
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
                entries.append(
                    Journaled(number, _KINDS[entry["kind"]].model_validate(entry).signed())
                )
        except _MISFIT as error:
            found = _first(error) if isinstance(error, ValidationError) else f"{error!r:.200}"
            expected = f"something signed in journal.jsonl, line {number}"
            findings.append(Finding("journal", KEEPER, None, expected, found))
            if len(findings) == _ENOUGH:
                break
    return entries, findings


def read_shown(paths: Iterable[Path]) -> Iterator[Receipt | Signed]:
    """Receipts, and what members have signed, as somebody shows them.

    A file holds an object, or a list of them. Bytes are hexadecimal, and what else is in an
    object is passed over, so that a line of a journal may be shown as it is. Beside ``round``,
    ``member`` and ``signature`` there is

    ==========================  ===================================================
    ``digest``                  a receipt for a commitment
    ``ballot``                  a receipt for a ballot, or its seal: the SHA-256 of what was signed
    ``base, digest, timestamp``  a signed commitment
    ``members``                 a signed proposal
    ``entries``                 a signed ballot
    ``seal``                    a signed seal
    ==========================  ===================================================

    Raises
    ------
    AuditError
        A file is none of these.
    """
    for path in paths:
        # the reader named this one, and may as well name a link
        content = parse_json(path, read_file(path.resolve(), _MOST_TASK_BYTES))
        for entry in content if isinstance(content, list) else [content]:
            try:
                kind = next(kind for name, kind in _SHOWN.items() if name in entry)
                shown = kind.model_validate(entry)
                if isinstance(shown, _Receipt):
                    yield shown.receipt(path.name)
                else:
                    yield shown.signed()
            except (*_MISFIT, StopIteration) as error:
                found = _first(error) if isinstance(error, ValidationError) else f"{error!r:.200}"
                raise AuditError(
                    f"{path}: expected a receipt (round, member, digest or ballot, signature) or a "
                    f"signed commitment, ballot or seal; found {found}"
                ) from error


class _Document(BaseModel):
    """What is taken of an object: what else is in it is somebody else's."""

    model_config = ConfigDict(strict=True, frozen=True)


class _TaskFile(_Document):
    chain_id: _Integer
    contract: Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
    coordinator: _Text
    genesis: _Text
    deployed_at: Annotated[int, Field(ge=0, lt=2**63)] = 0


class _Entry(_Document):
    round: Annotated[int, Field(ge=1, lt=2**64)]
    member: Annotated[int, Field(ge=0, lt=MAX_MEMBERS)]
    signature: _Bytes


class _Receipt(_Entry, ABC):
    @abstractmethod
    def receipt(self, source: str) -> Receipt:
        """As evidence; ``source`` is the file that it was shown in."""


class _CommitmentReceipt(_Receipt):
    digest: _Digest

    def receipt(self, source: str) -> Receipt:
        return Receipt(self.round, self.member, self.digest, self.signature, source)


class _BallotReceipt(_Receipt):
    ballot: _Digest

    def receipt(self, source: str) -> Receipt:
        return Receipt(self.round, self.member, self.ballot, self.signature, source, ballot=True)


class _Commitment(_Entry):
    base: _Digest
    digest: _Digest
    timestamp: _Integer

    def signed(self) -> SignedCommitment:
        commitment = Commitment(self.round, self.base, self.digest, self.timestamp)
        return SignedCommitment(self.member, commitment, self.signature)


class _Proposal(_Entry):
    members: Annotated[_Bytes, Field(min_length=16, max_length=16)]

    def signed(self) -> SignedProposal:
        proposal = Proposal(self.round, int.from_bytes(self.members, "big"))
        return SignedProposal(self.member, proposal, self.signature)


class _Seal(_Entry):
    seal: _Digest

    def signed(self) -> SignedSeal:
        return SignedSeal(self.member, self.round, self.seal, self.signature)


class _Ballot(_Entry):
    entries: _Bytes
    salt: _Bytes = b""

    def signed(self) -> SignedBallot:
        ballot = Ballot.decode(self.round, self.entries)
        return SignedBallot(self.member, ballot, self.signature, self.salt)


_KINDS: Final[Mapping[str, type[_Commitment | _Proposal | _Seal | _Ballot]]] = {
    "commitment": _Commitment,
    "proposal": _Proposal,
    "seal": _Seal,
    "ballot": _Ballot,
}
#: By a field that nothing before it has.
_SHOWN: Final[Mapping[str, type[_Receipt | _Commitment | _Proposal | _Seal | _Ballot]]] = {
    "timestamp": _Commitment,
    "members": _Proposal,
    "entries": _Ballot,
    "seal": _Seal,
    "ballot": _BallotReceipt,
    "digest": _CommitmentReceipt,
}


def _first(error: ValidationError) -> str:
    """What is wrong with the first field that is."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}, not {first['input']!r:.60}"
