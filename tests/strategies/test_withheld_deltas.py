"""A server that shows reviewers only the deltas it likes gets no round, and is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bcfl.consensus.member.mod import peer_consensus_mod
from bcfl.consensus.server.conversation import Conversation
from bcfl.consensus.spec.record import RoundRecord
from bcfl.core.errors import RoundVoid
from bcfl.flower.grid import InProcessGrid
from bcfl.strategies import PeerConsensus
from tests import toy

LIKED = {0, 3, 4}


@pytest.mark.parametrize("lie", ["hidden", "garbage"])
def test_the_round_is_void_and_who_was_withheld_from_whom_is_on_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", logger="flwr")  # whatever a run before has made of it
    real = Conversation.review

    def review(self: Conversation, order: Any, *rest: Any) -> Any:
        if lie == "garbage":
            blobs = [
                b if m in LIKED else b"garbage"
                for m, b in zip(order.members, order.blobs, strict=True)
            ]
            return real(self, replace(order, blobs=blobs), *rest)
        kept = [at for at, member in enumerate(order.members) if member in LIKED]
        columns = {
            name: [getattr(order, name)[at] for at in kept]
            for name in ("members", "transactions", "blobs")
        }
        return real(self, replace(order, **columns), *rest)

    monkeypatch.setattr(Conversation, "review", review)
    records: list[RoundRecord] = []
    strategy = PeerConsensus(
        run_dir=tmp_path, on_round=records.append, min_available_nodes=5, max_attempts=1
    )
    grid = InProcessGrid(toy.client_app([peer_consensus_mod]), 5)
    with pytest.raises(RoundVoid):
        strategy.start(grid, toy.initial_arrays(), num_rounds=1)
    (record,) = records
    assert record.void
    assert record.committed == (0, 1, 2, 3, 4)
    # each of the two withheld misses one only, and may vote; but two of five are no round
    assert record.voted == (1, 2)
    assert record.abstained == {0: (1, 2), 3: (1, 2), 4: (1, 2)}
    assert record.left_out[0] == "its ballot does not count: it has seen nothing of [1, 2]"
    assert "member 3 left out: its ballot does not count" in caplog.text
