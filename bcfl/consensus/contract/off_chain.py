"""What members are given of a round that is settled optimistically."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from bcfl.consensus.contract.bundle import Bundle
from bcfl.core.errors import ProtocolError
from bcfl.core.strict_json import parse_json


@dataclass(frozen=True, slots=True)
class OffChain:
    """All but its deltas."""

    expected: int  #: bit field: whom the coordinator waits for
    since: int  #: a block before all of it was settled, or came past the coordinator
    open: Bundle  #: what was signed in the round so far
    settled: Mapping[int, Bundle]  #: by round: all that was signed in those before

    def encode(self) -> bytes:
        """JSON."""
        values = {
            "expected": hex(self.expected),
            "since": self.since,
            "open": self.open.to_json(),
            "settled": {str(number): bundle.to_json() for number, bundle in self.settled.items()},
        }
        return json.dumps(values, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, text: bytes) -> OffChain:
        """Invert :meth:`encode`; raises ProtocolError for what is none."""
        try:
            values = parse_json(text)
            expected, since = int(values["expected"], 16), values["since"]
            if type(since) is not int or since < 0:
                raise ValueError(f"block {since!r:.20}")
            settled = {int(key): Bundle.from_json(row) for key, row in values["settled"].items()}
            return cls(expected, since, Bundle.from_json(values["open"]), settled)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ProtocolError(f"expected what was signed; found {error!r}") from error
