"""Whatever an initiator, a contributor or a thief comes up with: verifiers report, and go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.core.errors import NodeUnreachable, ProtocolError, StoreUnreachable
from bcfl.core.model import encode_model
from bcfl.keys.accounts import derive_account
from bcfl.keys.sealing import encrypt_model, seal_for, secret_commitment
from bcfl.market.contract.ledger import MarketLedger
from bcfl.market.federation.record import describe_round
from bcfl.market.judging.fitness import FitnessRules
from bcfl.market.models.architectures import mlp
from bcfl.market.models.build import build_module, export_model
from bcfl.market.roles.assessment import Assessment
from bcfl.market.roles.contributor import Contributor
from bcfl.market.roles.description import (
    fetch_description,
    measuring_key,
    publish_description,
)
from bcfl.market.roles.examination import Examiner
from bcfl.market.roles.history import MarketHistory, SubmissionLog, state_of
from bcfl.market.roles.opening import address_bytes
from bcfl.market.roles.pieces import put_pieces
from bcfl.market.roles.run_role import run_role
from bcfl.market.roles.turn import Turn
from bcfl.market.roles.verifier import Verifier
from bcfl.market.spec.model_blob import encode_model_blob
from bcfl.market.spec.offer import ModelKeys, Offer, decode_grant, encode_grant
from bcfl.market.spec.report import Reason
from bcfl.market.spec.terms import MarketPhase, TaskRules
from bcfl.store.local import LocalStore
from tests.market.conftest import Market
from tests.market.roles.world import World

RULES = TaskRules(10**15, 10**13, 700_000, seats=2, quorum=2, redraws=1)
JUDGE, SELLER = derive_account(0, "judge", 0), derive_account(0, "seller", 0)
BUYER = derive_account(0, "initiator", 0)
KEYS = ModelKeys(bytes(32), bytes([1]) * 32)
Edit = Callable[[dict[str, Any], LocalStore], None]


@pytest.fixture
def chain() -> Iterator[EmbeddedChain]:
    with EmbeddedChain() as chain:
        yield chain


def told(store: LocalStore, market: Market, edit: Edit) -> tuple[MarketHistory, SubmissionLog]:
    """A history without a chain: one task, whose description was edited, and a good model."""
    digest = publish_description(store, "x", BUYER, market.verification, FitnessRules())
    sealed_set = fetch_description(store, digest, BUYER.address).measuring[0]
    description = json.loads(store.get(digest, 10**6))
    edit(description, store)
    author = address_bytes(SELLER.address)
    sealed = encrypt_model(encode_model_blob(market.models[3], author), KEYS.shared, KEYS.secret)
    offer = Offer(author, bytes(16), KEYS.shared, len(sealed), put_pieces(store, sealed))
    submitted = SubmissionLog(
        store.put(offer.encode()), 1, 1, SELLER.address, secret_commitment(KEYS.secret), ()
    )
    submitted.keys = store.put(seal_for(KEYS.encode(), [JUDGE.public_key]))
    submitted.opening = grant(store, {sealed_set.digest: measuring_key(BUYER, sealed_set)})
    launched: Any = SimpleNamespace(
        description=store.put(json.dumps(description).encode()),
        initiator=BUYER.address,
        rules=SimpleNamespace(members_only=False),
    )
    history = MarketHistory({1: launched}, {submitted.digest: submitted}, {1: []}, {}, {1: set()})
    return history, submitted


def grant(store: LocalStore, opening: dict[bytes, bytes]) -> bytes:
    return store.put(seal_for(encode_grant(opening), [JUDGE.public_key]))


def granted(store: LocalStore, market: Market) -> tuple[MarketHistory, bytes]:
    """As ``told``, and what opens the measuring set."""
    history, submitted = told(store, market, lambda d, s: None)
    assert submitted.opening is not None
    opening = decode_grant(JUDGE.unseal(store.get(submitted.opening, 10**6)))
    return history, next(iter(opening.values()))


def published(arrays: dict[str, Any], description: dict[str, Any], store: LocalStore) -> None:
    blob = encode_model(arrays)
    pieces = [digest.hex() for digest in put_pieces(store, blob)]
    description |= {"fusion_part": pieces, "fusion_part_bytes": len(blob)}


def without_a_row(description: dict[str, Any], store: LocalStore) -> None:
    arrays = {"samples": np.array(1.0, np.float32), "labels": np.array(1)}
    published(arrays, description, store)
    description["input_shape"] = []


def too_many(description: dict[str, Any], store: LocalStore) -> None:
    count = 60_000
    samples = np.zeros((count, *description["input_shape"]), np.float32)
    published({"samples": samples, "labels": np.arange(count) % 10}, description, store)


HOSTILE: dict[str, Edit] = {
    "a key that is no point": lambda d, _: d.update(initiator_key="05" * 64),
    "a key of somebody else": lambda d, _: d.update(initiator_key=SELLER.public_key.hex()),
    "no measuring set": lambda d, _: d.update(measuring=[]),
    "a measuring set of another digest": lambda d, _: d["measuring"][0].update(digest="05" * 32),
    "a measuring set that is cut": lambda d, _: d["measuring"][0].update(size_bytes=9),
    "a classless task": lambda d, _: d.update(classes=1),
    "labels that are no row": without_a_row,
    "more samples than anybody can bear": too_many,
}


@pytest.mark.parametrize("edit", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_description_keeps_a_verifier_from_reporting(
    market: Market, tmp_path: Path, edit: Edit
) -> None:
    store = LocalStore(tmp_path)
    examiner = Examiner(store, JUDGE)
    honest = examiner.examine(*told(store, market, lambda d, s: None), patient=True)
    assert honest.report.reason is Reason.MEASURED
    found = examiner.examine(*told(store, market, edit), patient=True)
    assert found.report.reason is Reason.UNGRANTED, found.finding


@pytest.mark.parametrize(
    "opening",
    [
        lambda store, digest: grant(store, {digest: bytes(32)}),
        lambda store, digest: grant(store, {bytes(32): bytes(32)}),
        lambda store, digest: store.put(b"no grant"),
        lambda store, digest: store.put(seal_for(b"", [SELLER.public_key])),
        lambda store, digest: bytes(32),
        lambda store, digest: None,
    ],
    ids=["another key", "another set", "nonsense", "for others", "nowhere", "not heard of"],
)
def test_whatever_is_wrong_with_a_grant_is_not_the_contributor_s_fault(
    market: Market, tmp_path: Path, opening: Callable[[LocalStore, bytes], bytes | None]
) -> None:
    store = LocalStore(tmp_path)
    history, submitted = told(store, market, lambda d, s: None)
    description = json.loads(store.get(history.launched[1].description, 10**6))
    submitted.opening = opening(store, bytes.fromhex(description["measuring"][0]["digest"]))
    found = Examiner(store, JUDGE).examine(history, submitted, patient=False)
    assert found.report.reason is Reason.UNGRANTED, found.finding
    assert not found.report.reason.is_junk


def test_a_bought_model_that_does_not_join_counts_as_none(market: Market, tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    history, key = granted(store, market)
    architecture = mlp(market.images.shape, 7)  # the task has ten classes
    foreign = export_model(build_module(architecture, seed=0), architecture)
    assessment = Assessment(store)
    models = [(b"1" * 32, foreign), (b"2" * 32, market.models[3])]
    verification = assessment.verification(history, 1, 1, key)
    fused = assessment.fuse(history, 1, models, verification)
    assert fused.models == (market.models[3],)
    assert assessment.fuse(history, 1, models, verification) is fused  # and is remembered so


def test_what_is_remembered_of_tasks_is_bounded(market: Market, tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assessment = Assessment(store)
    tasks = [
        told(store, market, lambda d, s, n=number: d.update(name=str(n)))[0] for number in range(9)
    ]
    _, key = granted(store, market)
    sets = [assessment.verification(history, 1, 1, key) for history in tasks]
    assert assessment.verification(tasks[-1], 1, 1, key) is sets[-1]
    assert assessment.verification(tasks[0], 1, 1, key) is not sets[0]


def test_one_bought_model_that_nobody_has_any_more_costs_the_initiator_no_other(
    chain: EmbeddedChain, market: Market, tmp_path: Path
) -> None:
    rules = TaskRules(10**15, 10**13, 700_000, 2, 2, 1, members_only=True)
    world = World(chain, tmp_path, market.verification, rules=rules, verifiers=(Verifier,) * 2)
    first = world.see_through(world.offer("first", market.models[3])).digest
    world.store._path(first).unlink()
    second = world.see_through(world.offer("second", market.models[0]))
    assert second.outcome is MarketPhase.PAID  # it was granted all the same
    assert [digest for digest, _ in world.initiator.models()] == [second.digest]
    assert list(world.initiator.lost) == [first]
    assert len(world.initiator.fused().models) == 1


def test_a_contributor_is_paid_although_the_store_has_lost_its_offer(
    chain: EmbeddedChain, market: Market, tmp_path: Path
) -> None:
    world = World(chain, tmp_path, market.verification, rules=RULES, verifiers=(Verifier,) * 2)
    submission = world.offer("contributor", market.models[3])
    world.see_through(submission, until=MarketPhase.DISCLOSE)
    world.store._path(submission).unlink()
    assert world.see_through(submission).outcome is MarketPhase.PAID


class Watched:
    """A ledger whose transactions a thief sees first, so many times."""

    def __init__(self, ledger: MarketLedger, thief: MarketLedger, times: int) -> None:
        self._ledger = ledger
        self._thief = thief
        self._times = times

    def submit(self, *offer: Any, most_wei: int) -> Any:
        if self._times:
            self._times -= 1
            self._thief.submit(*offer, most_wei=most_wei)
        return self._ledger.submit(*offer, most_wei=most_wei)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)


def test_a_digest_that_a_thief_submits_first_is_given_up_and_the_model_sealed_anew(
    chain: EmbeddedChain, market: Market, tmp_path: Path
) -> None:
    world = World(chain, tmp_path, market.verification, rules=RULES, submissions=9)
    thief = world.somebody("thief").ledger

    def submit(name: str, times: int) -> str:
        session = world.somebody(name)
        watched: Any = Watched(session.ledger, thief, times)
        contributor = Contributor(replace(session, ledger=watched))
        submission = contributor.submit(world.task, market.models[3])
        assert contributor.submit(world.task, market.models[3]) == submission
        return state_of(world.market, world.submitted(submission)).contributor

    assert submit("contributor", 1) == world.accounts["contributor"].address
    with pytest.raises(ProtocolError, match="3 times somebody else submitted"):
        submit("other", 9)


def test_a_submission_that_makes_trouble_keeps_a_verifier_from_no_other(
    chain: EmbeddedChain, market: Market, tmp_path: Path
) -> None:
    world = World(chain, tmp_path, market.verification, rules=RULES, verifiers=(Verifier,) * 2)
    names = ("first", "second")
    offers = [world.offer(n, market.models[i]) for n, i in zip(names, (3, 0), strict=True)]
    for submission in offers:
        world.see_through(submission, until=MarketPhase.SEAL, absent=world.verifiers)

    class Flaky:
        def get(self, digest: bytes, max_bytes: int) -> bytes:
            if digest == offers[0]:
                raise StoreUnreachable("gone")
            return world.store.get(digest, max_bytes)

    session = world.somebody("verifier 0")
    store: Any = Flaky()
    turn = Verifier(replace(session, store=store, folder=tmp_path / "flaky")).turn()
    assert [action.split(":")[0] for action in turn.actions] == ["sealed its report"]
    assert turn.troubles == (f"gone ({offers[0].hex()[:8]})",)
    assert turn.wake is not None


def test_a_node_that_goes_away_is_waited_for() -> None:
    lines: list[str] = []
    turns = iter([None, None, Turn(actions=("did it",)), Turn(finished=True)])

    class Role:
        def turn(self) -> Turn:
            if (turn := next(turns)) is None:
                raise NodeUnreachable("nobody answers.")
            return turn

    waited: list[float] = []
    nothing: Any = None
    run_role(Role(), nothing, lines.append, pause=waited.append)
    assert lines == ["nobody answers. Trying again.", "did it"]
    assert len(waited) == 2


def test_a_role_in_trouble_makes_a_quiet_chain_move_on_and_keeps_no_processor_busy() -> None:
    turns = iter([Turn(wake=5, troubles=("a",)), Turn(wake=7), Turn(finished=True)])
    done: list[tuple[str, float]] = []
    role: Any = SimpleNamespace(turn=lambda: next(turns))
    chain: Any = SimpleNamespace(wait_until=lambda time: done.append(("wait", time)))
    run_role(
        role, chain, lambda _: None, pause=lambda s: done.append(("pause", s)), clock=lambda: 9
    )
    assert done == [("wait", 5), ("pause", 2.0), ("wait", 7)]


def test_a_round_in_which_a_stranger_verified_is_described() -> None:
    report: Any = SimpleNamespace(fitness=500_000, reason=Reason.MEASURED)
    submitted = SubmissionLog(bytes(32), 1, 1, SELLER.address, bytes(32), ())
    submitted.reports["0xstranger"] = report
    submitted.reports[JUDGE.address] = report
    submitted.outcome = MarketPhase.REJECTED
    market: Any = SimpleNamespace(
        ledger=SimpleNamespace(events=list),
        nodes=[SELLER.address, JUDGE.address],
        size_of=lambda submitted: 0,
    )
    record = describe_round(1, market, submitted, models=0, seconds={})
    assert record.fitness == {1: 0.5}
    assert record.reasons == {1: "measured"}
