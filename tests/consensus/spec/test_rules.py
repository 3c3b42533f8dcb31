"""The rules of a task: ranges, exact shares, one digest."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import fields, replace
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.consensus.spec.rules import OF_DELTAS, RuleOptions, Rules
from bcfl.core.errors import ConfigurationError

GOLDEN = Path(__file__).parent / "golden" / "rules.json"

#: For every rule another value than the default.
OTHERS: dict[str, Any] = {
    "gamma": 0.2,
    "warmup_rounds": 0,
    "gamma_within": "array",
    "values": "int8",
    "error_feedback": 0.5,
    "kappa": 0.500001,
    "metric": "accuracy",
    "clip": "none",
    "combine": "mean",
    "server_learning_rate": 0.5,
    "integer_arrays": "refuse",
    "shared": ("body.*",),
    "ballots": "sealed",
    "quorum": 3,
    "commit_window_s": 601,
    "ballot_window_s": 601,
    "inner": "FedAdam",
}


#: Of those that only tasks have whose members propose.
OF_PROPOSALS: dict[str, Any] = {
    "rule": "coalition",
    "coalition_size": "half",
    "reference": "cd" * 32,
}


#: Of those that only tasks have that are settled optimistically.
OF_SETTLEMENT: dict[str, Any] = {
    "challenge_window_s": 601,
    "deposit_wei": 1,
    "bond_wei": 1,
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("challenge_window_s", 29),
        ("deposit_wei", 0),
        ("bond_wei", 0),
        ("settlement", "later"),
        ("gamma", 0.0),
        ("gamma", -0.1),
        ("gamma", 1.000001),
        ("gamma", math.nan),
        ("gamma", math.inf),
        ("gamma", "0.1"),
        ("gamma", None),
        ("gamma", True),
        ("kappa", 0.0),
        ("kappa", 1.0),
        ("kappa", math.nan),
        ("kappa", 1e-7),
        ("kappa", 1 / 3),
        ("kappa", "half"),
        ("values", "float64"),
        ("error_feedback", -0.1),
        ("error_feedback", 1.1),
        ("error_feedback", math.nan),
        ("error_feedback", "half"),
        ("metric", ""),
        ("metric", "-"),
        ("metric", 3),
        ("clip", "median"),
        ("clip", None),
        ("shared", ()),
        ("shared", ("",)),
        ("shared", None),
        ("combine", "median"),
        ("combine", ["mean"]),
        ("update", "bytes"),
        ("server_learning_rate", 0.0),
        ("server_learning_rate", -1.0),
        ("server_learning_rate", math.inf),
        ("server_learning_rate", math.nan),
        ("server_learning_rate", "1"),
        ("integer_arrays", "drop"),
        ("ballots", "secret"),
        ("quorum", 0),
        ("quorum", 129),
        ("quorum", 2.0),
        ("quorum", True),
        ("quorum", "2"),
        ("commit_window_s", 29),
        ("commit_window_s", 1.5),
        ("commit_window_s", 2**32 + 1),
        ("ballot_window_s", 29),
        ("ballot_window_s", math.inf),
        ("ballot_window_s", 2**32 + 1),
        ("inner", None),
    ],
)
def test_a_rule_out_of_range_names_itself_and_what_was_found(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Rules(**{name: value})
    assert str(raised.value).startswith(f"{name}: expected ")
    assert str(raised.value).endswith(f"; found {value!r}")


def test_a_number_beyond_every_float_is_out_of_range_too() -> None:
    with pytest.raises(ConfigurationError, match=r"gamma: expected in .*; found inf"):
        Rules(gamma=10**400)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gamma", 1),
        ("gamma", 1e-9),
        ("kappa", 0.000001),
        ("kappa", 0.999999),
        ("quorum", 1),
        ("quorum", 128),
        ("commit_window_s", 30),
        ("ballot_window_s", 2**32),
        ("metric", "-latency"),
    ],
)
def test_the_ends_of_the_ranges_are_allowed(name: str, value: Any) -> None:
    assert getattr(Rules(**{name: value}), name) == value


@given(st.decimals(Decimal("1e-9"), 1, allow_nan=False, places=9), st.integers(1, 10**9))
def test_gamma_n_is_decimal_arithmetic_rounded_up(gamma: Decimal, n: int) -> None:
    expected = int((gamma * n).to_integral_value(ROUND_CEILING))
    assert Rules(gamma=float(gamma), warmup_rounds=0).kept(n, 1) == expected


@given(
    st.floats(0, 1, exclude_min=True), st.integers(1, 10**9), st.integers(0, 50), st.integers(1, 60)
)
def test_at_least_one_entry_is_kept_and_never_more_than_there_are(
    gamma: float, n: int, warmup_rounds: int, round: int
) -> None:
    rules = Rules(gamma=gamma, warmup_rounds=warmup_rounds)
    assert 1 <= rules.kept(n, round + 1) <= rules.kept(n, round) <= n
    if warmup_rounds:
        assert rules.kept(n, 1) == n
    assert rules.kept(n, warmup_rounds + 1) == rules.kept(n, 10**6)


def test_while_a_run_warms_up_the_share_falls_in_equal_steps() -> None:
    rules = Rules(gamma=0.1, warmup_rounds=3)
    assert [rules.kept(1000, round) for round in range(1, 7)] == [1000, 700, 400, 100, 100, 100]


@pytest.mark.parametrize(
    ("gamma", "n", "kept"),
    [(0.1, 30, 3), (0.1, 31, 4), (0.07, 100, 7), (0.29, 100, 29), (1, 5, 5), (1e-9, 7, 1)],
)
def test_gamma_n_where_binary_arithmetic_would_be_one_off(gamma: float, n: int, kept: int) -> None:
    assert Rules(gamma=gamma).kept(n, 4) == kept


@given(st.integers(1, 999_999))
def test_kappa_in_parts_per_million_is_exact(ppm: int) -> None:
    assert Rules(kappa=ppm / 1_000_000).kappa_ppm == ppm


def test_every_rule_changes_the_digest() -> None:
    names = {field.name for field in fields(Rules)}
    other = OF_PROPOSALS.keys() | OF_SETTLEMENT.keys() | {"update", "settlement"}
    assert OTHERS.keys() == names - other
    digests = [Rules(**{name: value}).digest() for name, value in OTHERS.items()]
    assert len({Rules().digest(), *digests}) == 1 + len(OTHERS)


def test_the_same_rules_have_one_digest_however_they_are_written() -> None:
    assert Rules(gamma=1, server_learning_rate=1).digest() == Rules(gamma=1.0).digest()
    assert Rules(kappa=5e-1).digest() == Rules(kappa=0.5).digest()


@given(st.floats(0, 1, exclude_min=True), st.integers(1, 999_999), st.text(max_size=9))
def test_rules_survive_json(gamma: float, ppm: int, inner: str) -> None:
    rules = Rules(gamma=gamma, kappa=ppm / 1_000_000, inner=inner, metric="f1")
    again = Rules(**json.loads(json.dumps(rules.to_json())))
    assert again == replace(rules, combine="damped_mean")
    assert again.digest() == rules.digest()


def test_the_options_are_the_rules_that_a_user_chooses() -> None:
    rules = get_type_hints(Rules)
    del rules["inner"]  # a strategy names it by the object that it is given
    del rules["reference"]  # and this by the samples
    assert get_type_hints(RuleOptions) == rules


def test_what_members_rate_changes_the_digest_and_leaves_that_of_borda_alone() -> None:
    first = Rules(rule="referee", reference="ab" * 32)
    digests = {Rules().digest(), first.digest()}
    for name, value in OF_PROPOSALS.items():
        fitting = {"reference": ""} if name == "rule" else {}
        digests.add(replace(first, **{name: value}, **fitting).digest())
    assert len(digests) == 2 + len(OF_PROPOSALS)
    assert not OF_PROPOSALS.keys() & Rules().to_json().keys()
    assert Rules(**first.to_json()).digest() == first.digest()


def test_settlement_changes_the_digest_and_leaves_that_of_full_alone() -> None:
    first = Rules(settlement="optimistic")
    digests = {Rules().digest(), first.digest()}
    digests |= {replace(first, **{name: value}).digest() for name, value in OF_SETTLEMENT.items()}
    assert len(digests) == 2 + len(OF_SETTLEMENT)
    assert not {"settlement", *OF_SETTLEMENT} & Rules().to_json().keys()
    assert Rules(**first.to_json()) == replace(first, combine="damped_mean")


@pytest.mark.parametrize(
    ("rules", "name"),
    [
        ({"rule": "coalition"}, "rule"),
        ({"ballots": "sealed"}, "ballots"),
        *(({"settlement": "full", name: value}, name) for name, value in OF_SETTLEMENT.items()),
    ],
)
def test_what_does_not_go_with_a_settlement_is_named(rules: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}: expected"):
        Rules(**{"settlement": "optimistic"} | rules)


def test_what_is_combined_how_follows_from_the_rule_unless_it_is_said() -> None:
    assert Rules().combination == Rules(combine="damped_mean").combination == "damped_mean"
    assert Rules(combine="pair").combination == "pair"
    assert Rules(rule="coalition").combination == "pair"
    assert replace(Rules(), rule="coalition").combination == "pair"
    assert Rules().digest() == Rules(combine="damped_mean").digest()


def test_a_proposal_holds_half_under_coalition_and_where_that_is_said() -> None:
    referee = Rules(rule="referee", reference="ab" * 32)
    assert [Rules(rule="coalition").least(c) for c in (1, 4, 5)] == [1, 2, 3]
    assert [referee.least(c) for c in (1, 4, 5)] == [1, 1, 1]
    assert replace(referee, coalition_size="half").least(5) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "referee"}, r"reference: .*PeerConsensus\(reference=…\).*rule=coalition"),
        ({"rule": "referee", "reference": "AB" * 32}, "reference: expected the digest"),
        ({"reference": "ab" * 32}, "rates on no reference set"),
        ({"rule": "coalition", "combine": "mean"}, 'combine: expected None, or "pair"'),
        ({"rule": "coalition", "inner": "FedAdam"}, "which FedAdam cannot aggregate"),
        ({"rule": "majority"}, "rule: expected one of"),
        ({"coalition_size": "most"}, "coalition_size: expected one of"),
    ],
)
def test_what_a_rule_needs_is_there_and_nothing_that_it_has_no_use_for(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Rules(**options)


def test_the_golden_digests() -> None:
    golden = json.loads(GOLDEN.read_text())
    assert Rules().digest().hex() == golden["defaults"]
    assert Rules(**OTHERS).digest().hex() == golden["others"]
    assert Rules(update="whole", combine="bagging").digest().hex() == golden["whole"]
    assert Rules(settlement="optimistic").digest().hex() == golden["optimistic"]


def test_whole_updates_have_no_rules_of_deltas() -> None:
    whole = Rules(update="whole")
    assert (whole.combination, whole.digest()) == ("best", Rules(**whole.to_json()).digest())
    assert not {*OF_DELTAS} & whole.to_json().keys()
    assert OTHERS.keys() > {*OF_DELTAS}
    for name in OF_DELTAS:
        with pytest.raises(ConfigurationError, match=f"^{name}: expected nothing with update='w"):
            Rules(update="whole", **{name: OTHERS[name]})
    with pytest.raises(ConfigurationError, match=r"combine: .*'best', 'bagging'.*found 'mean'"):
        Rules(update="whole", combine="mean")
    with pytest.raises(ConfigurationError, match=r"rule: expected borda with update=whole"):
        Rules(update="whole", rule="coalition")


def test_the_digest_is_that_of_the_canonical_json() -> None:
    text = (
        '{"ballot_window_s":600,"ballots":"open","clip":"median_norm","combine":"damped_mean",'
        '"commit_window_s":600,"gamma":0.1,"inner":"","integer_arrays":"keep","kappa":0.5,'
        '"metric":null,"quorum":2,"server_learning_rate":1.0,'
        '"shared":["*"],"warmup_rounds":3}'
    )
    assert Rules().digest() == hashlib.sha256(text.encode()).digest()
