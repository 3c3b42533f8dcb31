"""The marketplace's terms, reports, majority and lot, in pure Python."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.core.errors import ConfigurationError, ProtocolError
from bcfl.market.spec.draw import PICKS, draw, draw_seed, picks
from bcfl.market.spec.report import (
    Reason,
    Report,
    is_accepted,
    is_junk,
    measuring_set_of,
    seal,
    to_ppm,
)
from bcfl.market.spec.terms import (
    Conditions,
    MarketPhase,
    Task,
    TaskRules,
    bond,
    deposit,
    least_draw_window_s,
    least_stake,
    submission_cost,
)

RULES: dict[str, Any] = {"reward": 100, "fee": 7, "mafr": 500_000}
CONDITIONS: dict[str, Any] = {"submissions": 4, "stake": 0, "deadline": 1_800_000_000}
SEED = hashlib.sha256(b"seed").digest()
ADDRESS = "0x" + "ab" * 20


# Terms


@pytest.mark.parametrize(
    "change",
    [
        {"reward": 0},
        {"reward": 2**96},
        {"fee": 0},
        {"mafr": -1},
        {"mafr": 1_000_000},
        {"seats": 0},
        {"seats": 11},
        {"quorum": 0},
        {"quorum": 6},
        {"redraws": -1},
        {"redraws": 11},
    ],
    ids=str,
)
def test_rules_that_the_contract_would_refuse_are_refused_before(change: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match=rf"{next(iter(change))} lies in"):
        TaskRules(**{**RULES, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"submissions": 0},
        {"submissions": 2**16},
        {"stake": -1},
        {"deadline": 0},
        {"draw_window": 599},
        {"answer_window": 30 * 86_400 + 1},
        {"report_window": 599},
    ],
    ids=str,
)
def test_conditions_that_the_contract_would_refuse_are_refused_before(
    change: dict[str, int],
) -> None:
    with pytest.raises(ConfigurationError, match=rf"{next(iter(change))} lies in"):
        Conditions(**{**CONDITIONS, **change})


def test_the_deposit_pays_for_every_submission_and_a_full_panel_each() -> None:
    rules, conditions = TaskRules(**RULES), Conditions(**CONDITIONS)
    assert submission_cost(rules) == 100 + 5 * 7
    assert deposit(rules, conditions) == 4 * 135


def test_only_what_is_over_is_final() -> None:
    final = {phase.name for phase in MarketPhase if phase.is_final}
    assert final == {"PAID", "REJECTED", "VOID", "JUNK"}


@pytest.mark.parametrize(
    ("reward", "fee", "stake"), [(100, 7, 50), (101, 7, 51), (60, 7, 35), (1, 1, 5)]
)
def test_the_least_stake_is_half_of_the_reward_and_a_panel_s_fees(
    reward: int, fee: int, stake: int
) -> None:
    assert least_stake(TaskRules(reward, fee, 0)) == stake


@pytest.mark.parametrize(("least", "found"), [(0, 134), (134, 134), (135, 135)])
def test_the_bonds_of_those_who_can_prevent_a_verdict_are_the_price_of_all(
    least: int, found: int
) -> None:
    """400 wei of rewards, of which 3 of 5 verifiers cover a third each, rounded up."""
    assert bond(TaskRules(**RULES), Conditions(**CONDITIONS), least) == found


def test_a_draw_s_least_window_grows_with_its_delay() -> None:
    assert (least_draw_window_s(2), least_draw_window_s(72)) == (648, 2328)


# Reports


@pytest.mark.parametrize("fitness", [-1, 1_000_001])
def test_a_fitness_is_parts_per_million(fitness: int) -> None:
    with pytest.raises(ProtocolError, match="ppm"):
        Report(fitness)


def test_what_was_not_measured_has_no_fitness() -> None:
    assert Report(0, Reason.MALFORMED).fitness == 0
    with pytest.raises(ProtocolError, match="MALFORMED"):
        Report(1, Reason.MALFORMED)


@pytest.mark.parametrize(
    ("rate", "ppm"),
    [
        (0.0, 0),
        (1.0, 1_000_000),
        (0.9137, 913_700),
        (2.5e-6, 2),  # half to even
        (-0.1, 0),
        (1.1, 1_000_000),
        (math.inf, 1_000_000),
        (-math.inf, 0),
        (math.nan, 0),
    ],
)
def test_a_rate_becomes_parts_per_million(rate: float, ppm: int) -> None:
    assert to_ppm(rate) == ppm


def test_a_seal_binds_submission_verifier_report_and_salt() -> None:
    salt, other = bytes(32), hashlib.sha256(b"other").digest()
    seals = {
        seal(SEED, ADDRESS, Report(5), salt),
        seal(other, ADDRESS, Report(5), salt),
        seal(SEED, "0x" + "cd" * 20, Report(5), salt),
        seal(SEED, ADDRESS, Report(6), salt),
        seal(SEED, ADDRESS, Report(0), salt),
        seal(SEED, ADDRESS, Report(0, Reason.DUPLICATE), salt),
        seal(SEED, ADDRESS, Report(5), other),
    }
    assert len(seals) == 7
    words = SEED + bytes(12) + b"\xab" * 20 + (5).to_bytes(32, "big") + bytes(32) + salt
    assert seal(SEED, ADDRESS, Report(5), salt) == hashlib.sha256(words).digest()


@pytest.mark.parametrize(
    ("submission", "address", "salt"),
    [(b"", ADDRESS, SEED), (SEED, ADDRESS, b"short"), (SEED, "0x1234", SEED)],
)
def test_a_seal_of_odd_sizes_is_refused(submission: bytes, address: str, salt: bytes) -> None:
    with pytest.raises(ProtocolError, match="bytes long"):
        seal(submission, address, Report(5), salt)


@pytest.mark.parametrize(
    ("reasons", "junk"),
    [
        ([Reason.DUPLICATE, Reason.MALFORMED, Reason.MEASURED], True),
        ([Reason.DUPLICATE, Reason.MEASURED], False),  # half is not most
        ([Reason.UNGRANTED, Reason.UNGRANTED, Reason.UNOPENABLE], False),  # not its author's doing
        ([Reason.KEY_MISMATCH, Reason.UNOPENABLE], True),
        ([], False),
    ],
)
def test_junk_is_what_most_call_junk(reasons: list[Reason], junk: bool) -> None:
    assert is_junk([Report(0, reason) for reason in reasons]) is junk


@pytest.mark.parametrize(
    ("number", "sets", "which"), [(1, 1, 0), (9, 1, 0), (1, 3, 0), (2, 3, 1), (3, 3, 2), (4, 3, 2)]
)
def test_each_submission_is_measured_by_a_set_of_its_own_while_there_are_any(
    number: int, sets: int, which: int
) -> None:
    assert measuring_set_of(number, sets) == which


@pytest.mark.parametrize(("number", "sets"), [(0, 1), (1, 0)])
def test_submissions_count_from_one_and_there_is_a_measuring_set(number: int, sets: int) -> None:
    with pytest.raises(ProtocolError, match="count from 1"):
        measuring_set_of(number, sets)


# Majority


@pytest.mark.parametrize(
    ("above", "below", "quorum", "accepted"),
    [
        (3, 2, 3, True),
        (2, 3, 3, False),
        (2, 2, 3, False),  # half is not most
        (2, 1, 3, True),
        (2, 0, 3, False),  # fewer than a quorum
        (1, 0, 1, True),
        (0, 0, 1, False),
    ],
)
def test_most_of_the_reports_made_decide(
    above: int, below: int, quorum: int, accepted: bool
) -> None:
    fitnesses = [600_000] * above + [500_000] * below
    assert is_accepted(fitnesses, 500_000, quorum) is accepted


@pytest.mark.parametrize(
    ("taken", "pending", "now", "closed", "over"),
    [
        (1, 0, 1000, False, False),  # in time, and another may come
        (2, 1, 1000, False, False),  # as many as were asked for, but one may come to nothing
        (2, 0, 1000, True, True),
        (1, 1, 1001, True, False),
        (0, 0, 1001, True, True),
    ],
)
def test_a_task_is_closed_when_no_submission_can_come_and_over_when_none_is_judged(
    taken: int, pending: int, now: int, closed: bool, over: bool
) -> None:
    conditions = Conditions(submissions=2, stake=0, deadline=1000)
    task = Task("0x", b"", TaskRules(1, 1, 0), conditions, 0, taken, taken, pending, 0)
    assert (task.is_closed(now), task.is_over(now)) == (closed, over)


@given(
    st.lists(st.integers(0, 1_000_000), min_size=5, max_size=5),
    st.integers(0, 999_999),
    st.lists(st.integers(0, 1_000_000), min_size=2, max_size=2),
)
def test_two_liars_of_five_cannot_turn_a_unanimous_verdict(
    fitnesses: list[int], mafr: int, lies: list[int]
) -> None:
    for honest in (max(fitnesses), min(fitnesses)):
        truth = is_accepted([honest] * 5, mafr, 3)
        assert is_accepted([honest] * 3 + lies, mafr, 3) is truth


# The lot


@given(st.binary(min_size=32, max_size=32), st.integers(0, 150))
def test_the_lot_looks_at_distinct_places(seed: bytes, length: int) -> None:
    places = list(picks(seed, length))
    assert len(places) == len(set(places)) == min(length, PICKS)
    assert set(places) <= set(range(length))


@given(
    st.binary(min_size=32, max_size=32),
    st.lists(st.booleans(), max_size=PICKS),
    st.integers(0, 10),
)
def test_exactly_the_vacant_seats_are_filled_if_there_are_verifiers(
    seed: bytes, present: list[bool], vacant: int
) -> None:
    row = [f"verifier {place}" if here else None for place, here in enumerate(present)]
    drawn = draw(seed, row, vacant)
    assert len(drawn) == len(set(drawn)) == min(vacant, sum(present))
    assert set(drawn) <= set(row)


@given(st.binary(min_size=32, max_size=32), st.integers(1, 40), st.data())
def test_who_leaves_takes_only_itself_out(seed: bytes, size: int, data: st.DataObject) -> None:
    row: list[str | None] = [f"verifier {place}" for place in range(size)]
    before = draw(seed, row, 5)
    leaver = data.draw(st.integers(0, size - 1))
    gone, row[leaver] = row[leaver], None
    after = draw(seed, row, 5)
    assert [v for v in before if v != gone] == [v for v in after if v in before]


def test_every_panel_is_equally_likely() -> None:
    """All 10 pairs of 5, and both orders of each: within 5 standard deviations."""
    row = list("abcde")
    draws = 20_000
    found = Counter(
        tuple(draw(draw_seed(SEED, number.to_bytes(32, "big")), row, 2)) for number in range(draws)
    )
    assert len(found) == 20
    mean = draws / 20
    assert all(abs(count - mean) < 5 * (mean * 0.95) ** 0.5 for count in found.values())


def test_the_lot_is_pinned() -> None:
    """The bytes that the contract hashes: a change here is a change of protocol."""
    assert draw_seed(bytes(32), SEED).hex() == hashlib.sha256(bytes(32) + SEED).hexdigest()
    assert list(picks(SEED, 8)) == [3, 2, 1, 7, 4, 5, 6, 0]
