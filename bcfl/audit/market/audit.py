"""The audit of one task on a market: gather, replay, recompute, compare; a line a submission."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bcfl.audit.audit import OWN_CHAIN
from bcfl.audit.findings import Finding
from bcfl.audit.gather import TamperedError, open_chain
from bcfl.audit.market.chain_checks import check_transactions, check_views, replay
from bcfl.audit.market.claims import (
    check_config,
    check_fused_file,
    check_market_file,
    check_roles,
)
from bcfl.audit.market.evidence import Evidence
from bcfl.audit.market.gather import gather, read_told
from bcfl.audit.market.models import Opened, check_models
from bcfl.audit.market.reported_rounds import check_results
from bcfl.audit.models import Measure
from bcfl.core.errors import AuditError
from bcfl.keys.accounts import Account
from bcfl.market.roles.history import MarketHistory, history_of
from bcfl.market.statement import statement_of
from bcfl.market.task_file import MarketTask
from bcfl.store.blob_store import BlobStore


@dataclass(slots=True)
class MarketAudit:
    """What the audit of a market's task came to."""

    told: MarketTask
    statement: dict[str, Any] = field(default_factory=dict)  #: by the chain; see ``statement_of``
    fused: list[dict[str, Any]] = field(default_factory=list)  #: after each sale, made anew
    examined: int = 0  #: reports held against a measurement
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  #: what proves nothing, or was not checked
    checked: list[str] = field(default_factory=list)  #: in words
    unchecked: list[str] = field(default_factory=list)  #: what nobody could, or what was missing
    live: bool = False  #: whether the chain was read from a node, so that its dates are real
    names: Mapping[str, str] = field(default_factory=dict)  #: by address in lower case
    date: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d %H:%M UTC}")

    def name(self, address: str) -> str:
        """The name that the reader knows it by, and the address."""
        known = self.names.get(address.lower())
        return address if known is None else f"{known}, {address}"

    def named(self, words: str) -> str:
        """``words`` with the names that the reader knows beside the addresses in them."""
        for address in self.statement.get("purses", {}):
            words = words.replace(address, self.name(address))
        return words

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def reports(self) -> int:
        """How many reports there are."""
        panels = self.statement.get("panels", [])
        return sum(seat["reason"] != "" for panel in panels for seat in panel["verifiers"])


def audit_market(
    folder: Path,
    store: BlobStore,
    rpc_url: str | None = None,
    key: Account | None = None,
    measure: Measure | None = None,
) -> MarketAudit:
    """Audit the task in ``folder``, on its own chain or on the node at ``rpc_url``.

    Parameters
    ----------
    folder : Path
        Of a run, or of a role's program; nothing in it is changed.
    store : BlobStore
        Where the blobs are.
    rpc_url : str, optional
        A node of the chain that the market is on.
    key : Account, optional
        Of the initiator, or of a verifier: what the reader can open.
    measure : callable, optional
        Measures a fused model as the run did; without it, accuracies stay unchecked.

    Raises
    ------
    AuditError
        It cannot be audited at all.
    StoreUnreachable
        The store does not answer.
    """
    told = read_told(folder)
    if not told.task:
        raise AuditError(f"the task in {folder} was never launched: there is nothing to audit")
    try:
        with open_chain(folder, rpc_url) as connection:
            evidence = gather(folder, told, connection, store, live=rpc_url is not None, key=key)
    except TamperedError as tampered:
        return MarketAudit(told, findings=[tampered.finding])
    return audit_evidence(evidence, measure)


