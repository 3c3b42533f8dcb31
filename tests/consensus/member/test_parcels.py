"""Deltas that travel from member to member by IPFS, and only their locators by Flower."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from flwr.app import Context, Message

from bcfl.consensus.member import task as members_task
from bcfl.consensus.member.mod import peer_consensus_mod
from bcfl.consensus.parcels import IPFS_URL
from bcfl.consensus.records import RECORD_KEY, ReviewOrder, TrainReply, order_in
from bcfl.consensus.spec.record import RoundRecord
from bcfl.flower.grid import InProcessGrid
from bcfl.store.cid import UNIXFS_V1_2025, Layout
from bcfl.store.ipfs import IpfsStore
from bcfl.strategies import PeerConsensus
from tests import toy
from tests.store.test_ipfs import Blocks, Node

CLIENTS = 3
SMALL_CHUNKS = replace(UNIXFS_V1_2025, chunk_bytes=64)  # so that a delta has several blocks


@contextmanager
def network(nodes: int) -> Iterator[list[Node]]:
    """So many Kubo nodes that find each other's blocks."""
    shared = Blocks()
    with ExitStack() as stack:
        found = [stack.enter_context(Node()) for _ in range(nodes)]
        for node in found:
            node.blocks = shared
            thread = Thread(target=node.serve_forever, args=(0.01,))
            thread.start()
            stack.callback(thread.join, 10)
            stack.callback(node.shutdown)
            stack.callback(node.released.set)
        yield found


class WatchedGrid(InProcessGrid):
    """Keeps what was asked for in reviews, and what was answered to training."""

    def __init__(self, app: Any, nodes: list[Node | None]) -> None:
        super().__init__(app, CLIENTS)
        self.reviews: dict[int, ReviewOrder] = {}
        self.trained: dict[int, TrainReply] = {}
        for context, node in zip(self.contexts.values(), nodes, strict=True):
            if node is not None:
                context.node_config[IPFS_URL] = node.url

    def deliver(self, message: Message, context: Context) -> Message | None:
        partition = int(context.node_config["partition-id"])
        order = order_in(message.content)
        if isinstance(order, ReviewOrder):
            self.reviews[partition] = order
        reply = super().deliver(message, context)
        if reply is not None and not reply.has_error():
            record = reply.content.config_records.get(RECORD_KEY)
            if record is not None and record["kind"] == TrainReply.kind:
                self.trained[partition] = TrainReply.read(reply.content)
        return reply


def play(
    tmp_path: Path, grid: InProcessGrid, server: Any, layout: Layout, **options: Any
) -> RoundRecord:
    records: list[RoundRecord] = []
    strategy = PeerConsensus(
        run_dir=tmp_path,
        store=server,
        on_round=records.append,
        gamma=1,
        max_attempts=1,
        min_available_nodes=CLIENTS,
        fraction_evaluate=0.0,
        **options,
    )
    strategy.start(grid, toy.initial_arrays(), num_rounds=1)
    return records[0]


@pytest.mark.parametrize("layout", [UNIXFS_V1_2025, SMALL_CHUNKS], ids=["one block", "many"])
def test_members_publish_and_fetch_deltas_by_themselves(
    tmp_path: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members_task, "_store_at", lambda url: IpfsStore(url, layout=layout))
    with network(CLIENTS + 1) as (own, *theirs):
        grid = WatchedGrid(toy.client_app([peer_consensus_mod]), list(theirs))
        record = play(tmp_path, grid, IpfsStore(own.url, layout=layout), layout)
        assert record.committed == record.voted == (0, 1, 2)
        assert not record.rejected
        for trained in grid.trained.values():
            assert trained.blob == b""
            assert bool(trained.locator) == (layout is SMALL_CHUNKS)
        for review in grid.reviews.values():
            assert review.blobs == []
            assert len(review.locators) == CLIENTS
        for node in theirs:
            assert {"add", "cat"} <= {command for command, _ in node.asked}
        # θ_g to train and to review with; no delta.
        assert record.bytes_down == 2 * record.bytes_down_dense
    assert not list(tmp_path.glob("blobs/*/*"))


