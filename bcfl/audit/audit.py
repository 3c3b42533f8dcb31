"""The audit of one run: gather, recompute, compare; a line a round and a verdict.

It shares the core's pure functions with the run, the way to the chain and to the blobs, and
nothing else: nothing that the server did is done here by the server's code.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bcfl.audit.ballots import check_ballots, check_outcome
from bcfl.audit.deployment import check_coordinator, check_deployment
from bcfl.audit.documents import read_task
from bcfl.audit.equivocations import check_equivocations
from bcfl.audit.evidence import Evidence, Task
from bcfl.audit.findings import CHAIN, Finding
from bcfl.audit.gather import TamperedError, gather, open_chain
from bcfl.audit.history import History, Round, read_history
from bcfl.audit.measures import check_measures
from bcfl.audit.models import Measure, Models, check_models
from bcfl.audit.omissions import check_journal, note_refusals
from bcfl.audit.receipts import check_receipts
from bcfl.audit.reported_result import check_model_file, check_results
from bcfl.audit.reported_rounds import check_rounds_file
from bcfl.audit.signatures import check_signatures, indirect
from bcfl.audit.task_files import (
    check_checkpoints,
    check_complete,
    check_config,
    check_task,
)
from bcfl.audit.withheld import check_withheld
from bcfl.store.blob_store import BlobStore

#: What is not checked of a chain that is the folder's own, by whether it was executed again.
OWN_CHAIN = {
    True: "dates: the folder's own chain has a simulated clock",
    False: "the chain itself: the folder's copy of it was read, and not executed again",
}


@dataclass(slots=True)
class Audit:
    """What an audit came to."""

    task: Task
    members: tuple[str, ...] = ()  #: addresses, by index
    rounds: list[Round] = field(default_factory=list)
    recomputed: frozenset[int] = frozenset()  #: chain rounds whose model was
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  #: what proves nothing, or was not checked
    checked: list[str] = field(default_factory=list)  #: in words
    unchecked: list[str] = field(default_factory=list)  #: what nobody could, or what was missing
    live: bool = False  #: whether the chain was read from a node, so that its dates are real
    names: Mapping[str, str] = field(default_factory=dict)  #: by address in lower case
    date: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d %H:%M UTC}")

    def addresses(self, chain_round: int | None) -> tuple[str, ...]:
        """Whose each index was in that round, by name too where it is known; None: is now."""
        past = (each.members for each in self.rounds if each.chain_round == chain_round)
        return tuple(map(self.name, next(past, self.members)))

    def name(self, address: str) -> str:
        """The name that the reader knows it by, and the address."""
        known = self.names.get(address.lower())
        return address if known is None else f"{known}, {address}"

    @property
    def holds(self) -> bool:
        """Whether nothing was found against any round."""
        return not self.findings


def audit_run(
    folder: Path,
    rpc_url: str | None = None,
    shown: Sequence[Path] = (),
    store: BlobStore | None = None,
    measure: Measure | None = None,
) -> Audit:
    """Audit the run in ``folder``, on its own chain or on the node at ``rpc_url``.

    Parameters
    ----------
    folder : Path
        As a run leaves it; nothing in it is changed.
    rpc_url : str, optional
        A node of the chain that the run was on. Whoever serves it is believed in what the
        transactions were and who sent those that are not signed by members.
    shown : sequence of Path
        Receipts, and what members signed, as somebody presents it: ``documents.read_shown``.
    store : BlobStore, optional
        Where the blobs are; by default in the folder. Blobs that were sealed to the members
        are opened by a member's own ``SealedStore``.
    measure : callable, optional
        Measures a global model as the run did; without it, losses and accuracies stay unchecked.

    Raises
    ------
    AuditError
        It cannot be audited at all.
    StoreUnreachable
        A store that is not the folder's does not answer.
    """
    task = read_task(folder)
    try:
        with open_chain(folder, rpc_url) as connection:
            evidence, findings = gather(
                folder,
                task,
                connection,
                live=rpc_url is not None,
                shown=shown,
                store=store,
            )
    except TamperedError as tampered:
        return Audit(task, findings=[tampered.finding])
    audit = audit_evidence(evidence, measure)
    audit.findings = findings + audit.findings
    return audit


def audit_evidence(evidence: Evidence, measure: Measure | None = None) -> Audit:
    """All checks, over evidence that has been gathered."""
    history = read_history(evidence)
    audit = Audit(evidence.task, evidence.members, history.rounds, live=evidence.live)
    findings, note = audit.findings, audit.notes.append
    findings += history.findings
    findings += check_deployment(history, evidence)
    findings += check_coordinator(evidence)
    for round_ in history.rounds:
        # what nobody signed is nobody's fault, and what an ill-formed ballot is worth nobody knows
        faults = list(check_signatures(round_, evidence)) or list(
            check_ballots(round_, evidence.terms.rule)
        )
        findings += faults or check_outcome(round_, evidence)
        for number in indirect(round_, evidence):
            note(
                f"chain round {round_.chain_round}: transaction {number} reached the contract "
                "through another contract; what was signed in it is not seen"
            )
    findings += check_equivocations(history, evidence)
    if any(finding.culprit == CHAIN for finding in findings):
        # a chain that contradicts itself says nothing about others; how it was deployed stands
        trusted = [f for f in findings if f.culprit == CHAIN or f.kind == "deployment"]
        audit.findings = trusted
        note("the chain contradicts itself: nothing else was compared with it")
        return audit
    _compare(history, evidence, audit, measure)
    return audit


def _compare(history: History, evidence: Evidence, audit: Audit, measure: Measure | None) -> None:
    """What members, store, server and folder say, against a chain that is consistent."""
    findings, note = audit.findings, audit.notes.append
    findings += check_task(history, evidence)
    findings += check_receipts(history, evidence, note)
    note_refusals(history, evidence, note)
    findings += check_journal(history, evidence, note)
    models = check_models(history, evidence, note, measure)
    audit.recomputed = frozenset(models.recomputed)
    findings += models.findings
    findings += check_withheld(history, models, evidence, note)
    findings += check_rounds_file(history, models, evidence, note)
    findings += check_results(history, models, evidence, note)
    findings += check_complete(evidence)
    findings += check_config(evidence)
    findings += check_checkpoints(models, evidence)
    findings += check_model_file(history, models, evidence, note)
    findings += check_measures(models, evidence)
    _say_what_was_checked(history, models, evidence, audit)


def _say_what_was_checked(
    history: History, models: Models, evidence: Evidence, audit: Audit
) -> None:
    """In plain words, for whoever has to rely on it."""
    closed = sum(round_.closed is not None for round_ in history.rounds)
    audit.checked += [
        "who was a member, in every round, and that everything came in its phase and in time",
        "every member's signature under its commitments"
        + (", proposals" if evidence.terms.proposes else "")
        + " and ballots",
        "the points of every ballot, their sums and the winners"
        if not evidence.terms.proposes
        else "what every ballot makes of every proposal, and which proposals won",
        *(
            ["what the coordinator has said of every round, against all that was signed in it"]
            if evidence.terms.settlement == "optimistic"
            else []
        ),
        f"{len(models.recomputed)} of {closed} global models, from the deltas, bit for bit",
        "what the run's folder says of rounds, transactions, gas and models",
    ]
    told = os.path.lexists(evidence.folder / "result.json")
    if models.measured:
        audit.checked.append(
            f"losses and accuracies of {len(models.measured)} models, measured anew"
        )
    elif told:
        audit.unchecked.append(
            "the losses and accuracies in result.json: they are the word of whoever ran it"
            + (f" ({models.unmeasured})" if models.unmeasured else "")
        )
    if told:
        audit.unchecked.append("seconds and bytes: only whoever ran it has seen them")
    if not evidence.live:
        audit.unchecked.append(OWN_CHAIN[os.path.lexists(evidence.folder / "chain.jsonl")])
    audit.unchecked.append(
        "the members' data, and whether their ballots are true: nobody sees them"
    )
