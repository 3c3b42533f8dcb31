"""What every test shares: seeds that hold, and few Hypothesis examples unless fuzzing.

``make fuzz`` runs the same tests with the profile ``fuzz``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
import pytest
from eth_keyfile import keyfile
from filelock import FileLock
from hypothesis import HealthCheck, settings

settings.register_profile(
    "suite",
    derandomize=True,
    deadline=None,
    max_examples=25,
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile(
    "fuzz", parent=settings.get_profile("suite"), derandomize=False, max_examples=1000
)
settings.load_profile("fuzz" if os.environ.get("BCFL_FUZZ") else "suite")

#: What deriving the key of a key file costs whoever guesses at its password.
full_work_factor = keyfile.get_default_work_factor_for_kdf


@pytest.fixture(scope="session", autouse=True)
def light_key_files() -> Iterator[None]:
    """Key files that are written here open in milliseconds, by whatever reads them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyfile, "get_default_work_factor_for_kdf", lambda kdf: 2**10)
        yield


@pytest.fixture(scope="module")
def fused_once() -> Iterator[None]:
    """The fusion that every verifier of a panel computes is computed once.

    That all of them find the same, to the bit, is held by tests/market/fusion and judging.
    """
    import torch

    from bcfl.market.fusion import descent, fusion

    descend: Callable[..., object] = fusion.descend
    known: dict[str, object] = {}

    def as_numpy(value: object) -> object:
        if isinstance(value, descent.Parameters):
            return [each.numpy() for each in value.tensors()]
        return value.numpy() if isinstance(value, torch.Tensor) else value

    def remembered(*arguments: object) -> object:
        key = joblib.hash([as_numpy(each) for each in arguments])
        return known[key] if key in known else known.setdefault(key, descend(*arguments))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fusion, "descend", remembered)
        yield


@pytest.fixture(scope="session")
def together(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder of all of the suite's processes: what one of them has made, none makes again."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def sold_task(together: Path) -> Path:
    """The folder of a market's task that was played to its end. Copy it before you spoil it."""
    from tests.strategies.sold_market import play

    sold = together / "sold" / "run"
    with FileLock(together / "sold.lock"):
        return sold if (sold / "result.json").exists() else play(sold)


def pytest_configure(config: pytest.Config) -> None:
    """Models are trained on the CPU, whatever machine it is: many tests compare their bits."""
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: begun last, they would leave the other worker idle."""
    long = ("tests/cluster/", "tests/strategies/", "tests/market/roles/", "tests/recovery/")
    items.sort(key=lambda item: [not item.nodeid.startswith(folder) for folder in long])
