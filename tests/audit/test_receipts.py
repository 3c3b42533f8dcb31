"""A receipt convicts whoever signed it; what a member signed alone proves nothing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from bcfl.audit.audit import Audit, audit_run
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.spec.domain import Ballot, SignedBallot
from bcfl.consensus.spec.messages import ballot_message, ballot_receipt_message
from bcfl.core.errors import AuditError
from bcfl.core.model import model_digest
from tests.audit.by_hand import Task, delta
from tests.audit.tampering import member_key


class Round:
    """A round of four in which member 3's ballot is not relayed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with EmbeddedChain(folder / "chain.jsonl") as chain:
            self.coordinator = chain.coordinator
            task = self.task = Task(chain, folder, members=4)
            task.ledger.open_round(model_digest(task.model), 0b1111)
            self.commitments = [task.commitment(m, delta(m + 1.0)) for m in range(4)]
            task.ledger.commit(self.commitments)
            self.ballots = [
                task.ballot(m, {j: 9 - j for j in range(4) if j != m}) for m in range(4)
            ]
            task.ledger.cast_ballots(self.ballots[:3])
            task.ledger.wait_until(task.ledger.state().ballot_deadline)
            task.ledger.select()
            self.domain = task.ledger.domain
        (folder / "journal.jsonl").unlink(missing_ok=True)

    def receipt(self, member: int, signer: Any = None, round_: int = 1) -> dict[str, Any]:
        entries = self.ballots[member].ballot.encode()
        message = ballot_receipt_message(self.domain, round_, member, entries)
        signature = (signer or self.coordinator).sign(message)
        digest = hashlib.sha256(entries).hexdigest()
        return {"round": round_, "member": member, "ballot": digest, "signature": signature.hex()}

    def shown(self, ballot: SignedBallot) -> dict[str, Any]:
        return {
            "kind": "ballot",
            "round": 1,
            "member": ballot.member,
            "entries": "0x" + ballot.ballot.encode().hex(),
            "signature": ballot.signature.hex(),
        }

    def audit(self, *shown: object) -> Audit:
        path = self.folder.parent / "shown.json"
        path.write_text(json.dumps(shown))
        # as from a node, so that only what is shown says what the server was given
        with EmbeddedChain.replay(self.folder / "chain.jsonl") as chain:
            return audit_run(self.folder, chain.url, [path])


@pytest.fixture(scope="module")
def round_(tmp_path_factory: pytest.TempPathFactory) -> Round:
    return Round(tmp_path_factory.mktemp("receipts") / "run")


def notes(audit: Audit) -> str:
    assert audit.holds, [finding.words() for finding in audit.findings]
    return "\n".join(audit.notes)


def test_a_receipt_for_a_ballot_that_is_not_on_chain_convicts_the_server(round_: Round) -> None:
    (finding,) = round_.audit(round_.receipt(3), round_.shown(round_.ballots[3])).findings
    assert (finding.kind, str(finding.culprit)) == ("left out", "server")
    assert "member 3's ballot" in finding.expected
    assert "signed the receipt in shown.json" in finding.expected


def test_a_receipt_for_a_ballot_that_is_on_chain_accuses_nobody(round_: Round) -> None:
    assert "shown.json" not in notes(round_.audit(round_.receipt(0)))


def test_a_forged_receipt_proves_nothing(round_: Round) -> None:
    assert "not signed by the coordinator" in notes(round_.audit(round_.receipt(3, member_key(3))))


def test_a_receipt_for_one_kind_is_none_for_another(round_: Round) -> None:
    as_commitment = round_.receipt(3)
    as_commitment["digest"] = as_commitment.pop("ballot")
    assert "not signed by the coordinator" in notes(round_.audit(as_commitment))


def test_a_receipt_for_a_round_to_come_is_compared_with_nothing(round_: Round) -> None:
    assert "has not ended" in notes(round_.audit(round_.receipt(3, round_=2)))


def test_a_ballot_without_a_receipt_is_noted(round_: Round) -> None:
    said = notes(round_.audit(round_.shown(round_.ballots[3])))
    assert "a ballot of member 3 for chain round 1: not on chain; without a receipt" in said


def test_a_ballot_that_is_on_chain_needs_no_note(round_: Round) -> None:
    assert "what was shown" not in notes(round_.audit(round_.shown(round_.ballots[1])))


def test_a_second_ballot_of_one_member_is_noted(round_: Round) -> None:
    other = Ballot.from_values(1, {0: 1, 2: 2, 3: 3})
    signature = member_key(1).sign(ballot_message(round_.domain, other))
    said = notes(round_.audit(round_.shown(SignedBallot(1, other, signature))))
    assert "another one is on chain; the member has signed both" in said


def test_a_ballot_that_nobody_signed_proves_nothing(round_: Round) -> None:
    shown = round_.shown(round_.ballots[3]) | {"signature": round_.ballots[2].signature.hex()}
    assert "not signed by that member; it proves nothing" in notes(round_.audit(shown))


def test_a_commitment_as_a_journal_has_it_may_be_shown(round_: Round) -> None:
    signed = round_.commitments[2]
    commitment = signed.commitment
    shown = {
        "kind": "commitment",
        "contract": round_.domain.contract,
        "round": 1,
        "member": 2,
        "base": commitment.base.hex(),
        "digest": commitment.digest.hex(),
        "timestamp": commitment.timestamp,
        "signature": signed.signature.hex(),
        "metrics": {},
    }
    assert "what was shown" not in notes(round_.audit(shown))


@pytest.mark.parametrize(
    "change",
    [{"round": 0}, {"member": 128}, {"member": True}, {"ballot": "00"}, {"signature": 7}],
)
def test_what_no_receipt_says_is_refused_by_name(round_: Round, change: dict[str, Any]) -> None:
    with pytest.raises(AuditError, match=f"found {next(iter(change))}"):
        round_.audit(round_.receipt(3) | change)
