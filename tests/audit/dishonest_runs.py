"""Runs in which the server, or a member, cheats while they go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bcfl.chain.event import Transaction
from bcfl.consensus.member.membership import Membership
from bcfl.consensus.records import TrainReply
from bcfl.consensus.server.coordinator import Coordinator
from bcfl.consensus.spec.codec import digest_of
from bcfl.consensus.spec.delta import Delta
from bcfl.consensus.spec.domain import Commitment, SignedCommitment
from bcfl.consensus.spec.messages import commitment_message
from bcfl.core.model import Arrays
from bcfl.store.local import LocalStore
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

    def close(self, arrays: Arrays) -> Transaction:
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
                "signature": self.receipt(0).hex(),
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
        patch.setattr("bcfl.strategies.peer_consensus.Coordinator", coordinator)
        return play(folder, **{"rounds": 1, **options})


def play_with_garbage(folder: Path) -> Path:
    """Member 3 commits to bytes that are no delta, by a transaction of its own."""
    honest = Membership.sign_commitment

    def garbage(self: Membership, delta: Delta) -> TrainReply:
        if self.index != 3:
            return honest(self, delta)
        blob = b"no delta"
        commitment = Commitment(
            self.state.round, self.state.model, digest_of(blob), self.ledger.now()
        )
        signature = self.signer.sign(commitment_message(self.ledger.domain, commitment))
        return TrainReply(commitment.digest, commitment.timestamp, signature, "", blob)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Membership, "sign_commitment", garbage)
        return play(folder, rounds=1, transactions="direct", allowance_wei=10**18)


RUNS: Mapping[str, Any] = {
    "honest": play,
    "sealed": lambda folder: play(folder, rounds=1, ballots="sealed"),
    "aggregates all": lambda folder: play_with(AggregatesAll, folder),
    "closes with another": lambda folder: play_with(ClosesWithAnother, folder),
    "leaves out": lambda folder: play_with(LeavesOut, folder),
    "relays two of one": lambda folder: play_with(RelaysTwoOfOne, folder),
    "garbage": play_with_garbage,
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
