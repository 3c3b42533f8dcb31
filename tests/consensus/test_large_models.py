"""What a round of a large model must not do twice, counted; and what its deltas take of memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bcfl.consensus import MemoryChain, round_cache
from bcfl.consensus.member.mod import peer_consensus_mod
from bcfl.consensus.spec import clipping, update
from bcfl.consensus.spec.codec import blob_size
from bcfl.consensus.spec.values import Values
from bcfl.flower.grid import InProcessGrid
from bcfl.strategies import PeerConsensus
from tests import toy
from tests.benchmark.rounds import sent_down
from tests.benchmark.steps import measure

CLIENTS = 4


def test_a_process_hashes_decodes_and_measures_a_delta_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: Counter[str] = Counter()

    def counted(act: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any) -> Any:
            counts[act.__name__] += 1
            return act(*arguments)

        return counting

    monkeypatch.setattr(round_cache, "digest_of", counted(round_cache.digest_of))
    monkeypatch.setattr(round_cache, "model_digest", counted(round_cache.model_digest))
    monkeypatch.setattr(update, "decode_delta", counted(update.decode_delta))
    monkeypatch.setattr(clipping, "_measured", counted(clipping._measured))
    grid = InProcessGrid(toy.client_app([peer_consensus_mod]), CLIENTS)
    strategy = PeerConsensus(
        run_dir=tmp_path,
        chain=MemoryChain(),
        min_available_nodes=CLIENTS,
        fraction_evaluate=0.0,
        server_learning_rate=0.97,  # rules that no other test has, whose rounds it could share
    )
    strategy.start(grid, toy.initial_arrays(), num_rounds=1)
    of_deltas = dict.fromkeys(("digest_of", "decode_delta", "_measured"), CLIENTS)
    # θ_g once more by the server, before the first round is open
    assert counts == of_deltas | {"model_digest": 2}


@pytest.mark.parametrize("values", ["float32", "int8"])
@pytest.mark.parametrize("gamma", [0.01, 1.0])
def test_deltas_take_less_than_four_models_of_memory(gamma: float, values: Values) -> None:
    _, member, receiver = measure(1_000_000, gamma, values)
    assert max(member, receiver) < 4


def test_with_stores_of_their_own_each_delta_is_fetched_once_a_node() -> None:
    record, fetched = sent_down(CLIENTS, shared=True)
    assert record.bytes_down == 2 * record.bytes_down_dense
    size = blob_size(100_000, 10_000, np.dtype("float32"))
    assert fetched == (CLIENTS - 1) * size
    plain, nothing = sent_down(CLIENTS, shared=False)
    assert plain.bytes_down == record.bytes_down + CLIENTS * CLIENTS * size
    assert nothing == 0
