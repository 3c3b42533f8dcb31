"""Two verifiers, in processes of their own with threads of their own, find the same to the bit."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import torch

from bcfl.experiment.datasets.digits import load_digits
from bcfl.market.fusion.fused_model import FusedModel, outputs_for_task
from bcfl.market.fusion.settings import FusionSettings
from bcfl.market.judging.fitness import FitnessRules, judge
from bcfl.market.spec.model_blob import decode_model_blob, encode_model_blob
from bcfl.market.verification_set import VerificationSet


def find(blobs: list[bytes]) -> str:
    """What a verifier finds out about the last of three published models."""
    images = load_digits(1 / 3)
    verification = VerificationSet(images.test_images, images.test_labels, 10, seed=3)
    models = [decode_model_blob(blob, bytes(20)) for blob in blobs]
    lines = []
    for strategy in ("I", "II"):
        rules = FitnessRules(fusion=FusionSettings(strategy, steps=20))
        accepted = FusedModel()
        for model in models[:2]:
            outputs = outputs_for_task(model, verification)
            accepted = accepted.join(model, outputs, verification, rules.fusion)
        fitness = judge(models[2], accepted, verification, rules)
        logits = fitness.fused.logits(verification.samples).tobytes()
        digest = hashlib.sha256(logits).hexdigest()
        lines.append(f"{strategy} {fitness.report} {fitness.likeness.hex()} {digest}\n")
    return "".join(lines)


def test_another_process_with_other_threads_finds_the_same_to_the_bit(market, tmp_path: Path):
    blobs = [encode_model_blob(model, bytes(20)) for model in market.models[:3]]
    paths = [tmp_path / str(index) for index in range(3)]
    for path, blob in zip(paths, blobs, strict=True):
        path.write_bytes(blob)
    threads = torch.get_num_threads() + 2
    elsewhere = subprocess.run(
        [sys.executable, __file__, str(threads), *map(str, paths)],
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    assert elsewhere == find(blobs)
    assert elsewhere.count("Reason.MEASURED") == 2


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    torch.manual_seed(7)
    sys.stdout.write(find([Path(name).read_bytes() for name in sys.argv[2:]]))
