"""``bcfl run store.encrypt=true``, as its user meets it: run, go on, audit."""

from __future__ import annotations

from pathlib import Path

import pytest

from bcfl.audit import audit_command
from bcfl.experiment.resume import resume_run
from tests.consensus.member.test_parcels import network
from tests.experiment.test_run import digests, play


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return digests(play(tmp_path_factory.mktemp("plain") / "run", "chain=memory"))


def test_a_sealed_run_comes_to_the_same_models_and_can_be_gone_on_with(
    tmp_path: Path, plain: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert digests(play(tmp_path, "store.encrypt=true")) == plain
    assert all(f.read_bytes().startswith(b"bcfs\x01") for f in tmp_path.glob("blobs/*/*"))
    config = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(config.replace("rounds: 2", "rounds: 3"))
    assert resume_run(tmp_path) == 0
    assert audit_command(tmp_path) == 0
    assert "HOLDS: 3 rounds, 3 of 3 global models" in capsys.readouterr().out


def test_what_is_on_ipfs_is_sealed_as_well(tmp_path: Path, plain: list[str]) -> None:
    with network(1) as (node,):
        url = f"store=ipfs store.url={node.url} store.encrypt=true"
        assert digests(play(tmp_path, url)) == plain
        assert len(node.blocks.by_cid) == 9, "one model, and four deltas in each of two rounds"
        assert all(block.startswith(b"bcfs\x01") for block in node.blocks.by_cid.values())
        assert audit_command(tmp_path, ipfs_url=node.url) == 0
