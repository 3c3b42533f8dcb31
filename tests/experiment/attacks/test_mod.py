"""Where an attack meets a client: malicious ones, training alone, inside of what is committed."""

from __future__ import annotations

import numpy as np
import pytest
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.supercore.task_identity import TaskIdentity

from bcfl.experiment.attacks import AttackMod, Gaussian, LyingReviewer, SignFlip
from bcfl.experiment.attacks.mod import AttackingMember


@pytest.fixture(autouse=True)
def a_task() -> None:
    """Flower's messages ask for one."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 0


def record(*values: float) -> ArrayRecord:
    return ArrayRecord({"w": Array(np.array(values, np.float32))})


def message(kind: str = "train", round_: int = 1) -> Message:
    config = ConfigRecord({"server-round": round_})
    return Message(RecordDict({"arrays": record(1.0, 2.0), "config": config}), 5, kind)


def context(partition: int) -> Context:
    return Context(1, 5, {"partition-id": partition}, RecordDict(), {})


def train(asked: Message, context: Context) -> Message:
    metrics = MetricRecord({"train_loss": 0.5, "num-examples": 3})
    content = RecordDict({"arrays": record(2.0, 2.0), "metrics": metrics})
    return Message(content, reply_to=asked)


def trained(mod: AttackMod, partition: int, asked: Message) -> list[float]:
    reply = mod(asked, context(partition), train)
    assert reply.content.metric_records["metrics"]["train_loss"] == 0.5
    return list(reply.content.array_records["arrays"]["w"].numpy().tolist())


SIGN_FLIP = AttackMod(SignFlip(0.3, scale=4.0), frozenset({9}), seed=1)
GAUSSIAN = AttackMod(Gaussian(0.3), frozenset({8, 9}), seed=1)


def test_a_malicious_client_sends_the_poisoned_update() -> None:
    assert trained(SIGN_FLIP, 9, message()) == [-3.0, 2.0]


def test_an_honest_client_sends_what_it_trained() -> None:
    assert trained(SIGN_FLIP, 0, message()) == [2.0, 2.0]


def test_evaluation_is_let_through() -> None:
    assert trained(SIGN_FLIP, 9, message("evaluate")) == [2.0, 2.0]


def test_noise_repeats_by_round_and_client_and_differs_between_them() -> None:
    one = trained(GAUSSIAN, 9, message())
    assert trained(GAUSSIAN, 9, message()) == one
    assert trained(GAUSSIAN, 8, message()) != one
    assert trained(GAUSSIAN, 9, message(round_=2)) != one


def test_a_failure_to_train_is_passed_on() -> None:
    failed = SIGN_FLIP(
        message(), context(9), lambda asked, _: Message(Error(1, "no"), reply_to=asked)
    )
    assert failed.has_error()


def test_an_update_that_overflows_is_the_attackers_affair() -> None:
    def run_away(asked: Message, _: Context) -> Message:
        metrics = MetricRecord({"num-examples": 3})
        content = RecordDict({"arrays": record(3e38, -3e38), "metrics": metrics})
        return Message(content, reply_to=asked)

    reply = SIGN_FLIP(message(), context(9), run_away)
    assert np.isinf(reply.content.array_records["arrays"]["w"].numpy()).any()


@pytest.mark.parametrize(("partition", "best"), [(9, 8), (0, 1)])
def test_only_malicious_members_lie(partition: int, best: int) -> None:
    member = AttackingMember(LyingReviewer(0.2), frozenset({8, 9}))
    ratings = member.rate({1: -0.1, 2: -0.5, 8: -7.0}, context(partition))
    assert max(ratings, key=lambda rated: ratings[rated]) == best
