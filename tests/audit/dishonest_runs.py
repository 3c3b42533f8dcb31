"""Runs in which the server, or a member, cheats while they go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.chain.event import Transaction
from bcfl.consensus.contract.batches import MOST_BALLOTS
from bcfl.consensus.member.membership import Membership
from bcfl.consensus.records import TrainReply
from bcfl.consensus.server.conversation import Conversation
from bcfl.consensus.server.coordinator import Coordinator
from bcfl.consensus.spec.codec import digest_of
from bcfl.consensus.spec.domain import Commitment, SignedCommitment
from bcfl.consensus.spec.messages import ballot_receipt_message, commitment_message
from bcfl.core.errors import RoundVoid
from bcfl.core.model import Arrays
from bcfl.store.local import LocalStore
from tests.audit.by_hand import Task
from tests.audit.runs import play
from tests.audit.tampering import Case, by, member_key


class AggregatesAll(Coordinator):
    """Takes the losers' deltas in as well."""

    def aggregate(self, arrays: Arrays) -> Arrays:
        honest = self.ledger
        everybody = replace(honest.state(), winners=honest.state().committed)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(honest, "state", lambda: everybody)
            return super().aggregate(arrays)


class ClosesWithAnother(Coordinator):
    """Tells the chain of a model that nobody has."""

    def close(self, arrays: Arrays, expected: int, memory: Arrays | None = None) -> Transaction:
        return self.ledger.close_round(self.signed.round, hashlib.sha256(b"mine").digest())


class LeavesOut(Coordinator):
    """Keeps the first member's signed commitment to itself, but gives a receipt for it."""

    def commit(self) -> Transaction | None:
        signed = self.signed.commitments
        if 0 in signed:
            left = {
                "round": self.signed.round,
                "member": 0,
                "digest": signed[0].commitment.digest.hex(),
                "signature": self.receipts(0)["receipt"].hex(),
            }
            (self._folder.path / "receipt.json").write_text(json.dumps(left))
        return self.ledger.commit([signed[member] for member in sorted(signed) if member])


class RelaysTwoOfOne(Coordinator):
    """Relays a second commitment of member 1 behind its first; the contract passes it over."""

    def commit(self) -> Transaction | None:
        batch = [self.signed.commitments[member] for member in sorted(self.signed.commitments)]
        said = batch[1].commitment
        other = Commitment(said.round, said.base, 32 * b"\7", said.timestamp)
        signature = member_key(1).sign(commitment_message(self.ledger.domain, other))
        return self.ledger.commit([*batch, SignedCommitment(1, other, signature)])


def play_with(coordinator: type[Coordinator], folder: Path, **options: Any) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bcfl.consensus.server.session.Coordinator", coordinator)
        return play(folder, **{"rounds": 1, **options})


def play_with_garbage(folder: Path) -> Path:
    """Member 3 commits to bytes that are no delta, by a transaction of its own."""
    honest = Membership.sign_commitment

    def garbage(self: Membership, update: bytes) -> TrainReply:
        if self.index != 3:
            return honest(self, update)
        blob = b"no delta"
        commitment = Commitment(
            self.state.round, self.state.model, digest_of(blob), self.ledger.now()
        )
        signature = self.signer.sign(commitment_message(self.ledger.domain, commitment))
        return TrainReply(commitment.digest, commitment.timestamp, signature, "", blob)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Membership, "sign_commitment", garbage)
        return play(folder, clients=5, rounds=1, transactions="direct", allowance_wei=10**18)


class KeepsABallot(Coordinator):
    """Keeps the first member's ballot to itself, but gives a receipt for it.

    It fills the transaction with another's, over and over, so that this one would not have fit.
    """

    def cast(self) -> Transaction | None:
        signed = self.signed.ballots
        if 0 in signed:
            entries = signed[0].ballot.encode()
            message = ballot_receipt_message(self.ledger.domain, self.signed.round, 0, entries)
            kept = {
                "round": self.signed.round,
                "member": 0,
                "ballot": hashlib.sha256(entries).hexdigest(),
                "signature": self._signer.sign(message).hex(),
            }
            (self._folder.path / "receipt.json").write_text(json.dumps(kept))
        batch = [signed[member] for member in sorted(signed) if member]
        return self.ledger.cast_ballots(batch + batch[:1] * (MOST_BALLOTS - len(batch)))


