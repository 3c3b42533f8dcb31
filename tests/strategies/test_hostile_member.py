"""One member of five is hostile: the run ends with the other four, and resumes, every time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st

from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.contract.memory import MemoryChain
from bcfl.consensus.member.membership import Membership
from bcfl.consensus.member.mod import peer_consensus_mod
from bcfl.consensus.records import RECORD_KEY, JoinOrder, JoinReply, order_in
from bcfl.consensus.spec.domain import Ballot, Commitment, SignedCommitment
from bcfl.consensus.spec.messages import commitment_message, join_message
from bcfl.consensus.spec.record import RoundRecord
from bcfl.flower.grid import InProcessGrid
from bcfl.keys.accounts import derive_account
from bcfl.strategies import PeerConsensus
from tests import toy

BAD, OTHERS, MEMBERS = 2, {0, 1, 3, 4}, 5
EXAMPLES = 500 if os.environ.get("BCFL_FUZZ") else 6

Bend = Callable[[Message], Message | None]


@pytest.fixture(scope="module", autouse=True)
def chain() -> MemoryChain:
    """One for all tasks that name no other: it lives on when a task stops it."""
    return MemoryChain()


class HostileGrid(InProcessGrid):
    """The replies of one node, by what it was asked, go through ``bends``; some come twice."""

    def __init__(self, bends: dict[str, Bend], *, twice: bool = False) -> None:
        super().__init__(toy.client_app([peer_consensus_mod]), MEMBERS)
        self.bends = bends
        self._twice = twice

    def deliver(self, message: Message, context: Context) -> Message | None:
        kind = str(message.content.config_records.get(RECORD_KEY, {}).get("kind", "evaluate"))
        reply = super().deliver(message, context)
        if context.node_config["partition-id"] == BAD and reply is not None:
            bend = self.bends.get(kind)
            return bend(reply) if bend is not None and reply.has_content() else reply
        return reply

    def pull_messages(self, message_ids: Any) -> Sequence[Message]:
        replies = list(super().pull_messages(message_ids))
        return [*replies, *replies] if self._twice else replies


def play(
    folder: Path, grid: InProcessGrid, rounds: int = 2, *, resume: bool = False, **options: Any
) -> list[RoundRecord]:
    records: list[RoundRecord] = []
    strategy = PeerConsensus(
        run_dir=folder,
        on_round=records.append,
        resume=resume,
        min_available_nodes=MEMBERS,
        gamma=0.5,
        **options,
    )
    strategy.start(grid, toy.initial_arrays(), num_rounds=rounds)
    return records


def expect_the_others(records: list[RoundRecord], rounds: int) -> None:
    assert [record.void for record in records] == [False] * rounds
    for record in records:
        assert set(record.committed) >= OTHERS
        assert set(record.voted) >= OTHERS


def fields(**changes: Any) -> Bend:
    def bend(reply: Message) -> Message:
        reply.content.config_records[RECORD_KEY].update(changes)
        return reply

    return bend


def metrics(**values: Any) -> Bend:
    def bend(reply: Message) -> Message:
        found = {name.replace("_examples", "-examples"): value for name, value in values.items()}
        reply.content["metrics"] = MetricRecord(found)
        return reply

    return bend


def more(**records: Any) -> Bend:
    def bend(reply: Message) -> Message:
        for name, record in records.items():
            reply.content[name] = record
        return reply

    return bend


LOSS = {"eval_loss": 1.0, "eval_acc": 1.0}
BENDS: dict[str, tuple[str, Bend]] = {
    "negative weight in training": ("round", metrics(train_loss=0.0, num_examples=-240)),
    "zero weight in training": ("round", metrics(train_loss=0.0, num_examples=0)),
    "list as a weight in training": ("round", metrics(train_loss=0.0, num_examples=[1, 2])),
    "another key in training": ("round", metrics(boo=0.0, num_examples=60)),
    "a list in training": ("round", metrics(train_loss=[0.0, 1.0], num_examples=60)),
    "not a number in training": ("round", metrics(train_loss=float("nan"), num_examples=60)),
    "more metrics in training": ("round", more(more=MetricRecord({"x": 1}))),
    "several arrays in training": ("round", more(a=ArrayRecord([np.ones(3)]), b=ArrayRecord())),
    "a long blob": ("round", fields(blob=bytes(200_000))),
    "an odd locator": ("round", fields(locator="../../etc/passwd", blob=b"")),
    "odd entries": ("review", fields(entries=b"\xff" * 7)),
    "an unknown member": ("review", fields(entries=Ballot.from_values(1, {99: 1}).encode())),
    "odd rejections": ("review", fields(rejected=[-5, 10**12], reasons=["a" * 100_000])),
    "a salt of an open ballot": ("review", fields(salt=b"1" * 32)),
    "a seal of an open ballot": ("review", fields(seal=b"1" * 32)),
    "list as a weight": ("evaluate", metrics(**LOSS, num_examples=[1])),
    "negative weight": ("evaluate", metrics(**LOSS, num_examples=-240)),
    "zero weight": ("evaluate", metrics(**LOSS, num_examples=0)),
    "other keys": ("evaluate", metrics(boo=1.0, num_examples=60)),
    "a key more": ("evaluate", metrics(**LOSS, boo=1.0, num_examples=60)),
    "no weight": ("evaluate", metrics(**LOSS)),
    "more metrics": ("evaluate", more(more=MetricRecord({"x": 1}))),
    "an address that is none": ("join", fields(address="nobody")),
    "an odd partition": ("join", fields(partition=-7)),
    "a partition of another": ("join", fields(partition=1)),
}


@pytest.mark.parametrize("name", BENDS)
def test_no_reply_of_one_member_ends_the_run(tmp_path: Path, chain: MemoryChain, name: str) -> None:
    kind, bend = BENDS[name]
    records = play(tmp_path, HostileGrid({kind: bend}), 1, chain=chain)
    (expect_the_others if kind != "join" else expect_four)(records, 1)


def test_a_salt_with_an_open_ballot_is_no_ballot_and_every_resume_goes_on(tmp_path: Path) -> None:
    grid = HostileGrid({"review": fields(salt=b"1" * 32)})
    expect_the_others(play(tmp_path, grid, 1), 1)
    strategy = PeerConsensus(run_dir=tmp_path)
    ballots = [e["member"] for e in strategy.folder.journal if e["kind"] == "ballot"]
    assert sorted(ballots) == sorted(OTHERS)
    expect_the_others(play(tmp_path, grid, 2, resume=True), 2)
    expect_the_others(play(tmp_path, HostileGrid({}), 3, resume=True), 3)


def test_a_salt_that_is_anothers_costs_its_author_the_ballot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Membership._salt

    def salt(self: Membership) -> bytes:
        found = real(self)
        return found if self.index != BAD else found[:-1] + bytes([99])

    monkeypatch.setattr(Membership, "_salt", salt)
    (record,) = play(tmp_path, HostileGrid({}), 1, ballots="sealed")
    assert set(record.voted) == OTHERS
    assert "ends in its author's index" in record.left_out[BAD]


def test_an_equivocation_mined_just_before_the_batch_costs_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Ledger.commit

    def commit(self: Ledger, commitments: Sequence[SignedCommitment]) -> Any:
        state, account = self.state(), derive_account(0, "member", BAD)
        said = [
            Commitment(state.round, state.model, bytes([i]) * 32, state.opened_at) for i in (1, 2)
        ]
        one, other = (
            SignedCommitment(BAD, each, account.sign(commitment_message(self.domain, each)))
            for each in said
        )
        if not state.equivocators >> BAD & 1:
            self.prove_equivocation(one, other)
        return real(self, commitments)

    monkeypatch.setattr(Ledger, "commit", commit)
    strategies: list[PeerConsensus] = []
    first, second = play_keeping(tmp_path, strategies)
    assert set(first.committed) == set(second.committed) == OTHERS
    assert first.left_out[BAD] == "refused by the contract: NOT_A_MEMBER"
    assert [e for e in strategies[0].folder.journal if e["member"] == BAD]
    again, _, third = play(tmp_path, HostileGrid({}), 3, resume=True)
    assert again.left_out[BAD] == first.left_out[BAD]  # as the chain tells it
    assert set(third.committed) == OTHERS


def play_keeping(folder: Path, strategies: list[PeerConsensus]) -> list[RoundRecord]:
    records: list[RoundRecord] = []
    strategy = PeerConsensus(
        run_dir=folder, on_round=records.append, min_available_nodes=MEMBERS, gamma=0.5
    )
    strategies.append(strategy)
    strategy.start(HostileGrid({}), toy.initial_arrays(), num_rounds=2)
    return records


class SecondNode(InProcessGrid):
    """Node ``BAD`` proves another member's address, written in lower case."""

    def deliver(self, message: Message, context: Context) -> Message | None:
        order = order_in(message.content)
        if isinstance(order, JoinOrder) and context.node_config["partition-id"] == BAD:
            account = derive_account(0, "member", 1)
            signature = account.sign(join_message(order.chain_id, order.challenge))
            reply = JoinReply(account.address.lower(), signature, BAD)
            return Message(RecordDict({RECORD_KEY: reply.to_record()}), reply_to=message)
        return super().deliver(message, context)


