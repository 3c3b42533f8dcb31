"""The protocol's page: its code runs, and says what the code that runs does."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl import Rules
from bcfl.consensus.spec import coalition, domain, messages, referee, selection
from bcfl.consensus.spec.aggregation import aggregate
from bcfl.consensus.spec.clipping import clip
from bcfl.consensus.spec.codec import Heading, blob_size, decode_delta, encode_delta
from bcfl.consensus.spec.delta import Delta, top_gamma
from bcfl.consensus.spec.domain import Ballot
from bcfl.consensus.spec.fixed_point import to_value
from bcfl.consensus.spec.rules import LEAST_WINDOW_S
from bcfl.consensus.spec.scoring import Borda, abstains, seen_by_most, tally
from bcfl.consensus.spec.values import Values
from bcfl.losses import bounded_loss
from bcfl.market.spec import draw, report, terms
from tests.notebooks.pages import ROOT, blocks, execute, titles

PAGE = ROOT / "notebooks" / "protocol.md"
NAMES: dict[str, Any] = {"__name__": "protocol"}
for each in blocks(PAGE):
    execute(each, NAMES)
page = SimpleNamespace(**NAMES)

gammas = st.integers(1, 1000).map(lambda thousandths: f"{thousandths / 1000}")
kappas = st.integers(1, 999).map(lambda thousandths: f"{thousandths / 1000}")


@given(
    gammas,
    st.integers(0, 5),
    st.integers(1, 7),
    st.integers(1, 10**7),
    st.sampled_from(["float16", "float32", "float64"]),
)
def test_what_a_delta_keeps_and_how_long_it_is(
    gamma: str, warmup: int, round_: int, n: int, dtype: str
) -> None:
    k = Rules(gamma=float(gamma), warmup_rounds=warmup).kept(n, round_)
    assert page.kept(gamma, n, round_, warmup) == k
    assert page.blob_size(n, k, np.dtype(dtype).itemsize) == blob_size(n, k, np.dtype(dtype))


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=9), st.sampled_from([1, 127]))
def test_how_values_are_sent_in_fewer_bits(numbers: list[float], top: int) -> None:
    values: Values = "ternary" if top == 1 else "int8"
    heading, dtype = Heading(bytes(20), 7, bytes(32)), np.dtype(np.float32)
    delta = Delta(len(numbers), np.arange(len(numbers)), np.array([1.0, *numbers[1:]], dtype))
    blob = encode_delta(delta, heading, values)
    assert len(blob) == 78 + page.short_size(delta.k, values)
    lots = page.lots(heading.author, heading.round, heading.base, delta.k)
    found = decode_delta(blob, delta.n, delta.k, dtype, heading, values).values
    for value, sent, lot in zip(delta.values, found, lots, strict=True):
        assert value == sent or sent == np.float32(page.code(float(value), 1.0, top, lot) / top)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9), st.data())
def test_which_changes_are_the_largest(change: list[int], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(change)))
    delta = top_gamma(np.array(change, np.float32), k)
    assert page.largest(change, k) == delta.indices.tolist()


@given(st.floats())
def test_a_quality_as_a_number_on_chain(quality: float) -> None:
    assert page.value(quality) == to_value(quality)


@st.composite
def rounds(draw: st.DrawFn) -> tuple[dict[int, dict[int, int]], set[int], int]:
    """Ballots by author, who committed, and the members."""
    m = draw(st.integers(2, 8))
    committed = draw(st.sets(st.integers(0, m - 1), min_size=1))
    ballots = {
        author: draw(
            st.dictionaries(st.sampled_from(others), st.integers(0, 4)) if others else st.just({})
        )
        for author in draw(st.sets(st.integers(0, m - 1)))
        for others in [sorted(committed - {author})]
    }
    return ballots, committed, m


@given(rounds(), kappas, st.binary(min_size=32, max_size=32))
def test_what_ballots_amount_to_and_who_wins(
    played: tuple[dict[int, dict[int, int]], set[int], int], kappa: str, seed: bytes
) -> None:
    values, committed, m = played
    ballots = {author: Ballot.from_values(1, given) for author, given in values.items()}
    totals, seen = tally(Borda(), ballots, committed, m), seen_by_most(ballots, committed)
    assert page.tally(values, committed, m) == totals
    assert page.seen_by_most(values, committed) == seen
    ppm = Rules(kappa=float(kappa)).kappa_ppm
    expected = selection.select_winners(totals, committed, seen, ppm, seed)
    assert page.winners(totals, committed, seen, kappa, seed) == list(expected)
    assert page.winner_count(kappa, len(committed)) == selection.winner_count(ppm, len(committed))


@given(st.tuples(*[st.integers(0, 6)] * 4))
def test_what_makes_a_round_count(numbers: tuple[int, int, int, int]) -> None:
    assert page.counts(*numbers) == selection.takes_part(*numbers)


@given(st.integers(1, 60), st.integers(0, 60))
def test_who_does_not_vote(c: int, missing: int) -> None:
    ballot = Ballot(1, (), missing=2**missing - 1)
    assert page.abstains(missing, c) == abstains(ballot, set(range(c - 1)))


@pytest.mark.parametrize("combine", ["carriers_mean", "damped_mean", "mean", "sum", "pair"])
@given(st.lists(st.dictionaries(st.integers(0, 4), st.integers(-8, 8), min_size=1), min_size=1))
def test_clipping_and_aggregation(combine: Any, chosen: list[dict[int, int]]) -> None:
    deltas = {
        j: Delta(5, np.array(sorted(each)), np.array([each[at] for at in sorted(each)], float))
        for j, each in enumerate(chosen)
    }
    median = statistics.median_low(math.hypot(*each.values()) for each in chosen)
    scaled = page.clipped(dict(enumerate(chosen)), median)
    clipped = clip(deltas, "median_norm")
    for j, delta in clipped.items():
        assert [scaled[j][int(at)] for at in delta.indices] == pytest.approx(list(delta.values))
    base = np.linspace(-1, 1, 5)
    steps = list(scaled.values())
    after = (
        page.pair_step(base.tolist(), steps, 0.5)
        if combine == "pair"
        else page.aggregated(base.tolist(), steps, 0.5, combine)
    )
    assert after == pytest.approx(aggregate(base, clipped, combine, 0.5).tolist())


@given(st.integers(0, 2**15), st.integers(0, 9), st.integers(1, 9))
def test_standing(standing: int, holding: int, winning: int) -> None:
    held = min(holding, winning)
    proposals = {j: int(j < held) for j in range(winning)}
    after = coalition.standings_after({0: standing}, proposals, set(proposals), {0})
    assert {0: page.standing_after(standing, held, winning)} == after
    assert page.FULL == coalition.FULL


@given(st.lists(st.integers(0, 9), min_size=1))
def test_what_reports_come_to(reports: list[int]) -> None:
    ballots = {author: Ballot.from_values(1, {99: x}) for author, x in enumerate(reports)}
    assert referee.medians(ballots, {99}) == {99: page.reported(reports)}


@given(st.floats(0.01, 0.99))
def test_the_bounded_loss(p: float) -> None:
    logits, labels = np.log([[p, 1 - p]]), np.array([0])
    assert page.bounded_loss(p) == pytest.approx(bounded_loss(logits, labels)[0])


def test_the_least_windows_and_the_most_members() -> None:
    windows = page.LEAST_WINDOW_S, page.LEAST_MARKET_WINDOW_S
    assert windows == (LEAST_WINDOW_S, terms.LEAST_WINDOW_S)
    assert page.MAX_MEMBERS == domain.MAX_MEMBERS


def test_what_is_signed() -> None:
    task, word = domain.TypedDataDomain(1, "0x" + "00" * 20), bytes(32)
    signed = [
        messages.commitment_message(task, domain.Commitment(1, word, word, 0)),
        messages.ballot_message(task, Ballot(1, ())),
        messages.seal_message(task, 1, word),
        messages.receipt_message(task, 1, 0, word),
        messages.ballot_receipt_message(task, 1, 0, word),
    ]
    fields = {
        words["primaryType"]: ",".join(
            f"{field['type']} {field['name']}" for field in words["types"][words["primaryType"]]
        )
        for words in signed
    }
    assert fields == page.SIGNED


@given(st.integers(1, 10**6), st.integers(1, 10**4), st.integers(1, 10), st.integers(1, 99))
def test_what_is_deposited_on_the_marketplace(
    reward: int, fee: int, seats: int, submissions: int
) -> None:
    for quorum in range(1, seats + 1):
        rules = terms.TaskRules(reward, fee, 0, seats, quorum)
        conditions = terms.Conditions(submissions, 0, 1)
        bond = terms.bond(rules, conditions, 0)
        assert page.least_bond(reward, seats, quorum, submissions) == bond
    assert page.deposit(reward, fee, seats, submissions) == terms.deposit(rules, conditions)
    assert page.least_stake(reward, fee, seats) == terms.least_stake(rules)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 100))
def test_the_lot_that_draws_a_panel(seed: bytes, length: int) -> None:
    assert page.picks(seed, length) == list(draw.picks(seed, length))


@given(st.lists(st.integers(0, 10**6), max_size=7), st.integers(0, 999_999), st.integers(1, 7))
def test_verdict_and_seal(fitnesses: list[int], mafr: int, quorum: int) -> None:
    assert page.accepted(fitnesses, mafr, quorum) == report.is_accepted(fitnesses, mafr, quorum)
    for fitness in fitnesses:
        found = report.Report(fitness)
        sealed = page.sealed_report(bytes(32), b"v" * 20, fitness, 0, b"s" * 32)
        assert sealed == report.seal(bytes(32), "0x" + "76" * 20, found, b"s" * 32)


# --- Who names its sections -------------------------------------------------------------------


def sections_named(source: str) -> Iterator[str]:
    """What stands behind PROTOCOL, in a docstring or comment, as names of sections."""
    text = re.sub(r"\s+", " ", re.sub(r"\n\s*#", "\n", source))
    for said in re.findall(r"PROTOCOL(?:\.md)?, ((?:\"[^\"]*\"|[^.;:()])*)", text):
        for quoted in re.findall(r'"([^"]*)"|\*([^*]+)\*(?!\*)', said.replace("**", "")):
            yield "".join(quoted)
        plain = re.sub(r'"[^"]*"|\*[^*]+\*|\[\w+\]', "", said.replace("**", ""))
        for name in re.split(
            r",| and | to ", re.sub(r"events (\d) and", r"event \1 and event", plain)
        ):
            if name.strip():
                yield name.strip()


def fitting(name: str) -> list[str]:
    """The section's title, or a part of one."""
    return [title for title in titles(PAGE) if re.search(rf"\b{re.escape(name)}\b", title, re.I)]


def sources() -> Iterator[Path]:
    for folder in ("bcfl", "strategies", "contracts", "conf"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".vy", ".yaml"}:
                yield path


def test_every_section_that_the_code_names_is_there() -> None:
    named = [
        (path.relative_to(ROOT), name)
        for path in sources()
        for name in sections_named(path.read_text("utf-8"))
    ]
    assert len(named) > 60
    assert [each for each in named if not fitting(each[1])] == []


def test_a_section_that_is_not_there_is_found() -> None:
    text = 'x (PROTOCOL,\n *Who pays*). PROTOCOL, System A, S2 to S9 **[reading]**; "System C"'
    assert list(sections_named(text)) == ["Who pays", "System A", "S2", "S9"]
    assert [name for name in sections_named(text) if not fitting(name)] == ["Who pays", "S9"]
