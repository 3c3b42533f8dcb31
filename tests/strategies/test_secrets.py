"""No key and no password that a run used is in its folder, its log or its output."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from bcfl.consensus.member.mod import peer_consensus_mod
from bcfl.flower.grid import InProcessGrid
from bcfl.keys.accounts import Account
from bcfl.strategies import PeerConsensus
from tests import toy

PASSWORD = "correct horse battery staple"
KEYS = [bytes([0x51 + i]) * 31 + b"\x07" for i in range(3)]


def forms(secret: bytes) -> list[bytes]:
    return [secret, secret.hex().encode(), secret.hex().upper().encode(), base64.b64encode(secret)]


def test_a_run_leaves_none_of_its_secrets_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("BCFL_KEY_PASSWORD", PASSWORD)
    grid = InProcessGrid(toy.client_app([peer_consensus_mod]), len(KEYS))
    for i, (key, context) in enumerate(zip(KEYS, grid.contexts.values(), strict=True)):
        path = tmp_path / f"key-{i}.json"
        Account(key).create_key_file(path, PASSWORD)
        context.node_config["bcfl-key-file"] = str(path)
    folder = tmp_path / "run"
    strategy = PeerConsensus(run_dir=folder, min_available_nodes=len(KEYS), ballots="sealed")
    strategy.start(grid, toy.initial_arrays(), num_rounds=1)
    members = {Account(key).address.lower()[2:].encode() for key in KEYS}
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert all(member in written.lower() for member in members), "the run used these accounts"
    said = "".join(capfd.readouterr()) + caplog.text
    for secret in (*KEYS, PASSWORD.encode()):
        for form in forms(secret):
            assert form not in written
            assert form.decode("latin-1") not in said
