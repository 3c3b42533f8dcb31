"""Imports point inwards: core ← ports ← adapters ← apps and strategies.

Read from the sources with ``ast``, so that an import inside a function counts as well. Each
rule is a small function from sources to complaints, and is itself tried on a source that
breaks it.
"""

from __future__ import annotations

import ast
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
HEAVY = {"torch", "torchvision", "hydra", "omegaconf", "ray"}
#: Nothing that reads a clock, a file, a socket, the environment or a random number.
IMPURE = {
    "asyncio", "datetime", "getpass", "glob", "io", "locale", "logging", "multiprocessing", "os",
    "pathlib", "pickle", "random", "secrets", "select", "shutil", "signal", "socket", "subprocess",
    "tempfile", "threading", "time", "urllib", "uuid", "warnings",
}  # fmt: skip
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "compile", "__import__", "breakpoint"}
DRAWERS = ("utils", "util", "helpers", "helper", "common", "manager", "managers", "misc")


@dataclass(frozen=True)
class Module:
    """A module's dotted name and its source."""

    name: str
    source: str
    is_package: bool = False

    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    def lies_in(self, *packages: str) -> bool:
        return any(self.name == p or self.name.startswith(p + ".") for p in packages)


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


def imports(module: Module, names: frozenset[str] = frozenset()) -> Iterator[str]:
    """Every module that ``module`` imports, by full name; ``names`` are the modules there are."""
    package = module.name if module.is_package else module.name.rpartition(".")[0]
    for node in ast.walk(module.tree()):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                source = ".".join([*parents, *filter(None, [source])])
            for alias in node.names:
                full = f"{source}.{alias.name}"
                yield full if full in names else source


