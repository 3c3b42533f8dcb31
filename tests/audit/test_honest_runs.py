"""Whoever plays by the rules is accused of nothing, whatever else goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Message, MessageType
from flwr.serverapp.strategy import FedAdam

from bcfl.audit.audit import audit_run
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.member.mod import PeerConsensusMod, peer_consensus_mod
from bcfl.flower.grid import InProcessGrid
from bcfl.strategies import PeerConsensus
from tests import toy
from tests.audit.runs import play

DIRECT = {"transactions": "direct", "allowance_wei": 10**18}


class Losing(InProcessGrid):
    """Loses some partitions' replies, in the contract's first round, by what they were asked."""

    def __init__(self, clients: int, lost: dict[str, Sequence[int]]) -> None:
        super().__init__(toy.client_app([peer_consensus_mod]), clients)
        self._lost = lost

    def deliver(self, message: Message, context: Context) -> Message | None:
        asked, round_ = order(message)
        reply = super().deliver(message, context)
        lost = round_ == 1 and context.node_config["partition-id"] in self._lost.get(asked, ())
        return None if lost else reply


def order(message: Message) -> tuple[str, int]:
    """What is asked (round: to train; review; reveal; join) and in which round."""
    for record in message.content.config_records.values():
        if "kind" in record and "round" in record:
            kind = "reveal" if record.get("seal_receipt") else str(record["kind"])
            return kind, int(record["round"])
    return "join", 0


class Growing(InProcessGrid):
    """One node comes only after the first has been asked to train."""

    def __init__(self, clients: int) -> None:
        super().__init__(toy.client_app([peer_consensus_mod]), clients)
        self._asked = False

    def get_node_ids(self) -> Sequence[int]:
        ids = list(super().get_node_ids())
        return ids if self._asked else ids[:-1]

    def deliver(self, message: Message, context: Context) -> Message | None:
        self._asked = self._asked or message.metadata.message_type == MessageType.TRAIN
        return super().deliver(message, context)


class Liar(PeerConsensusMod):
    """Rates the worst best: a lie, but within the rules."""

    def rate(self, qualities: dict[int, float], context: Context) -> dict[int, float]:
        return {member: -quality for member, quality in qualities.items()}


def losing(clients: int, **lost: Sequence[int]) -> dict[str, Any]:
    return {"clients": clients, "grid": Losing(clients, dict(lost))}


HONEST: dict[str, Callable[[], dict[str, Any]]] = {
    "two members": lambda: {"clients": 2},
    "three members, other seed, as published": lambda: {
        "clients": 3,
        "seed": 11,
        "clip": "none",
        "metric": "accuracy",
    },
    "five members, mean of few values": lambda: {
        "clients": 5,
        "gamma": 0.05,
        "combine": "mean",
        "server_learning_rate": 0.5,
    },
    "six members, sum of all values": lambda: {
        "clients": 6,
        "gamma": 1.0,
        "combine": "sum",
        "server_learning_rate": 0.1,
    },
    "seven members, one winner": lambda: {"clients": 7, "kappa": 0.01},
    "eight members, all but one win": lambda: {"clients": 8, "kappa": 0.999999},
    "some are sampled": lambda: {"clients": 5, "fraction_train": 0.6, "rounds": 2, "seed": 3},
    "direct transactions": lambda: {**DIRECT, "clients": 3},
    "sealed and direct": lambda: {**DIRECT, "clients": 3, "ballots": "sealed", "seed": 5},
    "a member drops out": lambda: losing(4, round=[1]),
    "a reviewer drops out": lambda: losing(4, review=[2]),
    "a reviewer drops out before it seals": lambda: {**losing(4, review=[0]), "ballots": "sealed"},
    "a reviewer seals and never shows": lambda: {**losing(4, reveal=[1]), "ballots": "sealed"},
    "a void round": lambda: {**losing(3, round=[0, 2]), "rounds": 2},
    "a round without ballots": lambda: {**losing(3, review=[0, 1, 2]), "rounds": 1},
    "somebody joins": lambda: {"clients": 3, "grid": Growing(4), "rounds": 2},
    "a lying reviewer, two rounds": lambda: {
        "rounds": 2,
        "grid": InProcessGrid(lambda m, c: toy.client_app([_mod(c)])(m, c), 4),
    },
}


#: Who committed and who voted in the first round, where somebody was lost.
LOST = {
    "a member drops out": ((0, 2, 3), (0, 2, 3)),
    "a reviewer drops out": ((0, 1, 2, 3), (0, 1, 3)),
    "a reviewer drops out before it seals": ((0, 1, 2, 3), (1, 2, 3)),
    "a reviewer seals and never shows": ((0, 1, 2, 3), (0, 2, 3)),
    "a void round": ((1,), ()),
    "a round without ballots": ((0, 1, 2), ()),
}


def _mod(context: Context) -> PeerConsensusMod:
    return Liar() if context.node_config["partition-id"] == 1 else peer_consensus_mod


@pytest.mark.parametrize("name", HONEST)
def test_nobody_is_accused(name: str, tmp_path: Path) -> None:
    options = {"rounds": 1, **HONEST[name]()}
    audit = audit_run(play(tmp_path / "run", **options))
    assert audit.holds, [finding.words() for finding in audit.findings]
    closed = {round_.chain_round for round_ in audit.rounds if round_.closed}
    assert audit.recomputed == closed
    assert len(closed) == options["rounds"]
    assert not audit.notes
    first = audit.rounds[0]
    if name in LOST:
        assert (tuple(first.commitments), tuple(first.ballots)) == LOST[name]


def test_what_came_after_the_deadline_is_not_written_down_and_accuses_nobody(
    tmp_path: Path,
) -> None:
    chain = EmbeddedChain(tmp_path / "run" / "chain.jsonl")
    late = iter([True])

    class Late(InProcessGrid):
        def deliver(self, message: Message, context: Context) -> Message | None:
            reply = super().deliver(message, context)
            training = message.metadata.message_type == MessageType.TRAIN
            if training and context.node_config["partition-id"] == 2 and next(late, False):
                chain.wait_until(chain.now() + 3601)
            return reply

    grid = Late(toy.client_app([peer_consensus_mod]), 3)
    audit = audit_run(play(tmp_path / "run", clients=3, rounds=1, grid=grid, chain=chain))
    assert audit.holds, [finding.words() for finding in audit.findings]
    assert len(audit.rounds) == 2
    assert not audit.notes
    assert not audit.rounds[0].commitments


def test_a_run_that_was_broken_off_and_resumed(tmp_path: Path) -> None:
    class Dies(InProcessGrid):
        def deliver(self, message: Message, context: Context) -> Message | None:
            if order(message)[0] == "review" and (tmp_path / "run" / "result.json").exists():
                raise KeyboardInterrupt
            return super().deliver(message, context)

    folder = play(tmp_path / "run", clients=3, rounds=1)
    grid = Dies(toy.client_app([peer_consensus_mod]), 3)
    with pytest.raises(KeyboardInterrupt):
        play(folder, clients=3, rounds=2, grid=grid, resume=True)
    (folder / "result.json").unlink()
    unfinished = audit_run(folder)
    assert unfinished.holds, [finding.words() for finding in unfinished.findings]
    assert unfinished.rounds[-1].closed is None
    audit = audit_run(play(folder, clients=3, rounds=2, grid=grid, resume=True))
    assert audit.holds, [finding.words() for finding in audit.findings]
    assert len(audit.recomputed) == 2


def test_models_that_another_strategy_made_are_noted_and_accuse_nobody(tmp_path: Path) -> None:
    inner = FedAdam(min_available_nodes=3, min_train_nodes=3, fraction_evaluate=0.0)

    class WithFedAdam(PeerConsensus):
        def __init__(self, **options: Any) -> None:
            del options["min_available_nodes"]
            super().__init__(**options, inner=inner)

    folder = play(tmp_path / "run", clients=3, rounds=2, strategy=WithFedAdam)
    audit = audit_run(folder)
    assert audit.holds, [finding.words() for finding in audit.findings]
    assert not audit.recomputed
    assert [note for note in audit.notes if "FedAdam" in note]
    (folder / "model.safetensors").write_bytes(b"")
    assert {str(finding.culprit) for finding in audit_run(folder).findings} == {"keeper"}
