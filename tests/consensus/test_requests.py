"""What a round asks of nodes, counted at their HTTP endpoints."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.chain.json_rpc import SERVED_HERE
from tests.chain.lying_node import RawServer, http
from tests.chain.weather import WeatheredChain
from tests.recovery.graded import MEMBERS, ROUNDS, play

#: A member's, in a round: look, date the commitment; look.
MOST_OF_A_MEMBER = 3
#: However many members there are: five transactions, and what stands before and after each.
MOST_OF_THE_SERVER = 95
#: Which contract is there, on which chain.
ONCE = 3


class Counted:
    """One chain's node, at a URL of each reader's own."""

    def __init__(self, chain: EmbeddedChain, *, batches: bool = True) -> None:
        self.chain = chain
        self.batches = batches
        self.requests: Counter[str] = Counter()  # HTTP requests, by reader
        self.calls: Counter[tuple[str, str]] = Counter()  # by reader and method
        self._servers: dict[str, RawServer] = {}

    def url(self, reader: str) -> str:
        if reader not in self._servers:
            self._servers[reader] = RawServer(lambda body: self._answer(reader, body))
        return self._servers[reader].url

    def close(self) -> None:
        for server in self._servers.values():
            server.__exit__()

    def _answer(self, reader: str, body: bytes) -> bytes:
        asked = json.loads(body)
        self.requests[reader] += 1
        for each in asked if isinstance(asked, list) else [asked]:
            self.calls[reader, each["method"]] += 1
        if isinstance(asked, list) and not self.batches:
            return http(b"", "501 Not Implemented")
        return http(SERVED_HERE[self.chain.url](body))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Counted]:
    counted = Counted(EmbeddedChain(tmp_path / "chain.jsonl"))
    yield counted
    counted.close()


@pytest.mark.parametrize("batches", [True, False])
def test_a_round_asks_for_little(tmp_path: Path, node: Counted, batches: bool) -> None:
    """A node that takes no batches is asked one by one, and all goes on as before."""
    node.batches = batches
    places = [{"bcfl-rpc-url": node.url(f"member {i}")} for i in range(MEMBERS)]
    records = play(tmp_path, WeatheredChain(node.chain, node), places)
    assert [len(record.voted) for record in records] == [MEMBERS] * ROUNDS
    for member in range(MEMBERS):
        if batches:
            most = ROUNDS * MOST_OF_A_MEMBER + ONCE
            assert node.requests[f"member {member}"] <= most, node.calls
        assert node.calls[f"member {member}", "eth_getCode"] == 1, "it has looked who is there"
    if batches:
        assert node.requests["server"] <= ROUNDS * MOST_OF_THE_SERVER + ONCE, node.calls
