"""``bcfl market status``: how a market stands, for a person or as JSON."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from bcfl.amounts import in_ether, in_words
from bcfl.experiment.terminal import make_console
from bcfl.market.contract.ledger import MarketLedger
from bcfl.market.roles.access import Access
from bcfl.market.roles.history import (
    MarketHistory,
    SubmissionLog,
    expect_task,
    read_history,
    state_of,
)
from bcfl.market.roles.turn import short_name
from bcfl.market.spec.terms import MarketPhase


def market_status(ledger: MarketLedger, task: int | None = None) -> dict[str, Any]:
    """Tasks, submissions and verifiers, as plain values.

    Parameters
    ----------
    task : int, optional
        That one alone.

    Returns
    -------
    dict
        ``market``, ``time`` (chain, seconds), ``tasks``, ``submissions``, ``verifiers``.

    Raises
    ------
    ConfigurationError
        There is no such task.
    """
    history = read_history(ledger)
    if task is not None:
        expect_task(ledger, task)
    tasks = [number for number in history.launched if task in (None, number)]
    submissions = [submitted for number in tasks for submitted in history.of_task(number)]
    return {
        "market": ledger.address,
        "time": ledger.now(),
        "least_bond_wei": ledger.least_bond,
        "tasks": [_task(ledger, history, number) for number in tasks],
        "submissions": [_submission(ledger, submitted) for submitted in submissions],
        "verifiers": list(history.public_keys),
    }


def print_status(access: Access, task: int | None, *, as_json: bool) -> None:
    """``bcfl market status``."""
    with access.read() as ledger:
        status = market_status(ledger, task)
    if as_json:
        print(json.dumps(status, indent=2))
    else:
        _show(status, make_console())


def _show(status: dict[str, Any], console: Console) -> None:
    """Print what :func:`market_status` gave."""
    console.print(
        f"market {status['market']}, {in_words(status['time'])} on its chain, "
        f"{len(status['verifiers'])} verifiers",
        soft_wrap=True,
    )
    _print(
        console,
        [
            "task",
            "reward",
            "stake",
            "bond",
            "MAFR",
            "seats",
            "pool",
            "submitted",
            "bought",
            "pending",
            "closes",
        ],
        [
            [
                str(task["task"]),
                in_ether(task["reward_wei"]),
                in_ether(task["stake_wei"]),
                in_ether(task["bond_wei"]),
                f"{task['mafr']:.3f}",
                str(task["seats"]),
                str(len(task["pool"])),
                f"{task['taken']} of {task['submissions']}",
                str(task["paid"]),
                str(task["pending"]),
                "closed" if task["closed"] else in_words(status["time"] + task["closes_in_s"]),
            ]
            for task in status["tasks"]
        ],
    )
    _print(
        console,
        ["submission", "task", "contributor", "phase", "until", "fitness reported"],
        [
            [
                entry["submission"][:8],
                str(entry["task"]),
                entry["contributor"],
                entry["phase"],
                "" if entry["left_s"] is None else in_words(status["time"] + entry["left_s"]),
                " ".join(_report(report) for report in entry["reports"].values()),
            ]
            for entry in status["submissions"]
        ],
    )


def _task(ledger: MarketLedger, history: MarketHistory, number: int) -> dict[str, Any]:
    task = expect_task(ledger, number)
    now = ledger.now()
    return {
        "task": number,
        "initiator": task.initiator,
        "description": history.launched[number].description.hex(),
        "reward_wei": task.rules.reward,
        "fee_wei": task.rules.fee,
        "mafr": task.rules.mafr / 1e6,
        "seats": task.rules.seats,
        "members_only": task.rules.members_only,
        "stake_wei": task.conditions.stake,
        "bond_wei": ledger.bond(number),
        "pool": sorted(history.pools[number]),
        "submissions": task.conditions.submissions,
        "taken": task.taken,
        "pending": task.pending,
        "paid": task.paid,
        "free_wei": task.free,
        "closes_in_s": task.conditions.deadline - now,
        "closed": task.is_closed(now),
    }


def _submission(ledger: MarketLedger, submitted: SubmissionLog) -> dict[str, Any]:
    found = state_of(ledger, submitted)
    return {
        "submission": submitted.digest.hex(),
        "name": short_name(submitted.digest),
        "task": submitted.task,
        "contributor": submitted.contributor,
        "phase": found.phase.name.lower(),
        "cause": found.cause.name.lower() if found.cause is not MarketPhase.NONE else None,
        "left_s": None if found.phase.is_final else found.deadline - ledger.now(),
        "panel": list(found.panel),
        "reports": {
            verifier: {"fitness": report.fitness / 1e6, "reason": report.reason.name.lower()}
            for verifier, report in submitted.reports.items()
        },
    }


def _report(report: dict[str, Any]) -> str:
    measured = report["reason"] == "measured"
    return f"{report['fitness']:.3f}" if measured else str(report["reason"])


def _print(console: Console, headings: list[str], rows: list[list[str]]) -> None:
    if not rows:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print()
    console.print(table)
