"""A chain that takes blocks back, at any moment, gets what it lost once more."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from bcfl.audit.command import HOLDS, audit_command
from bcfl.chain.anvil import AnvilChain
from bcfl.chain.anvil_program import default_cache, find_anvil
from bcfl.chain.connection import Connection
from bcfl.consensus import MemoryChain
from bcfl.consensus.contract.events import Selected
from bcfl.consensus.server.coordinator import Coordinator
from bcfl.consensus.server.round import Round
from bcfl.consensus.spec.record import RoundRecord
from bcfl.core.errors import BcflError, ContractReverted, LedgerError, ProtocolError
from bcfl.keys.signer import Wallet
from tests.chain.lying_node import RawServer, http
from tests.recovery.graded import MEMBERS, ROUNDS, expect_untied, play

FUZZ = bool(os.environ.get("BCFL_FUZZ"))
POINTS = 30 if FUZZ else 1
PATIENCE_S = 3.0
ATTEMPTS = 3


class ShakenChain(AnvilChain):
    """anvil behind a proxy that has it take blocks back before the ``at``-th request."""

    def __init__(self, at: int = 0, way: str = "anvil_reorg", depth: int = 1) -> None:
        super().__init__()
        self.requests = 0
        self.shaken = False
        self._at, self._way, self._depth = at, way, depth
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Content-Type"] = "application/json"
        self._proxy = RawServer(self._forward)

    @property
    def url(self) -> str:
        return self._proxy.url

    def connect(self, signer: Wallet | None = None, **options: Any) -> Connection:
        return super().connect(signer, **({"retry_s": PATIENCE_S} | options))

    def wait_until(self, timestamp: int) -> None:
        """As on a chain of virtual time: a challenge window is long."""
        self._ask("evm_setNextBlockTimestamp", timestamp + 1)
        self._ask("evm_mine")

    def _ask(self, method: str, *parameters: Any) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        return json.loads(self._post(json.dumps(request).encode()))

    def _post(self, body: bytes) -> bytes:
        return self._session.post(f"http://127.0.0.1:{self._port}", data=body, timeout=30).content

    def _forward(self, body: bytes) -> bytes | None:
        try:
            self.requests += 1
            if self.requests >= self._at > 0 and not self.shaken:
                depth = min(self._depth, int(self._ask("eth_blockNumber")["result"], 16))
                if depth:
                    new_blocks = [[]] if self._way == "anvil_reorg" else []
                    said = self._ask(self._way, depth, *new_blocks)
                    assert "error" not in said, said
                    self.shaken = True
            return http(self._post(body))
        except requests.RequestException:
            return None

    def close(self) -> None:
        self._proxy.__exit__()
        self._session.close()


@contextmanager
def shaken(*how: Any) -> Iterator[ShakenChain]:
    try:
        find_anvil(default_cache())
    except LedgerError as error:
        pytest.skip(str(error))
    chain = ShakenChain(*how)
    try:
        with chain:  # held by more than one run: a chain without a state is gone with its node
            chain.start, chain.stop = (lambda: None), (lambda: None)  # type: ignore[method-assign]
            yield chain
    finally:
        AnvilChain.stop(chain)
        chain.close()


@pytest.fixture(scope="module", params=["full", "optimistic"] if FUZZ else ["full"])
def settlement(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, settlement: str) -> tuple[list[str], int]:
    """The models of the undisturbed run, and how many requests it takes."""
    with shaken() as chain:
        folder = tmp_path_factory.mktemp("calm")
        models = expect_untied(play(folder, chain, settlement=settlement))
        return models, chain.requests


CASES = random.Random(3)


@pytest.mark.parametrize(
    ("share", "way", "depth"),
    [
        (CASES.random(), CASES.choice(("anvil_reorg", "anvil_rollback")), CASES.randint(1, 3))
        for _ in range(POINTS)
    ],
)
def test_what_a_reorganisation_took_back_is_made_good(
    tmp_path: Path,
    calm: tuple[list[str], int],
    settlement: str,
    share: float,
    way: str,
    depth: int,
) -> None:
    models, requests_made = calm
    # not among the very last: how many there are differs by a few from run to run
    at = min(10 + round(share * (requests_made - 10)), requests_made - 10)
    with shaken(at, way, depth) as chain:
        stopped: list[BcflError] = []
        records: list[RoundRecord] = []
        for _ in range(ATTEMPTS):
            try:
                nodes = [{"bcfl-patience-s": PATIENCE_S}] * MEMBERS
                records = play(tmp_path, chain, nodes, settlement=settlement)
                break
            except (LedgerError, ProtocolError) as error:
                stopped.append(error)
        closed = [record for record in records if not record.void]
        void = [record.left_out for record in records if record.void]
        print(f"{share:.2f} {way} {depth}: stopped {stopped}, void {void}")
        assert chain.shaken
        assert [record.model for record in closed] == models, stopped
        assert len(closed) == ROUNDS
        assert audit_command(tmp_path, chain.url) == HOLDS


def test_a_choice_that_is_taken_back_before_it_is_used_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MemoryChain() as chain:
        models = expect_untied(play(tmp_path / "calm", chain))
    events, taken = Coordinator.events, []

    def without_the_first(self: Coordinator, kind: Any) -> Any:
        found = events(self, kind)
        if kind is Selected and not taken:
            taken.extend(found)
            return []
        return found

    monkeypatch.setattr(Coordinator, "events", without_the_first)
    with MemoryChain() as chain:
        records = play(tmp_path / "shaken", chain)
    assert len(taken) == 1
    assert [record.model for record in records] == models


class Hurried:
    """A ledger whose contract chooses once time has passed."""

    def __init__(self, reason: str) -> None:
        self.reason, self.waited = reason, [0]

    def now(self) -> int:
        return 7

    def wait_until(self, timestamp: int) -> None:
        self.waited.append(timestamp)

    def select(self) -> None:
        if self.waited == [0]:
            raise ContractReverted(self.reason, "select")


def test_a_choice_waits_for_a_block() -> None:
    """All may be mined in one block again, after which no other comes by itself."""
    round_ = Round.__new__(Round)
    round_._ledger = ledger = Hurried("consensus: wait for a block")  # type: ignore[assignment]
    round_._choose()
    assert ledger.waited == [0, 7]
    round_._ledger = ledger = Hurried("consensus: not in this phase")  # type: ignore[assignment]
    with pytest.raises(ContractReverted, match="phase"):
        round_._choose()
    assert ledger.waited == [0]
