"""Change the contracts in one place at a time, and see whether a test notices.

``python -m tests.contracts.mutation [--sample N] [--seed S] [--minutes M] [MODULE ...]`` flips a
comparison, swaps ``+`` and ``-``, ``&`` and ``|``, ``<<`` and ``>>``, ``and`` and ``or``, or
drops an assert, compiles the contract again, and runs the contract's tests until the first that
fails; those that killed most before come first. What no test fails on has survived, and is
listed with its line. Every answer is kept in ``--results`` (a JSON file, by default
``build/mutants.json``): called again, it goes on where it stopped. A mutant whose bytecode is that
of the original counts for nothing.

Each mutant has a process of its own, forked from one that has imported what tests need.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import random
import re
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import boa
import pytest
from hypothesis import Phase, settings
from vyper.compiler import compile_from_file_input
from vyper.compiler.input_bundle import FilesystemInputBundle
from vyper.compiler.settings import OptimizationLevel, Settings
from vyper.exceptions import VyperException

from bcfl import contracts
from bcfl.contracts import build

ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Suite:
    """A contract, what it is made of, and its tests."""

    contract: str
    modules: tuple[str, ...]
    prefix: str  #: of the names of its tests
    tests: tuple[str, ...]  #: fast ones first: most mutants end there
    first: dict[str, str]  #: whose tests come before, where a module has some of its own

    def of(self, module: str) -> list[str]:
        """All tests, the module's own before the others."""
        own = self.first.get(module, self.tests[0])
        ordered = sorted(self.tests, key=lambda test: test != own)
        return [f"tests/contracts/{self.prefix}{test}.py" for test in ordered]

    def load(self) -> None:
        """Import the tests; but for those that read the sources."""
        for test in self.tests:
            name = f"{self.prefix}{test}"
            if "HERE" not in (ROOT / "tests" / "contracts" / f"{name}.py").read_text("utf-8"):
                import_module(f"tests.contracts.{name}")


PEERS: Final = Suite(
    "PeerConsensus",
    (
        *("borda", "lanes", "membership", "peer_ballots", "peer_commitments", "peer_members"),
        *("peer_outcome", "peer_round", "peer_terms", "pull_payments", "refusals", "selection"),
        *("typed_data", "PeerConsensus"),
    ),
    "test_peer_consensus",
    (
        *("_rounds", "_ballots", "_members", "_terms", "_seals", "_equivocation", "_signatures"),
        *("_permissions", "_batches", "_scoring", "_machine"),
    ),
    {
        "borda": "_scoring",
        "lanes": "_scoring",
        "membership": "_members",
        "peer_ballots": "_ballots",
        "peer_commitments": "_batches",
        "peer_members": "_members",
        "peer_terms": "_terms",
        "pull_payments": "_members",
        "refusals": "_ballots",
        "selection": "_scoring",
        "typed_data": "_signatures",
    },
)
COALITION: Final = Suite(
    "PeerCoalition",
    (
        *("coalition", "proposal_ballots", "proposal_outcome", "proposal_round", "proposals"),
        "PeerCoalition",
    ),
    "test_proposals",
    ("_rounds", "_decisions", "_machine"),
    {"coalition": "_decisions"},
)
REFEREE: Final = Suite(
    "PeerReferee",
    ("ranking", "referee", "PeerReferee"),
    "test_proposals",
    ("_decisions", "_rounds", "_machine"),
    {},
)
SETTLEMENT: Final = Suite(
    "PeerSettlement",
    (
        *("settlement_challenges", "settlement_court", "settlement_rounds", "settlement_terms"),
        "PeerSettlement",
    ),
    "test_settlement",
    ("", "_machine"),
    {},
)
MARKET: Final = Suite(
    "ModelMarketplace",
    (
        *("market_accounts", "market_keys", "market_panel", "market_reports"),
        *("market_submissions", "market_tasks", "market_terms", "market_verdict"),
        *("market_verifiers", "ModelMarketplace"),
    ),
    "test_model_marketplace",
    ("", "_calls", "_vanishing", "_terms", "_accounts", "_draw", "_adversaries", "_money"),
    {
        "market_accounts": "_accounts",
        "market_panel": "_draw",
        "market_terms": "_terms",
        "market_verdict": "_vanishing",
        "market_verifiers": "_draw",
    },
)
ALL: Final = (PEERS, COALITION, REFEREE, SETTLEMENT, MARKET)
SUITES: Final = {module: suite for suite in ALL for module in suite.modules}
#: What is written instead of what; the first that fits at a place is taken.
SWAPS: Final = {
    "<=": "<",
    ">=": ">",
    "==": "!=",
    "!=": "==",
    "<<": ">>",
    ">>": "<<",
    "<": "<=",
    ">": ">=",
    "+": "-",
    "-": "+",
    "&": "|",
    "|": "&",
    "and": "or",
    "or": "and",
    "unsafe_add": "unsafe_sub",
    "unsafe_sub": "unsafe_add",
}
_TOKEN: Final = re.compile(
    r"(?<![=<>!|&+\-*/^])(<=|>=|==|!=|<<|>>|(?<!-)<|(?<!-)>|\+|-|&|\|)(?![=<>])"
    r"|\b(and|or|unsafe_add|unsafe_sub)\b"
)
_MOST_CPU_S: Final = 600


