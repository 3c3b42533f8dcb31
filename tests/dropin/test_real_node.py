"""The same app, mod and strategy against a real Ethereum node, members paying for themselves."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from bcfl import PeerConsensus, peer_consensus_mod
from bcfl.chain.anvil import AnvilChain
from bcfl.chain.anvil_program import default_cache, find_anvil
from bcfl.consensus.spec.record import RoundRecord
from bcfl.core.errors import LedgerError, NobodyLeft
from bcfl.flower.grid import InProcessGrid
from tests import toy

CLIENTS = 3


class Hasty(AnvilChain):
    """Lets anvil's clock jump instead of waiting."""

    def wait_until(self, timestamp: int) -> None:
        with self.connect() as connection:
            if connection.now() <= timestamp:
                connection.request("evm_setNextBlockTimestamp", timestamp + 1)
                connection.request("evm_mine")


@pytest.fixture
def chain(tmp_path: Path) -> AnvilChain:
    """A node that the strategy starts and stops; its state stays."""
    if shutil.which("npm") is None:
        try:
            find_anvil(default_cache())
        except LedgerError as error:
            pytest.skip(str(error))
    return Hasty(tmp_path / "anvil.json", seed=5)


def play(tmp_path: Path, chain: AnvilChain, **options: Any) -> list[RoundRecord]:
    records: list[RoundRecord] = []
    strategy = PeerConsensus(
        run_dir=tmp_path / "run",
        chain=chain,
        on_round=records.append,
        seed=5,
        transactions="direct",
        max_attempts=1,
        min_available_nodes=CLIENTS,
        **options,
    )
    grid = InProcessGrid(toy.client_app([peer_consensus_mod]), CLIENTS)
    strategy.start(grid, toy.initial_arrays(), num_rounds=1)
    return records


def test_each_member_sends_and_pays_for_its_own_transactions(
    tmp_path: Path, chain: AnvilChain
) -> None:
    (record,) = play(tmp_path, chain, allowance_wei=10**17, quorum=3)
    assert record.committed == record.voted == (0, 1, 2)
    assert len(set(record.transactions["commit"])) == CLIENTS
    with chain, chain.connect() as connection:
        for transaction in record.transactions["commit"]:
            sender = connection.request("eth_getTransactionByHash", transaction)["from"]
            assert sender.lower() != chain.coordinator.address.lower()


def test_a_member_without_ether_is_told_so(tmp_path: Path, chain: AnvilChain) -> None:
    with pytest.raises(NobodyLeft, match=r"cannot pay|ether|wei"):
        play(tmp_path, chain)  # nobody commits in time
