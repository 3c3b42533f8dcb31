"""Who may call what, when: the table in the contract's own documentation, cell by cell."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from bcfl.consensus.spec.domain import Ballot, Phase
from bcfl.contracts import artifact
from bcfl.contracts.build import HERE
from tests.contracts.peer_consensus_keys import salt as salt_of
from tests.contracts.peer_consensus_keys import seal_of
from tests.contracts.peer_consensus_task import (
    COORDINATOR,
    STRANGER,
    WINDOW_S,
    Task,
    digest_of,
    staked,
)

_ROW = re.compile(r"^     (\w+)  +(\S.*?)  +(\S.*?)  +(\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    function: str
    who: str
    phases: str
    kind: str


def read_table() -> list[Row]:
    """The table in ``PeerConsensus.vy``."""
    source = (HERE / "PeerConsensus.vy").read_text(encoding="utf-8")
    header, *rows = [Row(*match) for match in _ROW.findall(source)]
    assert header == Row("function", "who", "phase", "kind")
    return rows


TABLE = read_table()
KINDS = {
    "allow-list": lambda: Task(5),
    "allow-list, sealed": lambda: Task(5, sealed=True),
    "stake": lambda: staked(5),
}
#: In every task: 0 has committed and sealed, and until BALLOT not voted; 2 has committed and not
#: sealed; 1 has done all; 3 has committed to nothing; 4 left after the first round and is owed.
CALLERS = {"coordinator": COORDINATOR, "stranger": STRANGER}


def enter(phase: Phase, make: Callable[[], Task]) -> Task:
    """A task in its second round, or before it, in that phase."""
    task = make()
    sealed = task.call("sealed_ballots")
    task.open()
    task.commit()
    if sealed:
        pairs = [task.sealed_ballot(i, {j: 9 - j for j in range(5) if j != i}) for i in range(5)]
        task.call("seal", 1, [seal for seal, _ in pairs])
        task.call("cast_ballots", 1, [ballot for _, ballot in pairs])
    else:
        task.vote_fully()
    task.select()
    task.close()
    if task.call("stake"):
        task.call("leave", sender=task.keys[4])
    if phase is Phase.IDLE:
        return task
    task.open(range(4))
    task.commit([0, 1, 2])
    if phase is Phase.COMMIT:
        return task
    task.travel(WINDOW_S + 1)
    if sealed:
        pairs = [task.sealed_ballot(i, row(i)) for i in (0, 1)]
        task.call("seal", 2, [seal for seal, _ in pairs])
        if phase is Phase.SEAL:
            return task
        task.call("seal", 2, [task.sealed_ballot(2, row(2))[0]])
        task.travel(WINDOW_S)
        task.call("cast_ballots", 2, [pairs[1][1]])
    else:
        task.vote({1: row(1)})
    if phase is Phase.BALLOT:
        return task
    # Two of three: more than half, so that there is something to select.
    task.call("cast_ballots", 2, [pairs[0][1] if sealed else task.ballot(0, row(0))])
    task.travel(WINDOW_S)
    if phase is Phase.SELECT:
        return task
    task.select()
    return task


def row(member: int) -> dict[int, int]:
    """What a member thinks of the two others who committed."""
    return {j: 9 - j for j in (0, 1, 2) if j != member}


def arguments(task: Task, function: str, caller: str) -> tuple[Any, ...]:
    """Arguments with which the call is good wherever the table allows it."""
    round_, model = task.state.round, task.state.model
    entries = Ballot.from_values(max(round_, 1), row(0)).encode()
    sealed = task.call("sealed_ballots")
    match function:
        case "open_round":
            return model, task.call("active")
        case "commit":
            return round_, [task.commitment(3)]
        case "commit_direct":
            return round_, digest_of(3, round_), task.now
        case "seal":
            return round_, [task.sealed_ballot(2, row(2))[0]]
        case "seal_direct":
            return round_, seal_of(entries, salt_of(2))
        case "cast_ballots":
            return round_, [task.sealed_ballot(0, row(0))[1] if sealed else task.ballot(0, row(0))]
        case "cast_ballot_direct":
            return round_, entries, salt_of(0)
        case "select":
            return ()
        case "close_round":
            return round_, digest_of(99, round_), task.call("active")
        case "prove_equivocation":
            pair = [task.unsigned(2, version, round=1) for version in (1, 2)]
            return 2, 1, *(task.signing.evidence(task.keys[2], one) for one in pair)
        case "add_member":
            return (STRANGER.address,)
        case "remove_member":
            return (0,)
    return ()


def sender(task: Task, function: str, caller: str) -> Any:
    """Whose account: among members, one for whom there is something left to do."""
    member = {"commit_direct": 3, "seal_direct": 2}.get(function, 0)
    return {
        "coordinator": COORDINATOR,
        "stranger": STRANGER,
        "member": task.keys[member],
        "creditor": task.keys[4],
    }[caller]


def allowed(rule: Row, caller: str, phase: Phase, kind: str) -> bool:
    """What the table says."""
    who = {
        "anybody": {"coordinator", "stranger", "member", "creditor"},
        "coordinator": {"coordinator"},
        "active member": {"member"},
        "committed member": {"member"},
        "non-member": {"coordinator", "stranger", "creditor"},
        "creditor": {"creditor"},
    }[rule.who]
    phases = list(Phase) if rule.phases == "any" else [Phase[p] for p in rule.phases.split(", ")]
    kinds = {"any", kind.removesuffix(", sealed")}
    return caller in who and phase in phases and rule.kind in kinds


PHASES = [
    (kind, phase)
    for kind in KINDS
    for phase in Phase
    if phase is not Phase.PROPOSE and (phase is not Phase.SEAL or "sealed" in kind)
]


@pytest.mark.parametrize(("kind", "phase"), PHASES, ids=lambda cell: getattr(cell, "name", cell))
def test_exactly_the_calls_that_the_table_allows_succeed(kind: str, phase: Phase) -> None:
    task = enter(phase, KINDS[kind])
    assert task.state.phase is phase
    stake = task.call("stake")
    # Somebody is owed something only where there is a stake.
    callers = ["coordinator", "stranger", "member"] + ["creditor"] * bool(stake)
    for address in (COORDINATOR, STRANGER.address):
        task.env.set_balance(address, 10 * stake)
    succeeded = 0
    for rule in TABLE:
        for caller in callers:
            with task.env.anchor():
                call = arguments(task, rule.function, caller)
                value = stake if rule.function == "join" else 0
                who = sender(task, rule.function, caller)
                outcome = task.tries(rule.function, *call, sender=who, value=value)
            expected = allowed(rule, caller, phase, kind)
            assert outcome == expected, f"{rule.function} by {caller} in {phase.name} of {kind}"
            succeeded += outcome
    assert succeeded >= 3


def test_the_table_lists_every_call_that_writes() -> None:
    writing = {
        entry["name"]
        for entry in artifact("PeerConsensus").abi
        if entry["type"] == "function" and entry["stateMutability"] not in ("view", "pure")
    }
    assert sorted(rule.function for rule in TABLE) == sorted(writing)


def test_only_joining_takes_money() -> None:
    payable = {
        entry["name"]
        for entry in artifact("PeerConsensus").abi
        if entry["type"] == "function" and entry["stateMutability"] == "payable"
    }
    assert payable == {"join"}