def test_who_has_no_store_is_handed_the_deltas(tmp_path: Path) -> None:
    with network(3) as (own, *theirs):
        grid = WatchedGrid(toy.client_app([peer_consensus_mod]), [*theirs, None])
        record = play(tmp_path, grid, IpfsStore(own.url), UNIXFS_V1_2025)
    assert record.committed == record.voted == (0, 1, 2)
    assert [bool(grid.trained[partition].blob) for partition in range(3)] == [False, False, True]
    assert [len(grid.reviews[partition].blobs) for partition in range(3)] == [0, 0, 3]


def test_a_store_of_the_clients_alone_changes_nothing(tmp_path: Path) -> None:
    with network(CLIENTS) as theirs:
        grid = WatchedGrid(toy.client_app([peer_consensus_mod]), list(theirs))
        record = play(tmp_path, grid, None, UNIXFS_V1_2025)
        assert record.committed == record.voted == (0, 1, 2)
        assert all(len(review.blobs) == CLIENTS for review in grid.reviews.values())
        assert not any(node.asked for node in theirs)


def test_who_commits_to_what_nobody_can_fetch_is_left_out(tmp_path: Path) -> None:
    def keeps_it(message: Message, context: Context, call_next: Any) -> Message:
        reply = call_next(message, context)
        record = reply.content.config_records.get(RECORD_KEY, {})
        if record.get("kind") == TrainReply.kind and context.node_config["partition-id"] == 2:
            reply.content[RECORD_KEY].pop("blob")
        return reply

    with network(3) as (own, *theirs):
        app = toy.client_app([keeps_it, peer_consensus_mod])
        grid = WatchedGrid(app, [*theirs, None])
        record = play(tmp_path, grid, IpfsStore(own.url, budget_s=2.0), UNIXFS_V1_2025)
    assert record.committed == (0, 1)
    assert "found none of" in record.left_out[2]


def test_what_a_reviewers_node_spoils_is_rejected_by_that_reviewer(tmp_path: Path) -> None:
    with network(CLIENTS + 1) as (own, *theirs):
        spoilt = theirs[0]

        def lie(conversation: Any) -> None:
            if "cat" in conversation.path:
                conversation.server.released.set()
                conversation.text(200, "not the blob that was asked for")
            else:
                conversation.behave()

        spoilt.every_time = lie
        grid = WatchedGrid(toy.client_app([peer_consensus_mod]), list(theirs))
        record = play(tmp_path, grid, IpfsStore(own.url), UNIXFS_V1_2025)
    assert set(record.rejected) == {0}
    assert all("expected bytes that hash to" in reason for reason in record.rejected[0].values())
    assert set(record.ballots[1]) == {0, 2}


def test_what_members_only_may_read_lies_sealed_on_everybodys_node(tmp_path: Path) -> None:
    with network(3) as (own, *theirs):
        plain = WatchedGrid(toy.client_app([peer_consensus_mod]), [None] * CLIENTS)
        model = play(tmp_path / "plain", plain, None, UNIXFS_V1_2025).model
        secrets = [reply.blob for reply in plain.trained.values()]
        grid = WatchedGrid(toy.client_app([peer_consensus_mod]), [*theirs, None])
        record = play(tmp_path / "run", grid, IpfsStore(own.url), UNIXFS_V1_2025, encrypt=True)
        assert record.committed == record.voted == (0, 1, 2)
        assert not record.rejected
        assert record.model == model
        assert [bool(reply.blob) for _, reply in sorted(grid.trained.items())] == [
            False,
            False,
            True,
        ]
        assert [len(review.blobs) for _, review in sorted(grid.reviews.items())] == [0, 0, 3]
        travelled = [*own.blocks.by_cid.values(), *grid.reviews[2].blobs, grid.trained[2].blob]
    assert len(travelled) >= 1 + 5 + 3 + 1, "a model; two deltas twice, one once; what was sent"
    for secret in secrets:
        assert not any(secret[-40:] in block for block in travelled)