class Plugin:
    """Of pytest's: the tests that killed before come first, and the first failure is enough."""

    def __init__(self, killers: Counter[str]) -> None:
        self._killers = killers
        self.failed = ""  #: what failed first, and in what time

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Most kills first; else as they stand."""
        items.sort(key=lambda item: -self._killers[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the name of what failed."""
        if report.failed and not self.failed:
            self.failed = f"{report.nodeid} in {report.duration:.1f} s"


@dataclass(frozen=True)
class Mutant:
    """One change: the characters from ``start`` to ``end`` become ``text``."""

    module: str
    line: int
    start: int
    end: int
    text: str
    words: str  #: what was done

    @property
    def name(self) -> str:
        """The same for the same change of the same source."""
        return f"{self.module}:{self.line}:{self.start}:{self.words}"


def mutants_of(module: str, source: str) -> Iterator[Mutant]:
    """Every change of one source; comments, documentation and strings are left as they are."""
    code = _code_only(source)
    for match in _TOKEN.finditer(code):
        found = match.group()
        line = code.count("\n", 0, match.start()) + 1
        yield Mutant(module, line, *match.span(), SWAPS[found], f"{found} to {SWAPS[found]}")
    for match in re.finditer(r"^( *)assert\b", code, re.MULTILINE):
        end = _end_of_statement(code, match.start())
        line = code.count("\n", 0, match.start()) + 1
        yield Mutant(module, line, match.start(), end, match.group(1) + "pass", "assert dropped")


def _code_only(source: str) -> str:
    """The source with everything that is not code blanked out, character for character."""
    prose = re.compile(r'"""[\s\S]*?"""|"[^"\n]*"|#[^\n]*')
    return prose.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), source)


def _end_of_statement(code: str, start: int) -> int:
    depth, at = 0, start
    while at < len(code) and (depth or code[at] != "\n"):
        depth += (code[at] in "([") - (code[at] in ")]")
        at += 1
    return at


def bytecode(sources: Path, suite: Suite) -> str:
    """The contract in that folder, compiled; the tests find it there, or in this process."""
    if suite is MARKET:
        world = import_module("tests.contracts.market_world")
        world.CONTRACTS = sources
        world.deployer.cache_clear()
        return bytes(world.deployer().compiler_data.bytecode).hex()
    bundle = FilesystemInputBundle([sources])
    code = compile_from_file_input(  # as ``build.compiled``, and half of it
        bundle.load_file(Path(f"{suite.contract}.vy")),
        input_bundle=bundle,
        settings=Settings(evm_version=build.EVM_VERSION, optimize=OptimizationLevel.GAS),
        output_formats=("bytecode",),
        no_bytecode_metadata=True,
    )["bytecode"]
    artifact = json.loads((build.HERE / f"{suite.contract}.json").read_text(encoding="utf-8"))
    text = json.dumps({**artifact, "bytecode": code})
    for other in build.HERE.glob("*.json"):  # tests may be of several contracts
        (sources / other.name).write_bytes(other.read_bytes())
    (sources / f"{suite.contract}.json").write_text(text, encoding="utf-8")
    contracts.resources = SimpleNamespace(files=lambda _: sources)  # type: ignore[assignment]
    build.HERE = sources
    return str(code)


