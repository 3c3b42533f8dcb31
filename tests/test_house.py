"""The house: two towers on shared ground, imports downwards only, the protocols pure.

import-linter holds the arrows, by its contracts in ``pyproject.toml``; here they are tried out
on the package and on violations of every kind. What it cannot say (what the protocols may use,
what a file may be called) is a rule of our own below.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Where setuptools' package-dir finds each package.
PLACES = {
    "bcfl": ROOT / "bcfl",
    "bcfl.conf": ROOT / "conf",
    "bcfl.contracts": ROOT / "contracts",
    "bcfl.strategies": ROOT / "strategies",
}
PURE = ("bcfl.core", "bcfl.consensus.spec", "bcfl.market.spec")
#: Nothing that reads a clock, a file, a socket, the environment or a random number.
IMPURE = {
    "asyncio", "datetime", "getpass", "glob", "io", "locale", "logging", "multiprocessing", "os",
    "pathlib", "pickle", "random", "secrets", "select", "shutil", "signal", "socket", "subprocess",
    "tempfile", "threading", "time", "urllib", "uuid", "warnings",
}  # fmt: skip
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "compile", "__import__", "breakpoint"}
#: What an app of scikit-learn or NumPy models need not have to import.
HEAVY = ("torch", "torchvision", "hydra", "omegaconf", "ray", "sklearn")
LIGHT = (
    *PURE, "bcfl.files", "bcfl.contracts", "bcfl.keys", "bcfl.chain", "bcfl.store", "bcfl.flower",
    "bcfl.consensus", "bcfl.market.contract",
)  # fmt: skip
DRAWERS = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}


# --- What import-linter holds ----------------------------------------------------------------


def linted(tree: Path) -> tuple[int, str]:
    """import-linter's exit status and words about the package ``bcfl`` in ``tree``."""
    program = Path(sys.executable).with_name("lint-imports")
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-logo", "--no-cache", ROOT / "pyproject.toml"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_every_import_runs_downwards(tmp_path: Path) -> None:
    for package, folder in PLACES.items():
        shutil.copytree(folder, tmp_path / package.replace(".", "/"), dirs_exist_ok=True)
    status, words = linted(tmp_path)
    assert status == 0, words
    assert "Contracts: 5 kept, 0 broken" in words


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """The package with all its modules, and nothing in them."""
    for module in modules():
        at = tmp_path / module.name.replace(".", "/")
        path = at / "__init__.py" if module.is_package else at.with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


DOWNWARDS = "imports run downwards, and never between the towers"
CIRCLES = "no package imports itself by way of others"
CONSENSUS = "the protocol of peer consensus stands on core alone"
MARKET = "the protocol of the marketplace stands on core alone"
WEB3 = "only the way to the chain knows web3"


@pytest.mark.parametrize(
    ("culprit", "source", "rule"),
    [
        ("bcfl.core.x", "from bcfl import files", DOWNWARDS),
        ("bcfl.contracts.x", "import bcfl.files", DOWNWARDS),
        ("bcfl.keys.x", "def f():\n    import bcfl.chain.connection", DOWNWARDS),
        ("bcfl.chain.x", "from ..consensus.contract import ledger", DOWNWARDS),
        ("bcfl.chain.x", "import bcfl.store.local", DOWNWARDS),
        ("bcfl.consensus.member.x", "from bcfl.strategies import PeerConsensus", DOWNWARDS),
        ("bcfl.consensus.x", "from bcfl.market.spec import terms", DOWNWARDS),
        ("bcfl.market.x", "from bcfl.consensus.spec.rules import Rules", DOWNWARDS),
        ("bcfl.strategies.x", "import bcfl.experiment.run", DOWNWARDS),
        ("bcfl.cluster.x", "import bcfl.experiment.run", DOWNWARDS),
        ("bcfl.nowhere", "", DOWNWARDS),
        ("bcfl.consensus.spec.x", "from bcfl.keys.accounts import recover", CONSENSUS),
        ("bcfl.consensus.spec.x", "from bcfl.consensus.contract import ledger", CONSENSUS),
        ("bcfl.market.spec.x", "from bcfl.store import cid", MARKET),
        ("bcfl.market.spec.x", "from ..fusion import fusion", MARKET),
        ("bcfl.consensus.contract.x", "from web3 import Web3", WEB3),
        ("bcfl.cli.x", "def f():\n    import web3.auto", WEB3),
    ],
)
def test_whoever_imports_another_way_is_named(
    house: Path, culprit: str, source: str, rule: str
) -> None:
    (house / culprit.replace(".", "/")).with_suffix(".py").write_text(source)
    status, words = linted(house)
    assert status == 1
    assert f"{rule} BROKEN" in words
    assert culprit in words


def test_a_circle_between_packages_is_found(house: Path) -> None:
    assert linted(house)[0] == 0
    (house / "bcfl/market/fusion/x.py").write_text("import bcfl.market.judging.fitness")
    (house / "bcfl/market/judging/fitness.py").write_text("from bcfl.market.fusion import fusion")
    status, words = linted(house)
    assert status == 1
    assert f"{CIRCLES} BROKEN" in words
    assert ".judging -> .fusion" in words or ".fusion -> .judging" in words


# --- What it cannot say ----------------------------------------------------------------------


@dataclass(frozen=True)
class Module:
    """A module's dotted name and its source."""

    name: str
    source: str
    is_package: bool = False

    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    def lies_in(self, *packages: str) -> bool:
        return within(self.name, *packages)


