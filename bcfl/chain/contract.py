"""A contract's interface bound to its address: calls out, events in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from eth_abi.abi import decode, encode
from eth_utils.abi import (
    collapse_if_tuple,
    event_abi_to_log_topic,
    function_abi_to_4byte_selector,
)

from bcfl.chain.log_history import RawLog
from bcfl.chain.wire import with_capitals
from bcfl.core.errors import LedgerError, ReplyMalformed
from bcfl.keys.accounts import checksummed

_MOST_KEPT: Final = 2**16  #: decoded events


@dataclass(frozen=True, slots=True)
class Log:
    """One decoded event of a contract."""

    name: str
    arguments: Mapping[str, Any]
    transaction: str  #: 0x…, the transaction number
    block: int
    log_index: int
    timestamp: int  #: of the block, seconds


class Values:
    """Values of known types, as they stand in bytes: a call's arguments, what it returns.

    Addresses are checksummed when they are read; arrays come as lists, structures as tuples.

    Parameters
    ----------
    entries : sequence of mapping
        The values, as an ABI lists them.
    """

    __slots__ = ("_reads", "_types", "names")

    def __init__(self, entries: Sequence[Mapping[str, Any]]) -> None:
        self.names = [str(entry["name"]) for entry in entries]
        self._types = [str(collapse_if_tuple(dict(entry))) for entry in entries]
        self._reads = [_reading(entry) for entry in entries]

    def write(self, values: Sequence[Any]) -> bytes:
        """Encode; raises whatever eth-abi says of values that are not of these types."""
        return encode(self._types, values)

    def read(self, data: bytes) -> list[Any]:
        """Decode; raises whatever eth-abi says of bytes that hold no such values."""
        found = decode(self._types, data)
        return [read(value) for read, value in zip(self._reads, found, strict=True)]


@dataclass(frozen=True, slots=True)
class Function:
    """A function of a contract."""

    selector: bytes  #: 4 bytes
    arguments: Values
    returned: Values


@dataclass(frozen=True, slots=True)
class EventKind:
    """An event of a contract: what stands in its topics, and what in its data."""

    name: str
    indexed: Values
    data: Values


@dataclass(frozen=True, slots=True)
class Contract:
    """Made by ``Connection.contract`` or ``Connection.attach``."""

    address: str  #: checksummed
    functions: Mapping[str, Function]
    events: Mapping[bytes, EventKind]  #: by first topic
    #: what was decoded before: whoever follows a contract reads its history again and again
    _decoded: dict[tuple[RawLog, int], Log] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def bind(cls, address: str, abi: Sequence[Mapping[str, Any]]) -> Contract:
        """Bind an interface to an address. No function of it may have two forms."""
        functions, events = {}, {}
        for entry in abi:
            if entry["type"] == "function":
                selector = bytes(function_abi_to_4byte_selector(entry))  # type: ignore[arg-type]
                arguments, returned = Values(entry["inputs"]), Values(entry["outputs"])
                functions[str(entry["name"])] = Function(selector, arguments, returned)
            elif entry["type"] == "event":
                topic = bytes(event_abi_to_log_topic(entry))  # type: ignore[arg-type]
                kinds = (
                    Values([each for each in entry["inputs"] if each["indexed"] is indexed])
                    for indexed in (True, False)
                )
                events[topic] = EventKind(str(entry["name"]), *kinds)
        return cls(checksummed(address), functions, events)

    def topics(self, names: Sequence[str] = ()) -> list[bytes]:
        """The first topics of the events of these names, or of all."""
        return [topic for topic, kind in self.events.items() if not names or kind.name in names]

    def encode(self, function: str, arguments: Sequence[Any] = ()) -> bytes:
        """The call data; raises whatever eth-abi says of arguments that the ABI does not take."""
        called = self.functions[function]
        return called.selector + called.arguments.write(arguments)

    def returned(self, function: str, data: bytes) -> Any:
        """What a call has returned: its value, or a list of several. Raises ReplyMalformed."""
        with believing(function):
            values = self.functions[function].returned.read(data)
        return values[0] if len(values) == 1 else values

    def decode(self, log: RawLog, timestamp: int) -> Log:
        """An event of this contract; raises ReplyMalformed for what is none."""
        if (log, timestamp) not in self._decoded:
            if len(self._decoded) == _MOST_KEPT:
                self._decoded.clear()
            self._decoded[log, timestamp] = self._decode(log, timestamp)
        return self._decoded[log, timestamp]

    def _decode(self, log: RawLog, timestamp: int) -> Log:
        kind = self.events.get(log.topics[0]) if log.topics else None
        if kind is None:
            raise ReplyMalformed(f"{self.address} logged an event that its interface lacks")
        with believing(kind.name):
            if len(log.topics) != 1 + len(kind.indexed.names):
                raise ValueError(f"{len(log.topics)} topics")
            arguments = dict(zip(kind.data.names, kind.data.read(log.data), strict=True))
            # a word each: no event of ours has indexed bytes, of which only a hash would be there
            indexed = kind.indexed.read(b"".join(log.topics[1:]))
            arguments |= zip(kind.indexed.names, indexed, strict=True)
        return Log(kind.name, arguments, log.transaction, log.block, log.log_index, timestamp)


def _reading(entry: Mapping[str, Any]) -> Callable[[Any], Any]:
    """What makes of a decoded value what callers see."""
    kind = str(entry["type"])
    if kind == "address":
        return with_capitals
    if kind.endswith("]"):
        one = _reading({**entry, "type": kind[: kind.rindex("[")]})
        return lambda values: [one(value) for value in values]
    if kind == "tuple":
        parts = [_reading(part) for part in entry["components"]]
        return lambda values: tuple(read(value) for read, value in zip(parts, values, strict=True))
    return _unchanged


def _unchanged(value: Any) -> Any:
    return value


@contextmanager
def believing(what: str) -> Iterator[None]:
    """Whatever the ABI decoder trips over in a reply is the reply's fault, and says so."""
    try:
        yield
    except LedgerError:
        raise
    except Exception as error:  # eth-abi raises nearly anything
        raise ReplyMalformed(f"{what}: what the node sent cannot be decoded ({error})") from error
