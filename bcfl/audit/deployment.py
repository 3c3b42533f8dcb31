"""How the contract began, and who opened and closed its rounds."""

from __future__ import annotations

from collections.abc import Iterator

from bcfl.audit.evidence import Evidence
from bcfl.audit.findings import CHAIN, SERVER, Finding
from bcfl.audit.history import History
from bcfl.chain.event import Event
from bcfl.consensus.contract.calldata import Deployment
from bcfl.consensus.contract.events import Closed, MemberJoined, MemberLeft, Opened, RoundEvent


def check_coordinator(evidence: Evidence) -> Iterator[Finding]:
    """Rounds are opened and closed, and members put in and out, by the coordinator alone."""
    terms = evidence.terms
    own: tuple[type[Event], ...] = (Opened, Closed)
    if not terms.stake:
        own = (*own, MemberJoined, MemberLeft)
    for event in evidence.events:
        call = evidence.calls.get(event.transaction)
        if isinstance(event, own) and (call is None or call.sender != terms.coordinator):
            yield Finding(
                "sender",
                CHAIN,
                event.round if isinstance(event, RoundEvent) else None,
                f"{type(event).__name__} in a transaction of the coordinator, {terms.coordinator}",
                f"one of {call.sender}" if call else f"no transaction {event.transaction}",
            )


def check_deployment(history: History, evidence: Evidence) -> Iterator[Finding]:
    """The contract began as the shipped one begins, with the terms that it says it has.

    The code that stays at a contract's address does not prove what it began with; the
    transaction that deployed it does. Where there is a stake nobody is a member from the
    beginning, so that no event leads to that transaction.
    """
    terms, rules = evidence.terms, evidence.task.rules
    if rules is not None and rules.digest() == terms.rules:
        agreed = (rules.kappa_ppm, rules.quorum, rules.commit_window_s, rules.ballot_window_s)
        deployed = (terms.kappa_ppm, terms.quorum, terms.commit_window_s, terms.ballot_window_s)
        said = (*agreed, rules.ballots == "sealed", rules.rule, rules.settlement)
        if said != (*deployed, terms.sealed, terms.rule, terms.settlement):
            yield Finding("deployment", SERVER, None, f"the rules, {said}", f"{deployed}")
    if terms.stake or not evidence.events:
        return
    call = evidence.calls.get(evidence.events[0].transaction)
    found = call.deployment if call else None
    if found is None:
        expected = f"a deployment of the contract in {evidence.events[0].transaction}"
        yield Finding("deployment", SERVER, None, expected, "none of the code that bcfl ships")
        return
    joined = (event for event in evidence.events if isinstance(event, MemberJoined))
    first = evidence.events[0].transaction
    expected_terms = Deployment(
        tuple(event.address for event in joined if event.transaction == first),
        history.rounds[0].opened.base if history.rounds else history.model,
        terms.rules,
        terms.kappa_ppm,
        terms.quorum,
        terms.commit_window_s,
        terms.ballot_window_s,
        terms.sealed,
        terms.stake,
        terms.rule,
    )
    if found != expected_terms:
        yield Finding("deployment", CHAIN, None, str(expected_terms), str(found))
