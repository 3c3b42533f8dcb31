"""The mutation check changes code, one place at a time, and nothing else."""

from __future__ import annotations

import pytest

from bcfl.contracts.build import HERE
from tests.contracts.mutation import ALL, ROOT, SUITES, Mutant, mutants_of

SOURCE = '''# a < b
"""
@notice a + b
"""
@internal
def _f(a: uint256) -> uint256:
    assert a <= 3, "a <= b"
    assert (
        a != 1
    ), "no"
    b: uint256 = unsafe_add(a, 1) << 2
    if a == 2 and b > 1:
        b |= 4 & a
    return b - 1
'''


def applied(mutant: Mutant) -> str:
    return SOURCE[: mutant.start] + mutant.text + SOURCE[mutant.end :]


def test_each_place_is_changed_once_and_prose_never() -> None:
    done = [(mutant.line, mutant.words) for mutant in mutants_of("f", SOURCE)]
    assert done == [
        (7, "<= to <"),
        (9, "!= to =="),
        (11, "unsafe_add to unsafe_sub"),
        (11, "<< to >>"),
        (12, "== to !="),
        (12, "and to or"),
        (12, "> to >="),
        (13, "& to |"),
        (14, "- to +"),
        (7, "assert dropped"),
        (8, "assert dropped"),
    ]


def test_a_mutant_differs_in_its_place_alone() -> None:
    by_words = {(m.line, m.words): applied(m) for m in mutants_of("f", SOURCE)}
    assert by_words[7, "<= to <"] == SOURCE.replace("assert a <= 3", "assert a < 3")
    dropped = 'assert (\n        a != 1\n    ), "no"'
    assert by_words[8, "assert dropped"] == SOURCE.replace(dropped, "pass")
    assert len(set(by_words.values()) - {SOURCE}) == len(by_words)


def test_every_module_of_a_contract_is_listed_once() -> None:
    assert sorted(SUITES) == sorted(path.stem for path in HERE.glob("*.vy"))
    assert len(SUITES) == sum(len(suite.modules) for suite in ALL)


@pytest.mark.parametrize("module", SUITES)
def test_all_tests_are_run_and_a_modules_own_come_first(module: str) -> None:
    suite = SUITES[module]
    first, *_ = tests = suite.of(module)
    assert all((ROOT / test).is_file() for test in tests)
    assert len(set(tests)) == len(suite.tests)
    assert first.endswith(f"{suite.prefix}{suite.first.get(module, suite.tests[0])}.py")