def test_one_key_at_two_nodes_is_one_member(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", logger="flwr")  # whatever a run before has made of it
    grid = SecondNode(toy.client_app([peer_consensus_mod]), MEMBERS)
    (record,) = play(tmp_path, grid, 1)
    assert record.committed == record.voted == (0, 1, 2, 3)
    assert "is at another node already" in caplog.text


numbers = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.lists(st.floats(), max_size=3),
    st.lists(st.integers(-5, 5), min_size=1, max_size=3),
)
values = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.booleans(),
    st.text(max_size=80),
    st.binary(max_size=80),
    st.just(bytes(3_000)),
    st.lists(st.integers(-300, 300), max_size=200),
    st.lists(st.text(max_size=5), max_size=4),
    st.lists(st.binary(max_size=5), max_size=4),
)
NAMES = [
    *("kind", "address", "signature", "partition", "fetches", "digest", "timestamp", "transaction"),
    *("blob", "locator", "entries", "salt", "seal", "rejected", "reasons", "reason", "surprise"),
]


@st.composite
def bends(draw: st.DrawFn) -> Bend:
    what = draw(
        st.sampled_from(
            ["fields", "fields", "drop", "metrics", "empty", "error", "lost", "more", "stale"]
        )
    )
    changes = draw(st.dictionaries(st.sampled_from(NAMES), values, min_size=1, max_size=3))
    reported = draw(
        st.dictionaries(
            st.sampled_from(["num-examples", "train_loss", "eval_loss", "eval_acc", "x" * 200]),
            numbers,
            max_size=5,
        )
    )

    first: list[RecordDict] = []

    def bend(reply: Message) -> Message | None:
        content = reply.content
        first.append(content)
        match what:
            case "stale":
                reply.content = first[0]
            case "fields":
                content.config_records.setdefault(RECORD_KEY, ConfigRecord()).update(changes)
            case "drop":
                for name in changes:
                    content.config_records.get(RECORD_KEY, ConfigRecord()).pop(name, None)
            case "metrics":
                content["metrics"] = MetricRecord(reported)
            case "more":
                content["more"] = MetricRecord(reported)
                content["arrays"] = ArrayRecord([np.full(3, np.nan)])
            case "empty":
                reply.content = RecordDict()
            case "lost":
                return None
            case "error":
                reply.__dict__["_content"] = None
                reply.__dict__["_error"] = Error(7, "why" * 10_000)
        return reply

    return bend


KINDS = ("join", "round", "review", "evaluate", "receipt")
attacks = st.dictionaries(st.sampled_from(KINDS), bends(), min_size=1, max_size=3)


@settings(max_examples=EXAMPLES)
@given(
    attacks=attacks,
    twice=st.booleans(),
    ballots=st.sampled_from(["open", "sealed"]),
    replayed=st.sampled_from([False, False, False, True]),  # the chain, when the run resumes
)
def test_whatever_one_member_replies_the_run_ends_with_the_others_and_resumes(
    chain: MemoryChain, attacks: dict[str, Bend], twice: bool, ballots: str, replayed: bool
) -> None:
    where = None if replayed else chain
    with TemporaryDirectory() as folder:
        grid = HostileGrid(attacks, twice=twice)
        expect_four(play(Path(folder), grid, 1, chain=where, ballots=ballots), 1)
        records = play(Path(folder), grid, 2, chain=where, resume=True)
        expect_four(records, 2)


def expect_four(records: list[RoundRecord], rounds: int) -> None:
    """Who joins later has another index: of five, four take part."""
    assert [record.void for record in records] == [False] * rounds
    for record in records:
        assert len(record.committed) >= len(OTHERS)
        assert len(record.voted) >= len(OTHERS)
