"""Typed messages: a frozen dataclass that travels as one ``ConfigRecord`` in a message.

Both sides parse what arrives once, where it arrives, into bounded and canonical values; what
does not fit raises ``ProtocolError``. Each system names its own key, so that a message without
such a record is none of its own.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Annotated, Any, ClassVar, Self

from flwr.app import ConfigRecord, RecordDict
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from bcfl.core.errors import AccountError, ProtocolError
from bcfl.keys.accounts import checksummed

LONGEST_TEXT = 2_000  #: characters
_MOST_PARTS = 128

Text = Annotated[str, Field(strict=True, max_length=LONGEST_TEXT)]
Address = Annotated[Text, AfterValidator(checksummed)]
Int64 = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)]
Count = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Digest = Annotated[bytes, Field(strict=True, min_length=32, max_length=32)]


class TypedRecord:
    """The base of a system's messages. What a field may be, its annotation says."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    key: ClassVar[str]  #: under which the record travels
    kind: ClassVar[str]  #: which message it is
    #: A list of blobs, each of which travels in a record of its own: Flower sends a record as one
    #: protobuf message, which ends at 2 GiB.
    apart: ClassVar[str] = ""
    absent: ClassVar[str]  #: what to say where there is no record at all

    def to_record(self) -> ConfigRecord:
        """The record, its kind included. What is empty is left out: Flower cannot size it."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]
        values = {name: value for name, value in found.items() if value not in ("", b"", [])}
        return ConfigRecord({"kind": self.kind, **values})

    def to_records(self) -> dict[str, ConfigRecord]:
        """The record, and what travels apart from it; by their keys in a message."""
        record = self.to_record()
        blobs = record.pop(self.apart, [])
        assert isinstance(blobs, list)
        parts = {self._part(i): ConfigRecord({"blob": blob}) for i, blob in enumerate(blobs)}  # type: ignore[dict-item]
        return {self.key: record, **parts}

    def content(self) -> RecordDict:
        """A message's content that is this record alone."""
        return RecordDict(dict(self.to_records()))

    @classmethod
    def read(cls, content: RecordDict) -> Self:
        """The record in a message's content.

        Raises
        ------
        ProtocolError
            There is none, it is of another kind, or a field is not what it should be.
        """
        records = content.config_records  # Flower makes it anew each time
        record = records.get(cls.key)
        if record is None:
            raise ProtocolError(f"expected a {cls.kind!r} record; found none. {cls.absent}")
        values: dict[str, Any] = dict(record)
        if (kind := values.pop("kind", None)) != cls.kind:
            raise ProtocolError(f"expected a {cls.kind!r} record; found {kind!r:.40}")
        if cls.apart:
            parts = [records.get(cls._part(i)) for i in range(_MOST_PARTS)]
            if blobs := [part.get("blob") for part in parts if part is not None]:
                values[cls.apart] = blobs
        try:
            found: Self = _parser(cls).validate_python(values)  # type: ignore[arg-type]
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            # of what was sent, its type only: a blob or a signature has no place in a log
            found_type = type(first["input"]).__name__
            raise ProtocolError(
                f"{cls.kind}.{where:.60}: {first['msg']:.200}; found {found_type}"
            ) from None
        except AccountError as error:
            raise ProtocolError(f"{cls.kind}: {error!s:.200}") from None
        return found

    @classmethod
    def _part(cls, index: int) -> str:
        return f"{cls.key}-blob-{index}"


def config_in(content: RecordDict, name: str) -> ConfigRecord | None:
    """The ConfigRecord of that name; ``content.config_records`` checks and copies all of them."""
    found = content.get(name)
    return found if isinstance(found, ConfigRecord) else None


@cache
def _parser(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
