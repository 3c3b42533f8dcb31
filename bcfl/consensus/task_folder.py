"""A task on disk: what a run leaves behind, what ``resume`` needs, what an auditor reads.

======================  ====================================================================
``task.json``           contract, chain id, rules, digest of the first model
``journal.jsonl``       every signed commitment and ballot, before it is relayed
``bundles.jsonl``       optimistic settlement: all that was signed in a round, before it is settled
``blobs/``              deltas and the first model, by digest; or sealed
``sealed-index/``       where they lie sealed, by their own digest
``public-keys.json``    whom they are sealed to
``checkpoint-*.model``  the newest global models, by digest
``inner-*.arrays``      what an inner strategy remembers beside each of them
``chain.jsonl``         embedded chain only: every signed transaction, in order
======================  ====================================================================
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bcfl.consensus.contract.bundle import Bundle
from bcfl.consensus.spec.rules import Rules
from bcfl.core.errors import AuditError, CodecError, ConfigurationError, ProtocolError
from bcfl.core.model import Arrays, decode_model, encode_model, model_digest
from bcfl.core.strict_json import parse_json
from bcfl.files import Journal, write_atomically
from bcfl.store.sealed import SEALED_INDEX

#: Where a folder has what was signed in rounds that were settled optimistically.
BUNDLES = "bundles.jsonl"
#: The model that the chain names, and the one about to follow it; and as many as a
#: reorganisation may go back, which takes a round with every block where rounds are settled.
_CHECKPOINTS_KEPT = 4


@dataclass(frozen=True, slots=True)
class TaskDescription:
    """Where a task lives, and what was agreed."""

    chain_id: int
    contract: str
    coordinator: str
    genesis: str  #: hex digest of the first model
    rules: Rules
    seed: int
    deployed_at: int = 0  #: the contract's block; 0 where it is not known

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TaskDescription:
        """Invert :meth:`to_json`; raises TypeError for a value of another type than the field's."""
        task = cls(**{**values, "rules": Rules(**values["rules"])})
        for field in fields(cls):
            if (found := type(getattr(task, field.name)).__name__) != field.type:
                raise TypeError(f"{field.name} is {field.type}; found {found}")
        return task


class TaskFolder:
    """The folder of one task.

    Parameters
    ----------
    path : Path
        Made when something is first written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = Journal(path / "journal.jsonl")
        self._bundles = Journal(path / BUNDLES)

    def keep_bundle(self, round_: int, bundle: Bundle) -> None:
        """Write down all that was signed in a round."""
        self._bundles.append({"round": round_, **bundle.to_json()})

    def bundles(self) -> Iterator[tuple[int, Bundle]]:
        """All of them, by round. Raises AuditError for a line that is none."""
        for entry in self._bundles:
            try:
                yield int(entry["round"]), Bundle.from_json(entry)
            except (ProtocolError, KeyError, TypeError, ValueError) as error:
                raise AuditError(f"{self._bundles.path.name}: {error!r}") from error

    @property
    def blobs(self) -> Path:
        """The folder of the local blob store."""
        return self.path / "blobs"

    @property
    def sealed_index(self) -> Path:
        """The folder that remembers where blobs lie sealed."""
        return self.path / SEALED_INDEX

    @property
    def public_keys(self) -> Path:
        """The file of the public keys of whoever was a member once."""
        return self.path / "public-keys.json"

    @property
    def chain(self) -> Path:
        """The embedded chain's journal."""
        return self.path / "chain.jsonl"

    def description(self) -> TaskDescription | None:
        """The task that was begun here, or None.

        Raises
        ------
        AuditError
            ``task.json`` is there and cannot be read.
        """
        path = self.path / "task.json"
        if not path.exists():
            return None
        try:
            return TaskDescription.from_json(parse_json(path.read_bytes()))
        except (ValueError, TypeError, KeyError, ConfigurationError) as error:
            raise AuditError(f"{path}: not a task description: {error}") from error

    def describe(self, task: TaskDescription) -> None:
        """Write ``task.json``."""
        write_atomically(
            self.path / "task.json", json.dumps(task.to_json(), indent=2).encode() + b"\n"
        )

    def save_checkpoint(self, arrays: Arrays) -> bytes:
        """Keep ``arrays``, and of the older checkpoints only the newest; their digest."""
        digest = model_digest(arrays)
        if (kept := self._checkpoint(digest)).exists():
            kept.touch()
        else:
            write_atomically(kept, encode_model(arrays))
        self._keep_newest("checkpoint-*.model", kept)
        return digest

    def save_memory(self, model: bytes, told: Arrays) -> None:
        """Keep what an inner strategy remembers once the model of that digest is made."""
        kept = self._memory(model)
        write_atomically(kept, encode_model(told))
        self._keep_newest("inner-*.arrays", kept)

    def load_memory(self, model: bytes) -> dict[str, NDArray[Any]] | None:
        """What it remembered then; None where that was not kept. Raises AuditError if spoilt."""
        path = self._memory(model)
        try:
            return decode_model(path.read_bytes()) if path.exists() else None
        except CodecError as error:
            raise AuditError(f"{path}: {error}") from error

    def _keep_newest(self, pattern: str, kept: Path) -> None:
        others = [path for path in self.path.glob(pattern) if path != kept]
        newest_first = sorted(others, key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in newest_first[_CHECKPOINTS_KEPT - 1 :]:
            path.unlink()

    def load_checkpoint(self, digest: bytes) -> dict[str, NDArray[Any]]:
        """The model of that digest.

        Raises
        ------
        AuditError
            There is no such checkpoint, or it is not that model.
        """
        path = self._checkpoint(digest)
        if not path.exists():
            raise AuditError(f"expected the global model in {path}; there is none")
        try:
            arrays = decode_model(path.read_bytes())
        except CodecError as error:
            raise AuditError(f"{path}: {error}") from error
        if (found := model_digest(arrays)) != digest:
            raise AuditError(f"{path} holds model {found.hex()[:16]}…")
        return arrays

    def _checkpoint(self, digest: bytes) -> Path:
        return self.path / f"checkpoint-{digest.hex()[:32]}.model"

    def _memory(self, model: bytes) -> Path:
        return self.path / f"inner-{model.hex()[:32]}.arrays"
