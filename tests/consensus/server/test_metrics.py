"""What members report is averaged where it can be, and nobody's numbers end a run."""

from __future__ import annotations

from typing import Any

import pytest
from flwr.app import MetricRecord, RecordDict

from bcfl.consensus.server.metrics import Metrics, agreeing, read_metrics, same_names

WEIGHT = "num-examples"
GOOD: Metrics = {"loss": 0.5, WEIGHT: 60}


def reported(**changes: Any) -> Metrics:
    return {**GOOD, **changes}


@pytest.mark.parametrize(
    "odd", [float("nan"), float("inf"), [0.5, float("nan")], [2**60], 1e300, 2**60]
)
def test_what_is_no_finite_number_in_range_is_passed_over(odd: Any) -> None:
    content = RecordDict({"metrics": MetricRecord({"odd": odd, **GOOD})})
    assert read_metrics(content) == GOOD


def test_long_names_and_more_than_a_hundred_are_passed_over() -> None:
    many = {f"m{i}": float(i) for i in range(200)}
    assert len(read_metrics(RecordDict({"metrics": MetricRecord(many)}))) == 100
    lists = {"a": [0.5] * 999, "b": [1, 2], "c": 3}
    assert read_metrics(RecordDict({"metrics": MetricRecord(lists)})).keys() == {"a", "c"}
    assert read_metrics(RecordDict({"metrics": MetricRecord({"x" * 101: 1})})) == {}


def test_of_several_records_or_none_nothing_is_read() -> None:
    one = MetricRecord(GOOD)
    assert read_metrics(RecordDict()) == {}
    assert read_metrics(RecordDict({"a": one, "b": one})) == {}


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"loss": 0.5},
        reported(boo=1),
        reported(loss=[0.5]),
        reported(**{WEIGHT: 0}),
        reported(**{WEIGHT: -60}),
        reported(**{WEIGHT: [60]}),
    ],
    ids=["nothing", "no weight", "a name", "a list", "weight 0", "a negative weight", "weights"],
)
def test_whoever_reports_otherwise_than_most_is_left_out(odd: Metrics) -> None:
    assert agreeing({0: odd, 1: GOOD, 2: GOOD}, WEIGHT) == {1: GOOD, 2: GOOD}


def test_where_nobody_reports_a_weight_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", logger="flwr")
    assert agreeing({0: {"loss": 0.5}, 1: {"loss": 0.25}}, WEIGHT) == {}
    (said,) = caplog.messages
    assert "expected a number under 'num-examples' above 0" in said
    assert "['loss']" in said


def test_of_two_that_differ_the_lower_index_is_believed() -> None:
    other = reported(boo=1)
    assert agreeing({4: GOOD, 1: other}, WEIGHT) == {1: other}


def test_winners_keep_what_all_report_and_weigh_the_same_where_one_has_no_weight() -> None:
    assert same_names({0: reported(boo=1), 1: GOOD}, [0, 1], WEIGHT) == {0: GOOD, 1: GOOD}
    equal = {"loss": 0.5, WEIGHT: 1}
    assert same_names({0: {"loss": 0.5}, 1: GOOD}, [0, 1], WEIGHT) == {0: equal, 1: equal}
    assert same_names({}, [3], WEIGHT) == {3: {WEIGHT: 1}}
    each = {0: reported(loss=[0.5]), 1: reported(loss=[0.5, 1.0])}
    assert same_names(each, [0, 1], WEIGHT) == {0: {WEIGHT: 60}, 1: {WEIGHT: 60}}
