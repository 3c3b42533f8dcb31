"""Flower's own mods, inside and outside ours."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import LocalDpMod, arrays_size_mod, fixedclipping_mod, message_size_mod

from bcfl import PeerConsensus, peer_consensus_mod
from bcfl.consensus.contract.memory import MemoryChain
from bcfl.consensus.spec.codec import blob_size
from bcfl.consensus.spec.record import RoundRecord
from bcfl.core.errors import NobodyLeft
from bcfl.flower.grid import InProcessGrid
from tests import toy

CLIENTS = 3
ENTRIES = toy.FEATURES * toy.CLASSES + toy.CLASSES
NORM = 0.01
#: Much less than a step of the toy's training: what is longer was not clipped.
LOCAL_DP = LocalDpMod(clipping_norm=NORM, sensitivity=0.0, epsilon=1.0, delta=1e-5)


def app_with(mods: list[Any], train_mods: list[Any]) -> ClientApp:
    """The toy's app; ``train_mods`` go around its train alone, as ``@app.train(mods=…)``."""
    inner = toy.client_app()
    app = ClientApp(mods=mods)

    @app.train(mods=train_mods)
    def train(message: Message, context: Context) -> Message:
        return inner(message, context)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return inner(message, context)

    return app


def play(
    folder: Path, app: ClientApp, train_config: dict[str, Any] | None = None, **options: Any
) -> list[RoundRecord]:
    records: list[RoundRecord] = []
    strategy = PeerConsensus(
        run_dir=folder, chain=MemoryChain(), on_round=records.append, gamma=1, **options
    )
    strategy.start(
        InProcessGrid(app, CLIENTS),
        toy.initial_arrays(),
        num_rounds=1,
        train_config=ConfigRecord(train_config or {}),
    )
    return records


def committed_norms(folder: Path) -> list[float]:
    """Of the deltas in the store; with γ = 1 their values are the blob's last bytes."""
    size = blob_size(ENTRIES, ENTRIES, np.dtype(np.float32))
    blobs = [path.read_bytes() for path in (folder / "blobs").rglob("*") if path.is_file()]
    return [
        float(np.linalg.norm(np.frombuffer(blob[-4 * ENTRIES :], "<f4")))
        for blob in blobs
        if len(blob) == size
    ]


def test_without_another_mod_the_updates_are_longer_than_the_norm(tmp_path: Path) -> None:
    play(tmp_path, app_with([peer_consensus_mod], []))
    assert min(committed_norms(tmp_path)) > 10 * NORM


def test_flowers_clipping_after_ours_clips_what_is_committed(tmp_path: Path) -> None:
    app = app_with([peer_consensus_mod], [fixedclipping_mod])
    # What DifferentialPrivacyClientSideFixedClipping sends with every message to train.
    (record,) = play(tmp_path, app, {"clipping_norm": NORM})
    assert record.committed == record.voted == (0, 1, 2)
    assert committed_norms(tmp_path) == pytest.approx([NORM] * CLIENTS, rel=1e-4)


def test_local_differential_privacy_after_ours_works_on_what_is_committed(tmp_path: Path) -> None:
    (record,) = play(tmp_path, app_with([peer_consensus_mod], [LOCAL_DP]))
    assert record.committed == record.voted == (0, 1, 2)
    assert committed_norms(tmp_path) == pytest.approx([NORM] * CLIENTS, rel=1e-4)


def test_local_differential_privacys_noise_is_committed_too(tmp_path: Path) -> None:
    noisy = LocalDpMod(clipping_norm=NORM, sensitivity=0.1, epsilon=1.0, delta=1e-5)
    (record,) = play(tmp_path, app_with([peer_consensus_mod], [noisy]))
    assert record.committed == (0, 1, 2)
    assert min(committed_norms(tmp_path)) > 2 * NORM


@pytest.mark.parametrize(
    ("outer", "reason"),
    [
        (fixedclipping_mod, "expects exactly one"),
        # Flower's LocalDpMod answers its own reply, so that its complaint goes astray.
        (LOCAL_DP, "no reply in time"),
    ],
)
def test_what_needs_the_arrays_finds_none_before_ours(
    tmp_path: Path, outer: Any, reason: str
) -> None:
    def training_only(message: Message, context: Context, call_next: Any) -> Message:
        training = message.metadata.message_type == "train"
        return outer(message, context, call_next) if training else call_next(message, context)

    app = app_with([training_only, peer_consensus_mod], [])
    with pytest.raises(NobodyLeft, match=reason):
        play(tmp_path, app, {"clipping_norm": NORM}, max_attempts=1)


@pytest.mark.parametrize("mod", [arrays_size_mod, message_size_mod])
def test_flowers_size_mods_before_ours_see_what_travels(
    tmp_path: Path, mod: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "flwr"):
        (record,) = play(tmp_path, app_with([mod, peer_consensus_mod], []))
    assert record.committed == record.voted == (0, 1, 2)
    assert any("sent: 0 bytes" in r.message or "Outgoing" in r.message for r in caplog.records)