class SpoilsASignature(Coordinator):
    """Relays the first member's commitment with a signature that is none."""

    def commit(self) -> Transaction | None:
        signed = dict(self.signed.commitments)
        if 0 in signed:
            signed[0] = replace(signed[0], signature=64 * b"\1" + b"\x1b")
        return self.ledger.commit([signed[member] for member in sorted(signed)])


def play_showing_some(folder: Path) -> Path:
    """The server shows reviewers the deltas of members 0, 3 and 4 alone; it has no accomplice."""
    honest = Conversation.review

    def some(self: Conversation, order: Any, *rest: Any) -> Any:
        shown = [at for at, member in enumerate(order.members) if member in (0, 3, 4)]
        lists = ("members", "transactions", "blobs", "locators")
        told = {name: getattr(order, name) for name in lists}
        kept = {name: [all_[at] for at in shown] if all_ else [] for name, all_ in told.items()}
        return honest(self, replace(order, **kept), *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Conversation, "review", some)
        with suppress(RoundVoid):
            play(folder, clients=5, rounds=1)
    return folder


def play_by_hand(folder: Path, **options: Any) -> Path:
    with EmbeddedChain(folder / "chain.jsonl") as chain:
        Task(chain, folder, members=6).play(range(6), **options)
    return folder


RUNS: Mapping[str, Any] = {
    "honest": play,
    "sealed": lambda folder: play(folder, rounds=1, ballots="sealed"),
    "aggregates all": lambda folder: play_with(AggregatesAll, folder),
    "closes with another": lambda folder: play_with(ClosesWithAnother, folder),
    "leaves out": lambda folder: play_with(LeavesOut, folder),
    "relays two of one": lambda folder: play_with(RelaysTwoOfOne, folder),
    "garbage": play_with_garbage,
    "keeps a ballot": lambda folder: play_with(KeepsABallot, folder),
    "spoils a signature": lambda folder: play_with(SpoilsASignature, folder),
    "shows some": play_showing_some,
    # one of five misses another's delta and votes, one misses two and does not
    "some missing": lambda folder: play_by_hand(folder, missing={3: {1}, 4: {1, 2}}),
    "some refused": lambda folder: play_by_hand(folder, strange={1: 64 * b"\1" + b"\x1b"}),
}


@by("server", run="aggregates all")
def the_server_aggregated_other_deltas_than_the_winners(case: Case) -> None:
    pass


@by("server", run="closes with another")
def the_server_closed_with_another_model(case: Case) -> None:
    pass


@by("server", run="leaves out")
def the_server_left_a_commitment_out_that_it_had_before_others(case: Case) -> None:
    pass


@by("server", run="leaves out")
def the_server_left_out_what_it_had_signed_a_receipt_for(case: Case) -> None:
    case.shown = [case.folder / "receipt.json"]
    left = [e for e in case.lines("journal.jsonl") if e["member"] != 0]
    case.write_lines("journal.jsonl", left)


@by("member 1", run="relays two of one")
def a_member_signed_two_deltas_that_were_both_sent(case: Case) -> None:
    pass


@by("member 3", run="garbage")
def a_member_committed_to_bytes_that_it_gave_to_nobody(case: Case) -> None:
    pass


@by("member 3", run="garbage")
def a_member_committed_to_bytes_that_are_no_delta(case: Case) -> None:
    LocalStore(case.folder / "blobs").put(b"no delta")


@by("server", run="shows some")
def the_server_showed_reviewers_only_the_deltas_that_it_liked(case: Case) -> None:
    pass


@by("server", run="keeps a ballot")
def the_server_left_a_ballot_out_that_it_had_before_others(case: Case) -> None:
    pass


@by("server", run="keeps a ballot")
def the_server_left_a_ballot_out_that_it_had_signed_a_receipt_for(case: Case) -> None:
    case.shown = [case.folder / "receipt.json"]
    kept = [e for e in case.lines("journal.jsonl") if (e["kind"], e["member"]) != ("ballot", 0)]
    case.write_lines("journal.jsonl", kept)


@by("server", run="spoils a signature")
def the_server_relayed_a_commitment_with_another_signature(case: Case) -> None:
    pass