@cache
def modules() -> tuple[Module, ...]:
    found = []
    for package, folder in PLACES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join([package, *parts]).removesuffix(".__init__")
            is_package = path.name == "__init__.py"
            found.append(Module(name, path.read_text(encoding="utf-8"), is_package))
    return tuple(found)


def imports(module: Module) -> Iterator[str]:
    """Every module that ``module`` imports, by full name."""
    package = module.name if module.is_package else module.name.rpartition(".")[0]
    for node in ast.walk(module.tree()):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                source = ".".join([*parents, *filter(None, [source])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def protocols_stand_on_numpy_and_core(module: Module) -> list[str]:
    own = next((package for package in PURE if module.lies_in(package)), None)
    if own is None:
        return []
    allowed = ("numpy", "bcfl.core", own, *sys.stdlib_module_names)
    return [f"{module.name} imports {x}" for x in imports(module) if not within(x, *allowed)]


def protocols_are_pure(module: Module) -> list[str]:
    if not module.lies_in(*PURE):
        return []
    found = [f"{module.name} imports {name}" for name in imports(module) if within(name, *IMPURE)]
    for node in ast.walk(module.tree()):
        if isinstance(node, ast.Global | ast.Nonlocal):
            found.append(f"{module.name}, line {node.lineno}: keeps state in {node.names}")
        if isinstance(node, ast.Call) and ast.unparse(node.func) in IMPURE_CALLS:
            found.append(f"{module.name}, line {node.lineno}: calls {ast.unparse(node.func)}")
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("np.random", "numpy.random"):
            found.append(f"{module.name}, line {node.lineno}: uses numpy.random")
    return found


def ground_and_consensus_are_light(module: Module) -> list[str]:
    if not module.lies_in(*LIGHT):
        return []
    return [f"{module.name} imports {name}" for name in imports(module) if within(name, *HEAVY)]


def nothing_is_a_drawer(module: Module) -> list[str]:
    return [f"{module.name} is named {x}" for x in DRAWERS & set(module.name.split("."))]


def conf_holds_no_code(module: Module) -> list[str]:
    if not module.lies_in("bcfl.conf"):
        return []
    return [f"{module.name} has code"] if len(module.tree().body) > 1 else []


#: Each with a module that breaks it.
RULES: list[tuple[Callable[[Module], list[str]], Module]] = [
    (protocols_stand_on_numpy_and_core, Module("bcfl.core.x", "import requests")),
    (protocols_stand_on_numpy_and_core, Module("bcfl.core.x", "from ..keys.signer import Signer")),
    (protocols_stand_on_numpy_and_core, Module("bcfl.core.x", "def f():\n    import scipy.stats")),
    (protocols_stand_on_numpy_and_core, Module("bcfl.consensus.spec.x", "import eth_abi")),
    (
        protocols_stand_on_numpy_and_core,
        Module("bcfl.consensus.spec.x", "from bcfl.consensus.contract import ledger"),
    ),
    (
        protocols_stand_on_numpy_and_core,
        Module("bcfl.market.spec.x", "from bcfl.consensus.spec.rules import Rules"),
    ),
    (protocols_are_pure, Module("bcfl.core.x", "import random")),
    (protocols_are_pure, Module("bcfl.core.x", "from time import time")),
    (protocols_are_pure, Module("bcfl.consensus.spec.x", "import os.path")),
    (protocols_are_pure, Module("bcfl.market.spec.x", "import logging")),
    (protocols_are_pure, Module("bcfl.core.x", "def f():\n    return open('x')")),
    (protocols_are_pure, Module("bcfl.consensus.spec.x", "rng = np.random.default_rng()")),
    (protocols_are_pure, Module("bcfl.market.spec.x", "def f():\n    global seen")),
    (ground_and_consensus_are_light, Module("bcfl.consensus.member.mod", "import torch.nn")),
    (ground_and_consensus_are_light, Module("bcfl.keys.x", "from hydra.utils import instantiate")),
    (ground_and_consensus_are_light, Module("bcfl.chain.x", "def f():\n    import ray")),
    (nothing_is_a_drawer, Module("bcfl.cli.utils", "")),
    (nothing_is_a_drawer, Module("bcfl.chain.common.x", "")),
    (conf_holds_no_code, Module("bcfl.conf", '"""Text."""\nx = 1')),
]


@pytest.mark.parametrize("rule", list(dict.fromkeys(rule for rule, _ in RULES)))
def test_every_module_keeps_to(rule: Callable[[Module], list[str]]) -> None:
    assert [complaint for module in modules() for complaint in rule(module)] == []


@pytest.mark.parametrize(("rule", "culprit"), RULES)
def test_whoever_breaks_it_is_named(rule: Callable[[Module], list[str]], culprit: Module) -> None:
    complaints = rule(culprit)
    assert complaints
    assert all(complaint.startswith(culprit.name) for complaint in complaints)


def test_the_modules_are_all_there() -> None:
    """A rule that looks at nothing complains of nothing."""
    names = {module.name for module in modules()}
    assert {*PURE, *LIGHT, "bcfl", "bcfl.conf", "bcfl.strategies.peer_consensus"} <= names
    assert any(
        within(name, "web3")
        for module in modules()
        if module.lies_in("bcfl.chain")
        for name in imports(module)
    )


def test_no_file_of_the_project_is_a_drawer() -> None:
    """Tests, notebooks and contracts included, which are no modules of the package."""
    folders = [*PLACES.values(), ROOT / "tests", ROOT / "notebooks"]
    files = [path.relative_to(ROOT) for folder in folders for path in folder.rglob("*.*")]
    assert Path("tests/test_house.py") in files
    assert [path for path in files if {path.stem, *path.parent.parts} & DRAWERS] == []
