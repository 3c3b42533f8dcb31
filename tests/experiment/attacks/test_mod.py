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

from bcfl.consensus.spec.rules import Rules
from bcfl.experiment.attacks import AttackMod, Bandit, Gaussian, Ipm, LabelFlip, SignFlip, Sleeper
from bcfl.experiment.attacks.attack import Attack
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


class Clients:
    """What the mod asks of the experiment's clients: partition p trains to (p, p)."""

    seed, clients = 1, 10

    def __init__(self) -> None:
        self.asked: list[int] = []

    def trained(
        self, record: ArrayRecord, partition: int, round_: int
    ) -> tuple[ArrayRecord, float]:
        self.asked.append(partition)
        return ArrayRecord({"w": Array(np.full(2, partition, np.float32))}), 0.5

    def measured(self, record: ArrayRecord, partition: int) -> tuple[float, float]:
        return float(np.abs(record["w"].numpy()).sum()), 0.5


def made(attack: Attack, clients: Clients | None = None, gamma: float = 1.0) -> AttackMod:
    rules = Rules(gamma=gamma, warmup_rounds=0)
    return AttackMod(attack, attack.malicious(10), clients or Clients(), 4, rules)  # type: ignore[arg-type]


SIGN_FLIP, GAUSSIAN = made(SignFlip(0.1, scale=4.0)), made(Gaussian(0.2))


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


def test_accomplices_know_what_the_honest_send_and_agree_once_a_round() -> None:
    clients = Clients()
    mod = made(Ipm(0.2, epsilon=2.0), clients)
    # the honest, 0 to 7, go from (1, 2) to (3.5, 3.5) on average
    assert trained(mod, 9, message()) == trained(mod, 8, message()) == [-4.0, -1.0]
    assert sorted(clients.asked) == list(range(9))
    half = made(Ipm(0.2, epsilon=2.0), gamma=0.5)  # of whose two values they send the larger one
    assert trained(half, 9, message())[0] != -4.0


def test_an_attack_on_data_alone_leaves_the_update_alone() -> None:
    clients = Clients()
    assert trained(made(LabelFlip(0.2), clients), 9, message()) == [2.0, 2.0]
    assert clients.asked == []


def test_a_bandit_remembers_from_round_to_round() -> None:
    mod = made(Bandit(0.2, arms=(SignFlip(), Ipm())))
    sent = [trained(mod, 9, message(round_=round_)) for round_ in (1, 2)]
    assert sent[0] == [-3.0, 2.0]
    assert sent[1] == pytest.approx([1 - 0.5 * 2.5, 2 - 0.5 * 1.5])


@pytest.mark.parametrize(("partition", "best"), [(9, 8), (0, 1)])
def test_only_malicious_members_lie(partition: int, best: int) -> None:
    member = AttackingMember(SignFlip(0.2, "front"), frozenset({8, 9}), 4)
    ratings = member.rate({1: -0.1, 2: -0.5, 8: -7.0}, context(partition))
    assert max(ratings, key=lambda rated: ratings[rated]) == best


def test_nobody_lies_asleep() -> None:
    member = AttackingMember(Sleeper(0.2, "front"), frozenset({8, 9}), 4)
    measured = {1: -0.1, 2: -0.5, 8: -7.0}
    assert member.rate(measured, context(9)) == measured
