"""The public names: which there are, that no others are used, and that having them is free."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
#: What keeps its name and its place. Whoever takes one away breaks somebody's program.
PUBLIC = {
    "bcfl": {
        "ModelFusion", "PeerConsensus", "PeerConsensusMod", "Rules", "load_fused", "market_app",
        "peer_consensus_mod",
    },
    "bcfl.chain": {"AnvilChain", "EmbeddedChain", "RpcChain"},
    "bcfl.consensus": {
        "Ballot", "Borda", "Commitment", "Heading", "Ledger", "MemoryChain", "SignedBallot",
        "SignedCommitment",
        "ballot_message", "commitment_message", "decode_delta", "difference", "digest_of",
        "encode_delta", "seen_by_most", "select_winners", "tally", "to_value",
        "top_gamma",
    },
    "bcfl.experiment": {
        "Alie", "Attack", "Backdoor", "Bandit", "CenteredClipping", "CentralScenario",
        "ConsensusScenario", "DirichletPartitioner", "FangKrum", "FangTrimmedMean", "FreeRider",
        "Gaussian", "GeometricMedian", "IidPartitioner", "Images", "Ipm", "KeptRun", "LabelFlip",
        "MarketScenario", "Mimic", "MinMax", "MinSum", "ModelReplacement", "NnmTrimmedMean",
        "NoAttack", "Plagiarist", "PoisonedFl", "PoisonedReference", "ReferenceFitting",
        "Scenario", "ShardPartitioner", "SignFlip", "Sleeper", "Stale", "SupportStuffing",
        "load_cifar10", "load_digits", "load_mnist", "load_mnist_test",
    },
    "bcfl.flower": {"InProcessGrid"},
    "bcfl.keys": {"Account", "derive_account"},
    "bcfl.losses": {"bounded_loss", "class_balanced"},
    "bcfl.market": {"FitnessRules", "VerificationSet"},
    "bcfl.store": {"IpfsStore", "LocalStore"},
    "bcfl.trackers": {
        "MlflowTracker", "TensorboardTracker", "Tracker", "TrackioTracker", "WandbTracker",
    },
    "bcfl.strategies": {"Centralised", "ModelFusion", "PeerConsensus"},
}  # fmt: skip
#: Packages whose ``__all__`` is public too: what goes wrong.
OPEN_ENDED = ("bcfl.core.errors",)
#: Each would cost seconds, or is not there where bcfl is a part of somebody's app.
HEAVY = ("torch", "ray", "web3", "flwr", "sklearn", "numpy", "hydra")

_FROM = re.compile(r"^\s*from (bcfl[\w.]*) import (\([^)]*\)|[^\n]+)", re.MULTILINE)


def public_names() -> set[str]:
    names = {f"{package}.{name}" for package, some in PUBLIC.items() for name in some}
    for package in OPEN_ENDED:
        module = importlib.import_module(package)
        names |= {f"{package}.{name}" for name in getattr(module, "__all__", ())}
    return names


@pytest.mark.parametrize("package", PUBLIC)
def test_what_is_public_is_there(package: str) -> None:
    module = importlib.import_module(package)
    assert set(module.__all__) == PUBLIC[package] <= set(dir(module))
    for name in PUBLIC[package]:
        assert getattr(module, name) is not None


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(ImportError, match="peer_consensus"):
        exec("from bcfl import peer_consensus")


def imported_in(source: str) -> Iterator[str]:
    """Full names of what a program imports of bcfl."""
    for package, names in _FROM.findall(source):
        for name in re.findall(r"\w+(?: as \w+)?", names.split("#")[0]):
            yield f"{package}.{name.split()[0]}"


def guides() -> Iterator[str]:
    for path in (ROOT / "README.md", *sorted((ROOT / "notebooks").glob("*.md"))):
        text = path.read_text(encoding="utf-8")
        yield from imported_in(text)
        for name in re.findall(r"\bbcfl(?:\.\w+)+", text):
            if not (ROOT / name.replace(".", "/")).with_suffix(".py").exists():
                yield name


def notebooks() -> Iterator[str]:
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                yield from imported_in("".join(cell["source"]))


def targets(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (str(x) for key, x in value.items() if key == "_target_")
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from targets(each)


def configuration() -> Iterator[str]:
    for path in sorted((ROOT / "conf").rglob("*.yaml")):
        found = targets(yaml.safe_load(path.read_text(encoding="utf-8")))
        yield from (name for name in found if name.startswith("bcfl"))


#: Packages and programs that a page may name without importing anything from them.
PAGES = {"bcfl.cluster", "bcfl.conf", "bcfl.contracts", "bcfl.strategies"}


@pytest.mark.parametrize(
    ("source", "least"),
    [(guides, 9), (notebooks, 18), (configuration, 12)],
    ids=["README and guides", "notebooks", "configuration"],
)
def test_only_public_names_are_used(source: object, least: int) -> None:
    assert callable(source)
    used = set(source())
    assert len(used) >= least
    assert used - public_names() - PUBLIC.keys() - PAGES == set()


def test_whoever_uses_another_name_is_named() -> None:
    text = "from bcfl.consensus.spec import (\n    rules,\n)\nfrom bcfl import Rules, x as y  # z\n"
    strange = {"bcfl.consensus.spec.rules", "bcfl.x"}
    assert set(imported_in(text)) - public_names() == strange
    assert list(targets({"a": [{"_target_": "bcfl.x.Y", "b": {"_target_": "z"}}]})) == [
        "bcfl.x.Y",
        "z",
    ]


def test_importing_bcfl_loads_nothing_heavy() -> None:
    code = (
        "import time; start = time.process_time(); import bcfl; took = time.process_time() - start;"
        f"import sys; print(took, *(name for name in {HEAVY} if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    took, *heavy = done.stdout.split()
    assert heavy == []
    assert float(took) < 0.3