def outside(module: Module, allowed: Callable[[str], bool]) -> list[str]:
    return sorted(
        {f"{module.name} imports {name}" for name in imports(module) if not allowed(name)}
    )


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def is_standard(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names


def is_ours(name: str) -> bool:
    return within(name, "bcfl")


# --- The rules: each gives its complaints about one module -----------------------------------


def core_knows_only_itself_and_numpy(module: Module) -> list[str]:
    if not module.lies_in("bcfl.core"):
        return []
    return outside(module, lambda name: is_standard(name) or within(name, "numpy", "bcfl.core"))


def core_is_pure(module: Module) -> list[str]:
    if not module.lies_in("bcfl.core"):
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


def ports_know_only_the_core(module: Module) -> list[str]:
    if not module.lies_in("bcfl.consensus"):
        return []
    return outside(
        module,
        lambda name: is_standard(name) or within(name, "numpy", "bcfl.core", "bcfl.consensus"),
    )


def adapters_know_no_app(module: Module) -> list[str]:
    if not module.lies_in("bcfl.chain"):
        return []
    inner = ("bcfl.core", "bcfl.consensus", "bcfl.chain", "bcfl.contracts")
    return outside(module, lambda name: not is_ours(name) or within(name, *inner))


def contracts_know_only_the_core(module: Module) -> list[str]:
    if module.name != "bcfl.contracts":
        return []
    return outside(module, lambda name: is_standard(name) or within(name, "bcfl.core"))


def one_module_knows_web3(module: Module) -> list[str]:
    if module.name == "bcfl.chain.connection":
        return []
    return outside(module, lambda name: not within(name, "web3"))


def the_inner_rings_are_light(module: Module) -> list[str]:
    if not module.lies_in("bcfl.core", "bcfl.consensus", "bcfl.chain", "bcfl.contracts"):
        return []
    return outside(module, lambda name: not within(name, *HEAVY))


def nothing_is_a_drawer(module: Module) -> list[str]:
    drawers = set(module.name.split(".")) & set(DRAWERS)
    return [f"{module.name} is named {drawer}" for drawer in drawers]


def conf_holds_no_code(module: Module) -> list[str]:
    if not module.lies_in("bcfl.conf"):
        return []
    return [f"{module.name} has code"] if len(module.tree().body) > 1 else []


#: Each with a module that breaks it.
RULES: list[tuple[Callable[[Module], list[str]], Module]] = [
    (core_knows_only_itself_and_numpy, Module("bcfl.core.x", "import requests")),
    (core_knows_only_itself_and_numpy, Module("bcfl.core.x", "from bcfl.consensus import ledger")),
    (core_knows_only_itself_and_numpy, Module("bcfl.core.x", "from ..ports.ledger import Ledger")),
    (core_knows_only_itself_and_numpy, Module("bcfl.core.x", "def f():\n    import scipy.stats")),
    (core_is_pure, Module("bcfl.core.x", "import random")),
    (core_is_pure, Module("bcfl.core.x", "from time import time")),
    (core_is_pure, Module("bcfl.core.x", "import os.path")),
    (core_is_pure, Module("bcfl.core.x", "import logging")),
    (core_is_pure, Module("bcfl.core.x", "def f():\n    return open('x')")),
    (core_is_pure, Module("bcfl.core.x", "rng = np.random.default_rng()")),
    (core_is_pure, Module("bcfl.core.x", "def f():\n    global seen")),
    (ports_know_only_the_core, Module("bcfl.consensus.x", "import web3")),
    (ports_know_only_the_core, Module("bcfl.consensus.x", "from bcfl.chain import journal")),
    (adapters_know_no_app, Module("bcfl.chain.x", "from bcfl.consensus.server.task import Task")),
    (adapters_know_no_app, Module("bcfl.flower.x", "import bcfl.strategies")),
    (adapters_know_no_app, Module("bcfl.chain.x", "from bcfl import apps")),
    (contracts_know_only_the_core, Module("bcfl.contracts", "import vyper")),
    (one_module_knows_web3, Module("bcfl.consensus.contract.ledger", "from web3 import Web3")),
    (one_module_knows_web3, Module("bcfl.cli.x", "def f():\n    import web3.auto")),
    (the_inner_rings_are_light, Module("bcfl.consensus.member.mod", "import torch.nn")),
    (the_inner_rings_are_light, Module("bcfl.core.x", "from hydra.utils import instantiate")),
    (the_inner_rings_are_light, Module("bcfl.consensus.x", "import ray")),
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
    assert {
        "bcfl",
        "bcfl.core",
        "bcfl.consensus.spec.codec",
        "bcfl.consensus.contract.events",
        "bcfl.chain.connection",
        "bcfl.consensus.member.mod",
        "bcfl.consensus.server.task",
        "bcfl.contracts",
        "bcfl.strategies.peer_consensus",
    } <= names
    assert any("web3" in name for name in imports(find("bcfl.chain.connection")))


def find(name: str) -> Module:
    return next(module for module in modules() if module.name == name)


# --- Cycles ------------------------------------------------------------------------------


def graph(some: tuple[Module, ...]) -> dict[str, set[str]]:
    """Who imports whom, among ``some``."""
    names = frozenset(module.name for module in some)
    return {
        module.name: {name for name in imports(module, names) if name in names} - {module.name}
        for module in some
    }


def cycle_in(edges: dict[str, set[str]]) -> list[str]:
    """One cycle, or nothing: what is left after taking away all that imports nothing left."""
    left = dict(edges)
    while free := [name for name, targets in left.items() if not targets & left.keys()]:
        for name in free:
            del left[name]
    if not left:
        return []
    path = [min(left)]
    while path.count(path[-1]) == 1:
        path.append(min(left[path[-1]] & left.keys()))
    return path[path.index(path[-1]) :]


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert cycle_in(graph(modules())) == []


def test_a_cycle_is_found_and_shown() -> None:
    some = (
        Module("bcfl.a", "from bcfl.b import thing"),
        Module("bcfl.b", "from bcfl import c"),
        Module("bcfl.c", "def f():\n    import bcfl.a"),
        Module("bcfl.d", "import bcfl.a"),
        Module("bcfl", "", is_package=True),
    )
    assert cycle_in(graph(some)) == ["bcfl.a", "bcfl.b", "bcfl.c", "bcfl.a"]
    assert cycle_in(graph(some[:2] + some[3:])) == []


def test_relative_imports_are_resolved() -> None:
    names = frozenset({"bcfl.a.b", "bcfl.a.c", "bcfl.a", "bcfl.d"})
    inside = Module("bcfl.a.b", "from . import c\nfrom .c import thing\nfrom ..d import thing")
    assert list(imports(inside, names)) == ["bcfl.a.c", "bcfl.a.c", "bcfl.d"]
    package = Module("bcfl.a", "from .b import thing", is_package=True)
    assert list(imports(package, names)) == ["bcfl.a.b"]


# --- Names -------------------------------------------------------------------------------


def test_no_file_of_the_project_is_a_drawer() -> None:
    """Tests, notebooks and contracts included, which are no modules of the package."""
    folders = [*PLACES.values(), ROOT / "tests", ROOT / "notebooks"]
    files = [path.relative_to(ROOT) for folder in folders for path in folder.rglob("*.*")]
    assert Path("tests/test_rings.py") in files
    drawers = [path for path in files if {path.stem, *path.parent.parts} & set(DRAWERS)]
    assert drawers == []
