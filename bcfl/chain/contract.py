"""A contract's interface bound to its address: calls out, events in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from eth_utils.abi import event_abi_to_log_topic
from hexbytes import HexBytes

from bcfl.chain.log_history import RawLog
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


@dataclass(frozen=True, slots=True)
class Contract:
    """Made by ``Connection.contract`` or ``Connection.attach``."""

    address: str  #: checksummed
    web3: Any  #: web3's view of it, which knows the ABI
    events: Mapping[bytes, str]  #: name by first topic
    #: what was decoded before: whoever follows a contract reads its history again and again
    _decoded: dict[tuple[RawLog, int], Log] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def bind(cls, web3: Any, address: str, abi: Sequence[Mapping[str, Any]]) -> Contract:
        """Bind an interface to an address; ``web3`` is a Web3 instance."""
        topics = {
            bytes(event_abi_to_log_topic(entry)): str(entry["name"])  # type: ignore[arg-type]
            for entry in abi
            if entry["type"] == "event"
        }
        at = checksummed(address)
        return cls(at, web3.eth.contract(address=at, abi=abi), topics)

    def topics(self, names: Sequence[str] = ()) -> list[bytes]:
        """The first topics of the events of these names, or of all."""
        return [topic for topic, name in self.events.items() if not names or name in names]

    def encode(self, function: str, arguments: Sequence[Any]) -> bytes:
        """The call data; raises whatever web3 says of arguments that the ABI does not take."""
        return bytes(HexBytes(self.web3.encode_abi(function, args=arguments)))

    def decode(self, log: RawLog, timestamp: int) -> Log:
        """An event of this contract; raises ReplyMalformed for what is none."""
        if (log, timestamp) not in self._decoded:
            if len(self._decoded) == _MOST_KEPT:
                self._decoded.clear()
            self._decoded[log, timestamp] = self._decode(log, timestamp)
        return self._decoded[log, timestamp]

    def _decode(self, log: RawLog, timestamp: int) -> Log:
        name = self.events.get(log.topics[0]) if log.topics else None
        if name is None:
            raise ReplyMalformed(f"{self.address} logged an event that its interface lacks")
        with believing(name):
            arguments = self.web3.events[name]().process_log(_as_web3(log))["args"]
        return Log(name, dict(arguments), log.transaction, log.block, log.log_index, timestamp)


@contextmanager
def believing(what: str) -> Iterator[None]:
    """Whatever the ABI decoder trips over in a reply is the reply's fault, and says so."""
    try:
        yield
    except LedgerError:
        raise
    except Exception as error:  # web3 and eth-abi raise nearly anything
        raise ReplyMalformed(f"{what}: what the node sent cannot be decoded ({error})") from error


def _as_web3(log: RawLog) -> dict[str, Any]:
    return {
        "address": log.address,
        "topics": [HexBytes(topic) for topic in log.topics],
        "data": HexBytes(log.data),
        "transactionHash": HexBytes(log.transaction),
        "blockNumber": log.block,
        "logIndex": log.log_index,
        # web3 copies these two along; nobody here reads them
        "blockHash": HexBytes(32 * b"\0"),
        "transactionIndex": 0,
    }
