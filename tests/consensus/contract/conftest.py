"""What tests of tasks that are settled optimistically share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bcfl.chain.embedded.chain import EmbeddedChain
from tests.consensus.contract.optimistic_task import Task


@pytest.fixture(scope="module")
def chain() -> Iterator[EmbeddedChain]:
    with EmbeddedChain() as chain:
        yield chain


@pytest.fixture
def task(chain: EmbeddedChain) -> Task:
    return Task(chain)
