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
    open: Bundle  #: what was signed in the round so far
    settled: Bundle | None  #: all that was signed in the round before

    def encode(self) -> bytes:
        """JSON."""
        settled = None if self.settled is None else self.settled.to_json()
        values = {"expected": hex(self.expected), "open": self.open.to_json(), "settled": settled}
        return json.dumps(values, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, text: bytes) -> OffChain:
        """Invert :meth:`encode`; raises ProtocolError for what is none."""
        try:
            values = parse_json(text)
            settled = values["settled"]
            expected = int(values["expected"], 16)
            bundle = None if settled is None else Bundle.from_json(settled)
            return cls(expected, Bundle.from_json(values["open"]), bundle)
        except (ValueError, TypeError, KeyError) as error:
            raise ProtocolError(f"expected what was signed; found {error!r}") from error
