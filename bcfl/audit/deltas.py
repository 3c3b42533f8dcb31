"""The blobs behind the digests on chain, and the updates that they encode.

PROTOCOL, System A, S2 and S3 (claims 2 to 4).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bcfl.audit.evidence import Evidence
from bcfl.audit.findings import STORE, Culprit, Finding, author
from bcfl.audit.history import History, Round
from bcfl.audit.plain_files import MOST_MODEL_BYTES
from bcfl.consensus.contract.events import Committed
from bcfl.consensus.spec.codec import Heading
from bcfl.consensus.spec.domain import SignedCommitment
from bcfl.consensus.spec.rules import Rules
from bcfl.consensus.spec.update import Updates, updates_of
from bcfl.core.errors import (
    BlobMissing,
    CodecError,
    ModelError,
    NotAReader,
    SealError,
    StoreUnreachable,
)
from bcfl.core.model import Arrays, decode_model
from bcfl.store.local import LocalStore
from bcfl.store.sealed import SealedStore


@dataclass(slots=True)
class RoundDeltas:
    """One round's updates by member, and what is wrong with the others."""

    deltas: dict[int, Any] = field(default_factory=dict)
    missing: set[int] = field(default_factory=set)  #: no bytes of that digest are there
    findings: list[Finding] = field(default_factory=list)


def first_model(
    history: History, rules: Rules, evidence: Evidence
) -> tuple[Arrays, Updates[Any]] | Finding:
    """The model that the task began with, and with it what updates there are."""
    digest = history.rounds[0].opened.base if history.rounds else history.model
    try:
        arrays = decode_model(_fetch(evidence, digest, MOST_MODEL_BYTES))
        updates = updates_of(rules, arrays)
        updates.conform(arrays, arrays)
    except (BlobMissing, CodecError, ModelError) as error:
        return Finding("blob", STORE, None, f"the first model, blob {digest.hex()}", str(error))
    return arrays, updates


def read_deltas(round_: Round, updates: Updates[Any], evidence: Evidence) -> RoundDeltas:
    """Fetch, hash and decode what was committed in a round."""
    read = RoundDeltas()
    most = updates.most_bytes(round_.chain_round)
    for member, event in sorted(round_.commitments.items()):
        if member >= len(round_.members):
            continue  # found where the events are read
        try:
            blob = _fetch(evidence, event.digest, most)
        except (BlobMissing, CodecError) as error:
            read.missing.add(member)
            # Damaged bytes were there once; whether missing ones were, is another question.
            absent = isinstance(error, BlobMissing)
            culprit = _who_lost(event, evidence) if absent else STORE
            expected = f"the blob {event.digest.hex()} that member {member} committed"
            read.findings.append(Finding("blob", culprit, round_.chain_round, expected, str(error)))
            continue
        try:
            address = bytes.fromhex(round_.members[member].removeprefix("0x"))
            heading = Heading(address, round_.chain_round, round_.opened.base)
            read.deltas[member] = updates.decode(blob, heading)
        except CodecError as error:
            expected = f"an update of member {member} for this round, of at most {most} bytes"
            read.findings.append(
                Finding("delta", author(member), round_.chain_round, expected, str(error))
            )
    return read


def _fetch(evidence: Evidence, digest: bytes, max_bytes: int) -> bytes:
    store = evidence.blobs
    try:
        return store.get(digest, max_bytes)
    except NotAReader:
        raise  # nor is it anybody's that this key cannot open what it was never to open
    except SealError as error:
        raise CodecError(str(error)) from error
    except StoreUnreachable as error:
        if isinstance(store.inner if isinstance(store, SealedStore) else store, LocalStore):
            raise CodecError(str(error)) from error  # a file that cannot be read
        raise  # a node that does not answer is nobody's guilt


def given_to_server(event: Committed, evidence: Evidence) -> bool:
    """Whether the server had the blob behind a commitment, by what it did itself.

    It puts a blob away before it writes its commitment down, and writes that down before it
    relays it. So a commitment that its author sent directly, and of which the server's journal
    knows nothing, is one whose blob was given to nobody.
    """
    call = evidence.calls.get(event.transaction)
    if call is not None and (call.sender, call.function) == (evidence.terms.coordinator, "commit"):
        return True
    return any(
        entry.signed.member == event.member and entry.signed.commitment.digest == event.digest
        for entry in evidence.journal
        if isinstance(entry.signed, SignedCommitment)
    )


def _who_lost(event: Committed, evidence: Evidence) -> Culprit:
    """The store; or its author, if the server never had the blob."""
    call = evidence.calls.get(event.transaction)
    if not evidence.journal_found or call is None or call.function != "commit_direct":
        return STORE
    return STORE if given_to_server(event, evidence) else author(event.member)
