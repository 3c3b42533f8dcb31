"""A review of many large deltas: no object of its message grows with their number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flwr.app import ArrayRecord, Message, MessageType, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.task_identity import TaskIdentity

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.parcels import Parcels
from bcfl.consensus.records import MOST_BLOB_BYTES, ReviewOrder
from bcfl.consensus.server.task import begin_task
from bcfl.consensus.spec.rules import Rules
from bcfl.consensus.task_folder import TaskFolder
from bcfl.core.errors import ConfigurationError
from bcfl.store.local import LocalStore

SIZE = 200_000


def order(blobs: list[bytes]) -> ReviewOrder:
    count = len(blobs)
    contract, number = "0x" + "11" * 20, "0x" + "22" * 32
    return ReviewOrder(
        "http://127.0.0.1:8545", contract, 1, "{}", 0, False, list(range(count)),
        [number] * count, blobs,
    )  # fmt: skip


@pytest.mark.parametrize("members", [0, 1, 2, 30])
def test_each_delta_travels_apart_and_all_arrive_in_their_order(members: int) -> None:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 0
    sent = order([bytes([member]) * SIZE for member in range(members)])
    content = RecordDict({"arrays": ArrayRecord([np.zeros(3)]), **sent.to_records()})
    message = Message(content, 1, MessageType.EVALUATE)
    sizes = [len(each.deflate()) for each in get_all_nested_objects(message).values()]
    assert max(sizes) < SIZE + 20_000
    assert ReviewOrder.read(content) == sent


def test_deltas_that_no_message_can_carry_are_refused_before_anything_is_deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 2**31 * 0.99 < MOST_BLOB_BYTES < 2**31
    monkeypatch.setattr("bcfl.consensus.server.task.MOST_BLOB_BYTES", 1000)
    arrays = {"w": np.zeros(10_000, np.float32)}
    with EmbeddedChain(tmp_path / "chain.jsonl") as chain:
        with pytest.raises(ConfigurationError, match=r"gamma: expected deltas of at most 1,000"):
            begin_task(
                chain,
                Parcels(LocalStore(tmp_path / "blobs")),
                TaskFolder(tmp_path),
                Rules(gamma=0.5),
                0,
                ["0x" + "11" * 20, "0x" + "22" * 20],
                arrays,
            )
        assert chain.connect().block_number() == 0
