"""Roles that are killed, wherever it hits them, and started again with nothing but their folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.core.errors import NodeUnreachable
from bcfl.market.contract.ledger import MarketLedger
from bcfl.market.roles.contributor import Contributor
from bcfl.market.roles.description import fetch_description, measuring_key
from bcfl.market.roles.history import expect_task
from bcfl.market.roles.initiator import Initiator
from bcfl.market.roles.verifier import Verifier
from bcfl.market.spec.offer import Offer
from bcfl.market.spec.terms import MarketPhase, TaskRules
from tests.market.conftest import Market
from tests.market.roles.world import World

RULES = TaskRules(10**15, 10**13, 700_000, seats=2, quorum=2, redraws=1, members_only=True)
WRITES = {
    "submit",
    "draw",
    "grant",
    "share",
    "seal_report",
    "reveal_report",
    "disclose",
    "withdraw",
}


@pytest.fixture
def chain() -> Iterator[EmbeddedChain]:
    with EmbeddedChain() as chain:
        yield chain


class Mortal:
    """A ledger whose owner dies at the first call of each write: before it is sent, or after."""

    def __init__(self, ledger: MarketLedger, sent: bool, died: set[str]) -> None:
        self._ledger = ledger
        self._sent = sent
        self._died = died

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._ledger, name)
        return self._dying(name, real) if name in WRITES - self._died else real

    def _dying(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self._died.add(name)
            if self._sent:
                real(*arguments, **options)
            raise NodeUnreachable(f"killed in {name}")

        return call


@pytest.mark.parametrize("sent", [False, True], ids=["before sending", "after sending"])
def test_killed_in_every_transaction_a_sale_ends_as_if_nobody_had_been(
    chain: EmbeddedChain, market: Market, tmp_path: Path, sent: bool
) -> None:
    world = World(
        chain, tmp_path, market.verification, rules=RULES, verifiers=(Verifier,) * 2, submissions=2
    )
    died: dict[str, set[str]] = {}

    def reborn(name: str, kind: type[Contributor] | type[Verifier]) -> Any:
        session = world.somebody(name)
        mortal: Any = Mortal(session.ledger, sent, died.setdefault(name, set()))
        return kind(replace(session, ledger=mortal))

    def initiator() -> Initiator:
        session = world.somebody("initiator")
        mortal: Any = Mortal(session.ledger, sent, died.setdefault("initiator", set()))
        return Initiator(replace(session, ledger=mortal), world.task)

    for name, model in (("first", market.models[3]), ("second", market.models[0])):
        submissions = set()
        for _ in range(60):
            chain.wait_until(world.market.now())
            try:
                submissions.add(reborn(name, Contributor).submit(world.task, model))
                initiator().turn()
                reborn(name, Contributor).turn()
                for verifier in world.verifiers:
                    reborn(verifier, Verifier).turn()
            except NodeUnreachable:
                continue
            if world.submitted(next(iter(submissions))).outcome is not None:
                break
        assert len(submissions) == 1  # never a second one for the same model
        assert world.submitted(submissions.pop()).outcome is MarketPhase.PAID
        world.contributors[name] = Contributor(world.somebody(name))
    assert died["first"] >= {"submit", "share", "disclose"}
    assert died["initiator"] >= {"draw", "grant"}
    assert all(died[name] >= {"seal_report", "reveal_report"} for name in world.verifiers)
    assert len(world.initiator.models()) == 2
    assert world.settle_up() == 0


def test_a_model_is_submitted_once_unless_it_is_to_be_submitted_anew(
    chain: EmbeddedChain, market: Market, tmp_path: Path
) -> None:
    world = World(chain, tmp_path, market.verification, rules=RULES)
    first = world.offer("contributor", market.models[3])
    contributor = world.contributors["contributor"]
    assert contributor.submit(world.task, market.models[3]) == first
    # killed and started with the same words once more, it goes on with what is pending
    assert contributor.submit(world.task, market.models[3], anew=True) == first
    world.see_through(first, absent=["contributor"])
    assert contributor.submit(world.task, market.models[3]) == first
    assert contributor.submit(world.task, market.models[3], anew=True) != first
    assert contributor.submit(world.task, market.models[0]) != first


def test_no_file_and_no_blob_of_a_role_holds_a_key(
    chain: EmbeddedChain, market: Market, tmp_path: Path
) -> None:
    world = World(chain, tmp_path, market.verification, rules=RULES)
    submission = world.offer("contributor", market.models[3])
    world.see_through(submission)
    offer = world.contributors["contributor"]

    nonce = Offer.decode(world.store.get(submission, 10**6)).nonce
    keys = offer.keys_of(world.task, nonce)
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) >= 8  # offers, reports and blobs
    description = fetch_description(
        world.store,
        expect_task(world.market, world.task).description,
        world.accounts["initiator"].address,
    )
    measuring = measuring_key(world.accounts["initiator"], description.measuring[0])
    for secret in (keys.shared, keys.secret, measuring):
        assert not any(secret in content or secret.hex().encode() in content for content in written)