def audit_evidence(
    evidence: Evidence, measure: Measure | None = None, opened: Opened | None = None
) -> MarketAudit:
    """All checks, over evidence that has been gathered.

    Parameters
    ----------
    opened : Opened, optional
        What came of opening the same blobs before; left out, they are opened.
    """
    audit = MarketAudit(evidence.told, live=evidence.live)
    machine, impossible = replay(evidence)
    if impossible is None:
        audit.findings += check_views(evidence, machine, audit.notes.append)
        audit.findings += check_transactions(evidence, machine, audit.notes.append)
    else:
        audit.findings.append(impossible)
    if audit.findings:
        # a chain that contradicts itself says nothing about others
        audit.notes.append("the chain contradicts itself: nothing else was compared with it")
        return audit
    audit.statement = statement_of(evidence.events, evidence.told.task)
    history = history_of(evidence.events)
    if opened is None:
        opened = check_models(evidence, history, audit.notes.append, measure)
    audit.findings += opened.findings
    audit.findings += check_market_file(evidence, audit.statement)
    audit.findings += check_results(evidence, history, opened, audit.notes.append)
    audit.findings += check_fused_file(evidence, opened, audit.notes.append)
    audit.findings += check_config(evidence, history, opened)
    audit.findings += check_roles(evidence, history)
    audit.examined = opened.examined
    audit.fused = [
        {
            "submission": digest.hex(),
            "models": fused.models,
            "digest": fused.digest,
            "accuracy": fused.accuracy,
            "test": dict(fused.measured),
        }
        for digest, fused in opened.fused.items()
    ]
    _note_forfeits(audit)
    _say_what_was_checked(evidence, history, opened, audit)
    return audit


def _note_forfeits(audit: MarketAudit) -> None:
    """Who lost something by the contract's own rules: that is as it should be, and worth a line."""
    for panel in audit.statement["panels"]:
        place = f"submission {panel['submission'][:8]}"
        for seat in panel["verifiers"]:
            if seat["forfeited"]:
                audit.notes.append(
                    f"{place}: verifier {seat['verifier']} sat on its panel and did not report in "
                    "time; its bond was burnt"
                )
        if panel["outcome"] == "junk":
            audit.notes.append(
                f"{place}: junk, as most of its panel say; the stake of its contributor "
                f"{panel['contributor']} was burnt"
            )
        if panel["outcome"] == "void":
            audit.notes.append(f"{place}: void, as {panel['cause']} did not happen as it should")


def _say_what_was_checked(
    evidence: Evidence, history: MarketHistory, opened: Opened, audit: MarketAudit
) -> None:
    """In plain words, for whoever has to rely on it."""
    sold = len(history.bought[evidence.told.task])
    audit.checked += [
        f"all {len(evidence.events)} events of the market, replayed by its rules: deposits, draws, "
        "seals, reports, verdicts, payments, forfeits, withdrawals",
        "who sent every transaction, what it asked for, and with how much ether",
        "that money adds up to the wei, by events, accounts and the contract's balance",
    ]
    if audit.examined:
        audit.checked.append(f"{audit.examined} of {audit.reports} reports, by measuring again")
    if opened.fused:
        audit.checked.append(f"{len(opened.fused)} of {sold} fused models, from what was sold")
    audit.checked.append("what the folder says of terms, sums, rounds, gas and models")
    unchecked = audit.unchecked
    if audit.examined < audit.reports:
        unchecked.append(
            f"{audit.reports - audit.examined} reports: what they were measured on is sealed to "
            "the panels, and the key of one of them is needed (--key-file)"
        )
    if opened.sealed:
        unchecked.append(opened.sealed)
    told = os.path.lexists(evidence.folder / "result.json")
    measured = sum(bool(fused.measured) for fused in opened.fused.values())
    if measured:
        audit.checked.append(f"losses and accuracies of {measured} fused models, measured anew")
    elif told:
        unchecked.append(
            "the losses and accuracies in result.json: they are the word of whoever ran it"
            + (f" ({opened.unmeasured})" if opened.unmeasured else "")
        )
    if told:
        unchecked.append("seconds: only whoever ran it has seen them")
    if evidence.live:
        unchecked.append("the node: it is believed in what the transactions are, and who sent them")
    else:
        unchecked.append(OWN_CHAIN[os.path.lexists(evidence.folder / "chain.jsonl")])
    unchecked.append("the contributors' data, and who is behind an address: nobody sees them")
