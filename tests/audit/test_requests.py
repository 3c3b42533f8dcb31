"""What an audit asks of a node: little, however long the chain was there before the task."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bcfl.audit.audit import audit_run
from bcfl.chain.embedded.chain import EmbeddedChain
from tests.audit.by_hand import Task
from tests.chain.far_along import FarAlong

ROUNDS = 20
BEFORE = 21_000_000


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, EmbeddedChain]]:
    """A folder with twenty rounds, and the chain that they were on."""
    path = tmp_path_factory.mktemp("twenty")
    with EmbeddedChain(path / "chain.jsonl") as chain:
        task = Task(chain, path, members=2)
        for _ in range(ROUNDS):
            task.play(range(2))
        yield path, chain


@pytest.fixture
def folder(twenty: tuple[Path, EmbeddedChain]) -> Path:
    return twenty[0]


@pytest.fixture
def node(twenty: tuple[Path, EmbeddedChain]) -> Iterator[FarAlong]:
    far = FarAlong(twenty[1], BEFORE, limit=10_000)
    yield far
    far.close()


@pytest.mark.parametrize("deployed_at", [0, BEFORE + 1])
def test_twenty_rounds_on_a_long_chain_take_at_most_a_hundred_requests(
    folder: Path, node: FarAlong, deployed_at: int
) -> None:
    """Whether the folder says in which block the contract began, or that is to be found."""
    fields = json.loads((folder / "task.json").read_text())
    (folder / "task.json").write_text(json.dumps({**fields, "deployed_at": deployed_at}))
    audit = audit_run(folder, node.url)
    assert audit.holds, audit.findings
    assert len(audit.recomputed) == ROUNDS
    assert node.requests <= 100, (node.requests, node.calls)
    print(node.requests, dict(node.calls))


@pytest.mark.parametrize("named", [1, BEFORE + 40])
def test_a_wrong_block_in_the_folder_hides_nothing(
    folder: Path, node: FarAlong, named: int
) -> None:
    fields = json.loads((folder / "task.json").read_text())
    (folder / "task.json").write_text(json.dumps({**fields, "deployed_at": named}))
    audit = audit_run(folder, node.url)
    assert audit.holds
    assert len(audit.rounds) == ROUNDS
