"""What members are given of a round that is settled optimistically."""

from __future__ import annotations

import json
from dataclasses import dataclass

from bcfl.consensus.contract.bundle import Bundle
from bcfl.core.errors import ProtocolError
from bcfl.core.strict_json import parse_json


@dataclass(frozen=True, slots=True)
class OffChain:
    """All but its deltas."""

    expected: int  #: bit field: whom the coordinator waits for
    since: int  #: the block in which the round before was settled, or the contract deployed
    open: Bundle  #: what was signed in the round so far
    settled: Bundle | None  #: all that was signed in the round before

    def encode(self) -> bytes:
        """JSON."""
        settled = None if self.settled is None else self.settled.to_json()
        values = {
            "expected": hex(self.expected),
            "since": self.since,
            "open": self.open.to_json(),
            "settled": settled,
        }
        return json.dumps(values, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, text: bytes) -> OffChain:
        """Invert :meth:`encode`; raises ProtocolError for what is none."""
        try:
            values = parse_json(text)
            settled = values["settled"]
            expected, since = int(values["expected"], 16), values["since"]
            if type(since) is not int or since < 0:
                raise ValueError(f"block {since!r:.20}")
            bundle = None if settled is None else Bundle.from_json(settled)
            return cls(expected, since, Bundle.from_json(values["open"]), bundle)
        except (ValueError, TypeError, KeyError) as error:
            raise ProtocolError(f"expected what was signed; found {error!r}") from error
