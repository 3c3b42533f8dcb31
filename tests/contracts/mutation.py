"""Change the contracts in one place at a time, and see whether a test notices.

``python -m tests.contracts.mutation [--sample N] [--seed S] [--minutes M] [MODULE ...]`` flips a
comparison, swaps ``+`` and ``-``, ``&`` and ``|``, ``<<`` and ``>>``, ``and`` and ``or``, or
drops an assert, compiles the contract again, and runs the tests of the contract until the first
that fails. What no test fails on has survived, and is listed with its line. Every answer is kept
in ``--results`` (a JSON file, by default ``build/mutants.json``): called again, it goes on where
it stopped. A mutant whose bytecode is that of the original counts for nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Final

from hypothesis import Phase, settings
from vyper.exceptions import VyperException

from bcfl import contracts
from bcfl.contracts import build

ROOT: Final = Path(__file__).resolve().parents[2]
CONTRACT: Final = "PeerConsensus"
#: Of the modules that it is made of; the market has others.
MODULES: Final = (
    "borda",
    "lanes",
    "membership",
    "peer_ballots",
    "peer_commitments",
    "peer_members",
    "peer_outcome",
    "peer_round",
    "peer_terms",
    "pull_payments",
    "refusals",
    "selection",
    "typed_data",
    "PeerConsensus",
)
#: Fast ones first: most mutants end there.
TESTS: Final = tuple(
    f"tests/contracts/test_peer_consensus_{name}.py"
    for name in (
        "rounds",
        "ballots",
        "members",
        "terms",
        "seals",
        "equivocation",
        "signatures",
        "permissions",
        "scoring",
        "machine",
    )
)
#: Whose tests come first where a module has some of its own.
FIRST: Final = {
    "borda": "scoring",
    "lanes": "scoring",
    "membership": "members",
    "peer_ballots": "ballots",
    "peer_members": "members",
    "peer_terms": "terms",
    "pull_payments": "members",
    "refusals": "ballots",
    "selection": "scoring",
    "typed_data": "signatures",
}
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
_TIMEOUT_S: Final = 300
#: Where the tests' own process finds the mutant's sources and its compilation.
_FOLDER: Final = "BCFL_MUTANT"


def pytest_configure() -> None:
    """As a plugin of pytest's: the tests take the mutant for the contract."""
    if folder := os.environ.get(_FOLDER):
        contracts.resources = SimpleNamespace(files=lambda _: Path(folder))  # type: ignore[assignment]
        build.HERE = Path(folder)


def pytest_collection_finish() -> None:
    """That an example fails is enough: the smallest is looked for in vain."""
    if os.environ.get(_FOLDER):
        stages = (Phase.explicit, Phase.generate)
        settings.register_profile("mutants", parent=settings.get_profile("suite"), phases=stages)
        settings.load_profile("mutants")


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


def outcome(mutant: Mutant, original: str) -> str:
    """``killed``, ``survived``, ``same`` bytecode, or it does ``not compile``."""
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder)
        for path in build.HERE.glob("*.vy"):
            (sources / path.name).write_bytes(path.read_bytes())
        target = sources / f"{mutant.module}.vy"
        text = target.read_text(encoding="utf-8")
        target.write_text(text[: mutant.start] + mutant.text + text[mutant.end :], "utf-8")
        try:
            artifact = build.compiled(sources / f"{CONTRACT}.vy")
        except (VyperException, ValueError):
            return "not compile"
        if json.loads(artifact)["bytecode"] == json.loads(original)["bytecode"]:
            return "same"
        (sources / f"{CONTRACT}.json").write_text(artifact, encoding="utf-8")
        return "killed" if _fails(sources, suite_of(mutant.module)) else "survived"


def suite_of(module: str) -> list[str]:
    """All tests of the contract, the module's own before the others."""
    own = f"test_peer_consensus_{FIRST.get(module, 'rounds')}.py"
    return sorted(TESTS, key=lambda test: not test.endswith(own))


def _fails(sources: Path, tests: list[str]) -> bool:
    """Whether one of the tests fails on the contract in this folder."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    command += ["-p", "tests.contracts.mutation", "--hypothesis-seed=0"]
    try:
        done = subprocess.run(
            [*command, *tests],
            cwd=ROOT,
            env=os.environ | {_FOLDER: str(sources)},
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    if done.returncode not in (0, 1):
        raise SystemExit(done.stdout.decode()[-2000:] + done.stderr.decode()[-2000:])
    return done.returncode == 1


def main(arguments: list[str] | None = None) -> int:
    """Try the mutants that have no answer yet; the exit status is 1 if too many survive."""
    parser = argparse.ArgumentParser(prog="python -m tests.contracts.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", default=MODULES, help="of these sources only")
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
    original = build.compiled(build.HERE / f"{CONTRACT}.vy")
    until = time.monotonic() + 60 * options.minutes
    for number, mutant in enumerate(chosen, 1):
        if mutant.name not in answers:
            if time.monotonic() > until:
                return _report(chosen[: number - 1], answers, options.least)
            answers[mutant.name] = outcome(mutant, original)
            options.results.write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")
        print(f"{number}/{len(chosen)} {mutant.name}: {answers[mutant.name]}", flush=True)
    return _report(chosen, answers, options.least)


def _report(chosen: list[Mutant], answers: dict[str, str], least: float) -> int:
    counted = [m for m in chosen if answers[m.name] in ("killed", "survived")]
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
