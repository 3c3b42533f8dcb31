"""Who may call what, when: the table in ModelMarketplace.vy, for everybody, in every phase."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import boa
import pytest

from bcfl.market.spec.terms import MarketPhase, deposit, submission_cost
from tests.contracts.market_world import (
    CONDITIONS,
    CONTRIBUTOR,
    GOOD,
    INITIATOR,
    RULES,
    SECRET,
    STRANGER,
    VERIFIERS,
    Person,
    World,
    refuses,
    word,
)

DEPOSIT = deposit(RULES, CONDITIONS)
COST = submission_cost(RULES)


@pytest.fixture
def world() -> Iterator[World]:
    with boa.env.anchor():
        market = World()
        market.launch()
        market.register(*VERIFIERS)
        yield market


WHO = ("initiator", "contributor", "panel", "verifier", "stranger")
#: call: the phase it belongs to, who may, and what others, and other phases, are told
TABLE: dict[str, tuple[MarketPhase, tuple[str, ...], str, str, str]] = {
    "draw": (MarketPhase.DRAW, WHO, "", "no draw is due", "too late to draw"),
    "grant": (
        MarketPhase.GRANT,
        ("initiator",),
        "not the initiator",
        "no grant is due",
        "too late to grant",
    ),
    "share": (
        MarketPhase.SHARE,
        ("contributor",),
        "not the contributor",
        "no keys are due",
        "too late to share",
    ),
    "seal": (
        MarketPhase.SEAL,
        ("panel",),
        "not on the panel",
        "no seal is due",
        "too late to seal",
    ),
    "reveal": (
        MarketPhase.REVEAL,
        ("panel",),
        "not on the panel",
        "no report is due",
        "too late to report",
    ),
    "disclose": (MarketPhase.DISCLOSE, WHO, "", "no key is due", "too late to disclose"),
}


def calls(world: World, submission: bytes, who: Person) -> dict[str, Callable[[], object]]:
    contract, sender = world.contract, who.address
    return {
        "draw": lambda: contract.draw(submission, sender=sender),
        "grant": lambda: contract.grant(submission, word("grant"), sender=sender),
        "share": lambda: contract.share(submission, word("keys"), sender=sender),
        "seal": lambda: world.seal(submission, who, GOOD),
        "reveal": lambda: world.reveal(submission, who, GOOD),
        "disclose": lambda: contract.disclose(submission, SECRET, sender=sender),
        "settle": lambda: contract.settle(submission, sender=sender),
    }


def people(world: World, submission: bytes) -> dict[str, Person]:
    panel = [verifier for verifier in world.panel(submission) if verifier]
    idle = [verifier for verifier in VERIFIERS if verifier not in panel]
    member = panel[0] if panel else VERIFIERS[0]
    return dict(zip(WHO, (INITIATOR, CONTRIBUTOR, member, idle[-1], STRANGER), strict=True))


@pytest.mark.parametrize("late", [False, True], ids=["in time", "late"])
@pytest.mark.parametrize("phase", MarketPhase, ids=lambda phase: phase.name)
def test_who_may_call_what_when(world: World, phase: MarketPhase, late: bool) -> None:
    submission = world.reach(phase)
    deadline = world.state(submission).deadline
    world.travel_to(deadline + late if deadline else world.now, world.block + 5)
    late = late and not phase.is_final and phase is not MarketPhase.NONE
    for role, who in people(world, submission).items():
        for name, call in calls(world, submission, who).items():
            refusal = expected_refusal(name, role, phase, late)
            with boa.env.anchor():
                if refusal:
                    with refuses(refusal):
                        call()
                else:
                    call()


def expected_refusal(call: str, role: str, phase: MarketPhase, late: bool) -> str:
    """What the contract says, empty if it obeys."""
    if call == "settle":
        if phase is MarketPhase.NONE or phase.is_final:
            return "nothing to settle"
        return "" if late else "not due yet"
    due, who, not_you, not_now, too_late = TABLE[call]
    if phase is not due:
        return not_now
    if late:
        return too_late
    return "" if role in who else not_you
