"""One run is spoilt and audited in many ways: what of its chain is as it was is executed once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bcfl.chain.embedded.chain import EmbeddedChain


@pytest.fixture(scope="module", autouse=True)
def replayed_once() -> Iterator[None]:
    """A journal with the same bytes gives the same chain, which takes no transactions."""
    replay, known = EmbeddedChain.replay, dict[bytes, EmbeddedChain]()

    def replayed(journal: Path) -> EmbeddedChain:
        try:
            digest = hashlib.sha256(journal.read_bytes()).digest()
        except OSError:
            return replay(journal)
        if digest not in known:
            known[digest] = replay(journal)
        return known[digest]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EmbeddedChain, "replay", replayed)
        yield
