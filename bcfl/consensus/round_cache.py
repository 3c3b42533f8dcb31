"""What a process has worked out of a round already: digests, updates, what they make of θ_g.

In a simulation the server and all members share a process, and each works out the same from the
same bytes. All here follows from its arguments alone, so that whoever asks gets what it would have
got by itself. Bytes are known where they are equal to bytes that were hashed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakValueDictionary

from flwr.app import ArrayRecord

from bcfl.consensus.spec.codec import Heading, digest_of
from bcfl.consensus.spec.update import Updates
from bcfl.core.model import Arrays, model_digest
from bcfl.flower.handlers import to_array_record

_MOST_BYTES = 2**28  # of models


class RoundCache:
    """Of one round; it lasts as long as anybody in this process holds it."""

    def __init__(self) -> None:
        self.blobs: dict[bytes, bytes] = {}  #: encoded updates, by digest
        self._updates: dict[tuple[Heading, bytes], Any] = {}
        self._limited: tuple[dict[int, Any], dict[int, Any]] = {}, {}
        self._model: tuple[list[tuple[str, str, bytes]], bytes] = [], b""
        self._shared = False
        self._records: dict[int, tuple[Any, ArrayRecord]] = {}  # by the update's id
        self._left = _MOST_BYTES

    @staticmethod
    def of(rules: bytes, round_: int, base: bytes) -> RoundCache:
        """The one of a contract's round, by the digests of its rules and of θ_g."""
        found = _OF_ROUNDS.get(key := (rules, round_, base))
        if found is None:
            found = _OF_ROUNDS[key] = RoundCache()
        else:
            found._shared = True
        return found

    def model_digest(self, record: ArrayRecord, arrays: Arrays) -> bytes:
        """Of a record's arrays; the last one is remembered."""
        content = [(key, array.stype, array.data) for key, array in record.items()]
        if content != self._model[0]:
            self._model = content, model_digest(arrays)
        return self._model[1]

    def keep(self, blob: bytes) -> bytes:
        """Remember an encoded update; its digest."""
        self.blobs[digest := digest_of(blob)] = blob
        return digest

    def digest(self, blob: bytes, supposed: bytes) -> bytes:
        """Of ``blob``, which is supposed to have this one."""
        return supposed if self.blobs.get(supposed) == blob else digest_of(blob)

    def decode(self, kind: Updates[Any], digest: bytes, blob: bytes, heading: Heading) -> Any:
        """The update that ``blob``, of that digest, encodes. Raises as ``kind.decode``."""
        if (key := (heading, digest)) not in self._updates:
            self._updates[key] = kind.decode(blob, heading)
            self.blobs[digest] = blob
        return self._updates[key]

    def limited(self, kind: Updates[Any], updates: Mapping[int, Any]) -> dict[int, Any]:
        """As ``kind.limited``; of the updates asked for last it is remembered."""
        of, found = self._limited
        if of.keys() != updates.keys() or any(of[m] is not updates[m] for m in of):
            found = kind.limited(updates)
            self._limited = dict(updates), found
        return dict(found)

    def record(self, update: Any, make: Callable[[Any], Arrays]) -> ArrayRecord:
        """Of the model that ``make`` gives of an update: of :meth:`limited`, by the task's rules.

        Where others in this process rate it as well, models are kept as far as there is room.
        """
        if (known := self._records.get(id(update))) is not None:
            return copy.deepcopy(known[1])  # which shares the arrays' bytes
        record = to_array_record(make(update))
        size = record.count_bytes()
        if self._shared and size <= self._left:
            self._left -= size
            self._records[id(update)] = update, copy.deepcopy(record)
        return record


_OF_ROUNDS: WeakValueDictionary[tuple[bytes, int, bytes], RoundCache] = WeakValueDictionary()
