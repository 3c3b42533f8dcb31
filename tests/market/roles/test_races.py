"""Others act between what a role has read and what it does: nobody is wronged by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.core.errors import BlobMissing, ContractReverted
from bcfl.market.contract.ledger import MarketLedger
from bcfl.market.roles import examination
from bcfl.market.roles.history import state_of
from bcfl.market.roles.initiator import Initiator
from bcfl.market.roles.turn import Pending
from bcfl.market.roles.verifier import Verifier
from bcfl.market.spec.report import Reason
from bcfl.market.spec.terms import MarketPhase, TaskRules
from tests.market.conftest import Market
from tests.market.roles.world import World

RULES = TaskRules(10**15, 10**13, 700_000, seats=2, quorum=2, redraws=1)


@pytest.fixture
def world(market: Market, tmp_path: Path) -> Iterator[World]:
    with EmbeddedChain() as chain:
        yield World(chain, tmp_path, market.verification, rules=RULES, verifiers=(Verifier,) * 2)


class Slow:
    """A ledger on which something happens right after the events have been read."""

    def __init__(self, ledger: MarketLedger, happens: Callable[[], object]) -> None:
        self._ledger = ledger
        self._happens: list[Callable[[], object]] = [happens]

    def events(self) -> Any:
        found = self._ledger.events()
        while self._happens:
            self._happens.pop()()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)


def test_keys_that_are_shared_while_a_verifier_looks_are_found(
    world: World, market: Market
) -> None:
    submission = world.offer("contributor", market.models[3])
    world.see_through(submission, until=MarketPhase.SHARE)
    name = world.seated(submission)[0]
    session = world.somebody(name)
    slow: Any = Slow(session.ledger, world.contributors["contributor"].turn)
    verifier = Verifier(replace(session, ledger=slow))
    assert verifier.turn().actions  # it sealed what it found, in this very turn
    submitted = world.see_through(submission)
    assert submitted.reports[session.account.address].reason is Reason.MEASURED
    assert submitted.outcome is MarketPhase.PAID


def test_a_panel_that_is_drawn_while_the_initiator_looks_is_granted(
    world: World, market: Market
) -> None:
    submission = world.offer("contributor", market.models[3])
    session = world.somebody("initiator")
    slow: Any = Slow(session.ledger, lambda: session.ledger.draw(submission))
    turn = Initiator(replace(session, ledger=slow), world.task).turn()
    assert "opened to the panel" in turn.actions[0]
    assert world.see_through(submission).outcome is MarketPhase.PAID


def test_who_is_second_or_late_goes_on_and_who_is_refused_says_so(
    world: World, market: Market
) -> None:
    submission = world.offer("contributor", market.models[3])
    world.see_through(submission, until=MarketPhase.SHARE)
    ledger = world.somebody("contributor").ledger
    keys = world.store.put(b"keys")

    def twice(submission: bytes) -> None:
        ledger.share(submission, keys)
        ledger.share(submission, keys)

    def pending() -> Pending:
        submitted = world.submitted(submission)
        return Pending(world.market, submitted, state_of(ledger, submitted))

    assert pending().attempt("shared", twice) == ""
    with pytest.raises(ContractReverted, match="no keys are due"):
        pending().attempt("shared", ledger.share, keys)
    deadline = pending().found.deadline
    judge = world.somebody(world.seated(submission)[0]).ledger

    def late(submission: bytes) -> None:
        world.chain.wait_until(deadline)
        judge.seal_report(submission, bytes([1]) * 32)

    assert pending().attempt("sealed", late) == ""


def test_a_bought_model_that_is_late_is_waited_for_and_then_counts_as_none(
    world: World, market: Market
) -> None:
    first = world.see_through(world.offer("first", market.models[3])).digest
    second = world.offer("second", market.models[0])
    world.see_through(second, until=MarketPhase.SEAL)
    name = world.seated(second)[0]
    session = world.somebody(name)

    class Without:
        """The store, without the first model's offer."""

        def get(self, digest: bytes, max_bytes: int) -> bytes:
            if digest == first:
                raise BlobMissing("not here yet")
            return world.store.get(digest, max_bytes)

    store: Any = Without()
    verifier = Verifier(replace(session, store=store, folder=world.folder / f"new {name}"))
    turn = verifier.turn()
    deadline = state_of(session.ledger, world.submitted(second)).deadline
    assert (turn.actions, turn.wake) == ((), deadline - 400)  # half of the report window
    assert turn.troubles[0].startswith("not here yet")
    world.chain.wait_until(deadline - 400)
    assert verifier.turn().actions[0].startswith("sealed its report")


def test_a_model_that_breaks_the_machinery_is_a_report_and_no_end_of_the_verifier(
    world: World, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(examination, "judge", judge)
    submitted = world.see_through(world.offer("contributor", market.models[3]))
    assert submitted.outcome is MarketPhase.REJECTED
    assert {report.reason for report in submitted.reports.values()} == {Reason.MEASURED}


def test_a_folder_may_serve_another_market(market: Market, tmp_path: Path) -> None:
    with EmbeddedChain() as chain:
        found = []
        for _ in range(2):
            world = World(chain, tmp_path, market.verification, rules=RULES)
            found.append(world.offer("contributor", market.models[3]))
            assert world.see_through(found[-1]).outcome is MarketPhase.PAID
        assert found[0] != found[1]
