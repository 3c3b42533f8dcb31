"""The chain against the rules: every event, every transaction, every wei."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

from bcfl.audit.findings import CHAIN, Finding
from bcfl.audit.market.evidence import Evidence, place_of
from bcfl.audit.market.machine import Machine
from bcfl.audit.market.state import Impossible
from bcfl.chain.calldata import Selectors, Sent, decode_input, selectors_of
from bcfl.chain.event import Event
from bcfl.contracts import artifact
from bcfl.market.contract import events as logged
from bcfl.market.contract.words import words
from bcfl.market.spec.report import Report, seal
from bcfl.market.spec.terms import MarketAccount, MarketPhase, deposit

Note = Callable[[str], None]

#: By event: the function that logs it first, whom it names as its sender, and its arguments.
_CALLS: Final[dict[type[Event], tuple[str, str, Callable[[Any], tuple[Any, ...]]]]] = {
    logged.Launched: (
        "launch",
        "initiator",
        lambda e: (e.description, words(e.rules), words(e.conditions)),
    ),
    logged.Collected: ("collect", "", lambda e: (e.task,)),
    logged.Registered: ("register", "verifier", lambda e: (e.public_key,)),
    logged.Entered: ("enter", "verifier", lambda e: (e.task,)),
    logged.Left: ("leave", "verifier", lambda e: (e.task,)),
    logged.Submitted: (
        "submit",
        "contributor",
        lambda e: (e.task, e.submission, e.key_commitment),
    ),
    logged.Drawn: ("draw", "", lambda e: (e.submission,)),
    logged.Granted: ("grant", "", lambda e: (e.submission, e.opening)),
    logged.Shared: ("share", "", lambda e: (e.submission, e.keys)),
    logged.ReportSealed: ("seal", "verifier", lambda e: (e.submission, e.seal)),
    logged.Reported: (
        "reveal",
        "verifier",
        lambda e: (e.submission, e.fitness, int(e.reason)),
    ),
    logged.Disclosed: ("disclose", "", lambda e: (e.submission, e.key)),
    logged.Withdrawn: ("withdraw", "owner", lambda _: ()),
}


def replay(evidence: Evidence) -> tuple[Machine, Finding | None]:
    """The market once more, from its events; the first that its code cannot have logged."""
    machine = Machine(evidence.least_bond, evidence.draw_delay, evidence.hashes)
    try:
        machine.replay(evidence.events)
    except Impossible as found:
        return machine, Finding("events", CHAIN, None, found.expected, found.found)
    return machine, None


def check_transactions(evidence: Evidence, machine: Machine, note: Note) -> Iterator[Finding]:
    """Every event is what its transaction asked for, from whom it says, with what it deposits."""
    seals = {
        (event.submission, event.verifier): event.seal
        for event in evidence.events
        if isinstance(event, logged.ReportSealed)
    }
    for event in evidence.events:
        sent = evidence.sent.get(event.transaction)
        place = _place(event)
        if sent is None:
            found = f"no transaction {event.transaction}"
            yield Finding("sender", CHAIN, None, f"a transaction of {_name(event)}", found, place)
            continue
        if (call := _CALLS.get(type(event))) is None:
            continue
        if sent.to.lower() != evidence.market.lower():
            note(
                f"{_name(event)}: transaction {event.transaction} reached the market through "
                "another contract; what was asked for in it is not seen"
            )
            continue
        function, arguments = decode_input(_selectors(), sent.data)
        wanted = (call[0], *call[2](event))
        # a report's salt is not in its event
        if (function, *arguments[: len(wanted) - 1]) != wanted:
            said = f"{function}{arguments}"[:200]
            yield Finding("call", CHAIN, None, f"{wanted}"[:200], said, place)
            continue
        yield from _check_sender(event, sent, machine, place)
        if isinstance(event, logged.Reported):
            report = Report(event.fitness, event.reason)
            promised = seals.get((event.submission, event.verifier), b"")
            right = seal(event.submission, event.verifier, report, arguments[-1])
            if right != promised:
                yield Finding("seal", CHAIN, None, promised.hex(), right.hex(), place)


def _check_sender(event: Event, sent: Sent, machine: Machine, place: str) -> Iterator[Finding]:
    match event:
        case logged.Granted():
            who = machine.submissions[event.submission].task.launched.initiator
        case logged.Shared():
            who = machine.submissions[event.submission].submitted.contributor
        case _:
            who = getattr(event, _CALLS[type(event)][1]) if _CALLS[type(event)][1] else sent.sender
    if sent.sender != who:
        expected = f"{_name(event)} in a transaction of {who}"
        yield Finding("sender", CHAIN, None, expected, f"one of {sent.sender}", place)
    match event:
        case logged.Launched():
            value = deposit(event.rules, event.conditions)
        case logged.Submitted():
            value = machine.submissions[event.submission].task.launched.conditions.stake
        case logged.Entered():
            value = event.bond
        case _:
            value = 0
    if sent.value != value:
        expected = f"{value} wei with {_name(event)}"
        yield Finding("deposit", CHAIN, None, expected, f"{sent.value} wei", place)


def check_views(evidence: Evidence, machine: Machine, note: Note) -> Iterator[Finding]:
    """What the contract says of itself follows from its events, or some are missing."""
    views = evidence.views

    def differs(
        what: str, by_events: object, by_contract: object, place: str = ""
    ) -> Iterator[Finding]:
        if by_events != by_contract:
            found = f"{by_contract} by its own word"[:400]
            expected = f"{what} {by_events} by its events"[:400]
            yield Finding("views", CHAIN, None, expected, found, place)

    yield from differs("tasks", sorted(machine.tasks), sorted(views.tasks))
    for digest, state in machine.submissions.items():
        machine.current(state, views.now)
        view = views.submissions.get(digest)
        if view is None:
            yield from differs("a submission", digest.hex(), None, place_of(digest))
            continue
        if view.phase is MarketPhase.REVEAL and state.phase < MarketPhase.SEAL:
            machine.abandoned(state)
        mine = (
            state.submitted.task, state.submitted.contributor, state.submitted.key_commitment,
            tuple(state.panel), state.reserved, state.phase, state.cause, state.redraws,
            state.sealed, state.revealed, state.above, state.junk, state.ungranted,
        )  # fmt: skip
        theirs = (
            view.task, view.contributor, view.key_commitment,
            view.panel, view.reserved, view.phase, view.cause, view.redraws,
            view.sealed, view.revealed, view.above, view.junk, view.ungranted,
        )  # fmt: skip
        yield from differs("state", mine, theirs, place_of(digest))
    for number, task in machine.tasks.items():
        yield from differs(f"task {number}", task.task(), views.tasks.get(number))
        yield from differs(f"bond of task {number}", task.bond, views.bonds.get(number))
    for who, account in views.accounts.items():
        mine_ = MarketAccount(machine.credits[who], machine.numbers.get(who, 0))
        yield from differs(f"account of {who}", mine_, account)
    yield from _check_balance(evidence, machine, note)


def _check_balance(evidence: Evidence, machine: Machine, note: Note) -> Iterator[Finding]:
    """Money adds up, to the wei."""
    through = machine.paid_in - machine.paid_out - machine.burnt
    assert through == machine.held, "what comes in is free, set aside, owed, paid out or burnt"
    more = evidence.views.balance - through
    if more < 0:
        expected = f"{through} wei on the contract"
        yield Finding("money", CHAIN, None, expected, f"{evidence.views.balance} wei")
    elif more:
        note(f"{more} wei were forced upon the contract without a call: they are nobody's")


def _name(event: Event) -> str:
    return type(event).__name__


def _place(event: Event) -> str:
    digest = getattr(event, "submission", None)
    return place_of(digest) if isinstance(digest, bytes) else ""


@cache
def _selectors() -> Selectors:
    return selectors_of(artifact("ModelMarketplace"))
