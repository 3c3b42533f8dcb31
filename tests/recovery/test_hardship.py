"""Three of ten clients die at random and the node restarts twice: the run ends, and audits."""

from __future__ import annotations

import random
from pathlib import Path

from flwr.app import Context, Message

from bcfl.audit.command import HOLDS, audit_command
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.member.mod import peer_consensus_mod
from bcfl.consensus.spec.record import RoundRecord
from bcfl.flower.grid import InProcessGrid
from bcfl.strategies import PeerConsensus
from tests import toy

CLIENTS, MORTALS, ROUNDS = 10, (1, 4, 7), 4
RESTARTS = [(2, "review"), (3, "commit")]


class DeadlyGrid(InProcessGrid):
    """Each mortal client dies for good at a random one of its messages."""

    def __init__(self) -> None:
        super().__init__(toy.client_app([peer_consensus_mod]), CLIENTS)
        dice = random.Random(5)
        self._left = {partition: dice.randint(2, 9) for partition in MORTALS}

    def deliver(self, message: Message, context: Context) -> Message | None:
        partition = int(context.node_config["partition-id"])
        if partition in self._left:
            self._left[partition] -= 1
            if self._left[partition] < 0:
                return None
        return super().deliver(message, context)


def test_the_run_ends_and_every_round_holds(tmp_path: Path) -> None:
    chain = EmbeddedChain(tmp_path / "chain.jsonl")
    restarted: list[tuple[int, str]] = []

    def restart(number: int, phase: str) -> None:
        if (number, phase) in RESTARTS and (number, phase) not in restarted:
            restarted.append((number, phase))
            chain.stop()
            chain.start()

    records: list[RoundRecord] = []
    strategy = PeerConsensus(
        run_dir=tmp_path,
        chain=chain,
        on_phase=restart,
        on_round=records.append,
        min_available_nodes=CLIENTS,
    )
    strategy.start(DeadlyGrid(), toy.initial_arrays(), num_rounds=ROUNDS)
    assert restarted == RESTARTS
    assert [record.void for record in records] == [False] * ROUNDS
    assert set(records[-1].committed) == set(range(CLIENTS)) - set(MORTALS)
    assert audit_command(tmp_path) == HOLDS