def outcome(mutant: Mutant, original: str, killers: Counter[str]) -> str:
    """``killed by`` a test, ``survived``, ``same`` bytecode, or it does ``not compile``.

    For a process of its own, which is of no use afterwards.
    """
    suite = SUITES[mutant.module]
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder)
        for path in build.HERE.glob("*.vy"):
            (sources / path.name).write_bytes(path.read_bytes())
        target = sources / f"{mutant.module}.vy"
        text = target.read_text(encoding="utf-8")
        target.write_text(text[: mutant.start] + mutant.text + text[mutant.end :], "utf-8")
        try:
            if bytecode(sources, suite) == original:
                return "same"
        except (VyperException, ValueError):
            return "not compile"
        plugin = Plugin(killers)
        options = ["-q", "-x", "--assert=plain", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
        options.append("--timeout=0")  # there is a limit of its own
        status = pytest.main([*options, *suite.of(mutant.module)], plugins=[plugin])
        if status == pytest.ExitCode.OK:
            return "survived"
        if plugin.failed:
            return f"killed by {plugin.failed}"
        raise SystemExit(f"pytest: {status!r}")


def forked(mutant: Mutant, original: str, killers: Counter[str]) -> str:
    """:func:`outcome`, in a process of its own."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        resource.setrlimit(resource.RLIMIT_CPU, (_MOST_CPU_S, _MOST_CPU_S))
        try:
            said = outcome(mutant, original, killers)
        except BaseException:  # noqa: BLE001 - whatever it is, the parent is to say so
            said = traceback.format_exc()
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if status != 0 and not said:
        return f"killed by signal {os.WTERMSIG(status)}"  # it found no end
    if said.startswith("Traceback"):
        raise SystemExit(said)
    return said


def main(arguments: list[str] | None = None) -> int:
    """Try the mutants that have no answer yet; the exit status is 1 if too many survive."""
    parser = argparse.ArgumentParser(prog="python -m tests.contracts.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", default=list(SUITES), help="of these sources only")
    parser.add_argument("--sample", type=int, help="so many at random instead of all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--least", type=float, default=0.95, help="share that must be killed")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so many")
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "mutants.json")
    options = parser.parse_args(arguments)
    chosen = [
        mutant
        for module in options.modules
        for mutant in mutants_of(module, (build.HERE / f"{module}.vy").read_text(encoding="utf-8"))
    ]
    if options.sample is not None:
        chosen = random.Random(options.seed).sample(chosen, min(options.sample, len(chosen)))
    answers: dict[str, str] = {}
    if options.results.exists():
        answers = json.loads(options.results.read_text(encoding="utf-8"))
    options.results.parent.mkdir(parents=True, exist_ok=True)
    boa.interpret.disable_cache()
    killers = Counter(map(_quick_killer, answers.values()))
    originals: dict[str, str] = {}
    _load_tests()
    gc.freeze()
    until = time.monotonic() + 60 * options.minutes
    for number, mutant in enumerate(chosen, 1):
        if mutant.name not in answers:
            if time.monotonic() > until:
                return _report(chosen[: number - 1], answers, options.least)
            suite = SUITES[mutant.module]
            if suite.contract not in originals:
                originals[suite.contract] = _original(suite)
            answers[mutant.name] = said = forked(mutant, originals[suite.contract], killers)
            killers[_quick_killer(said)] += 1
            options.results.write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")
        print(f"{number}/{len(chosen)} {mutant.name}: {answers[mutant.name]}", flush=True)
    return _report(chosen, answers, options.least)


def _load_tests() -> None:
    """Import them, so that no mutant has to: such as look for no smallest example that fails."""
    import_module("tests.conftest")
    stages = (Phase.explicit, Phase.generate)
    settings.register_profile("mutants", parent=settings.get_profile("suite"), phases=stages)
    settings.load_profile("mutants")
    for suite in ALL:
        suite.load()


def _quick_killer(answer: str) -> str:
    """The test that killed, where it took no time to speak of; else nothing."""
    found = re.fullmatch(r"killed by (.*) in 0\.\d s", answer)
    return found.group(1) if found else ""


def _original(suite: Suite) -> str:
    """What the contract itself compiles to, as a mutant does."""
    if suite is MARKET:
        return bytecode(build.HERE, suite)
    written = (build.HERE / f"{suite.contract}.json").read_text(encoding="utf-8")
    return str(json.loads(written)["bytecode"])


def _report(chosen: list[Mutant], answers: dict[str, str], least: float) -> int:
    counted = [m for m in chosen if answers[m.name].startswith(("killed", "survived"))]
    survivors = [mutant for mutant in counted if answers[mutant.name] == "survived"]
    for mutant in survivors:
        lines = (build.HERE / f"{mutant.module}.vy").read_text(encoding="utf-8").splitlines()
        print(f"{mutant.module}.vy:{mutant.line}: {mutant.words}: {lines[mutant.line - 1].strip()}")
    killed = len(counted) - len(survivors)
    share = killed / len(counted) if counted else 1.0
    print(f"{killed} of {len(counted)} killed ({share:.1%}); {len(chosen)} tried")
    return int(share < least)


if __name__ == "__main__":
    sys.exit(main())
