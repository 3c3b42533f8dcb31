"""What members signed in one round, on disk before it is relayed: nothing signed is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from bcfl.consensus.spec.domain import (
    Ballot,
    Commitment,
    Proposal,
    SignedBallot,
    SignedCommitment,
    SignedProposal,
    SignedSeal,
)
from bcfl.core.errors import ProtocolError
from bcfl.files import Journal

_Signed = TypeVar("_Signed", SignedCommitment, SignedProposal, SignedSeal, SignedBallot)


class SignedRound:
    """The signed commitments, proposals, seals and ballots of one round, by member index.

    Parameters
    ----------
    journal : Journal
        Holds every round of the task; what it has of this round is recalled at once.
    contract : str
    number : int
        Of the round, the contract's.
    """

    def __init__(self, journal: Journal, contract: str, number: int) -> None:
        self.round = number
        self.commitments: dict[int, SignedCommitment] = {}
        self.proposals: dict[int, SignedProposal] = {}
        self.seals: dict[int, SignedSeal] = {}
        self.ballots: dict[int, SignedBallot] = {}
        self.metrics: dict[int, dict[str, Any]] = {}  #: of the training, as the app reported them
        self.rejected: dict[int, dict[int, str]] = {}  #: by reviewer: member → reason
        self._journal = journal
        self._contract = contract
        for entry in journal:
            if (entry["contract"], entry["round"]) == (contract, number):
                self._recall(entry)

    @property
    def empty(self) -> bool:
        """Whether nothing was signed yet, as far as is known."""
        return not (self.commitments or self.proposals or self.seals or self.ballots)

    def keep_commitment(self, signed: SignedCommitment, metrics: Mapping[str, Any]) -> None:
        """Remember a commitment, and the metrics that came with it."""
        commitment = signed.commitment
        self._append(
            "commitment",
            signed.member,
            signed.signature,
            base=commitment.base.hex(),
            digest=commitment.digest.hex(),
            timestamp=commitment.timestamp,
            metrics=dict(metrics),
        )
        self.metrics[signed.member] = dict(metrics)
        self.commitments[signed.member] = signed

    def keep_proposal(self, signed: SignedProposal) -> None:
        """Remember a proposal."""
        members = signed.proposal.encode().hex()
        self._append("proposal", signed.member, signed.signature, members=members)
        self.proposals[signed.member] = signed

    def keep_seal(self, seal: SignedSeal) -> None:
        """Remember the promise of a ballot."""
        self._append("seal", seal.member, seal.signature, seal=seal.seal.hex())
        self.seals[seal.member] = seal

    def keep_ballot(self, signed: SignedBallot, rejected: Mapping[int, str]) -> None:
        """Remember a ballot, and why it leaves out whom it leaves out."""
        self._append(
            "ballot",
            signed.member,
            signed.signature,
            entries=signed.ballot.encode().hex(),
            salt=signed.salt.hex(),
            rejected={str(member): reason for member, reason in rejected.items()},
        )
        self.ballots[signed.member] = signed
        self.rejected[signed.member] = dict(rejected)

    def forget_unless(
        self,
        commitment: Callable[[SignedCommitment], None],
        proposal: Callable[[SignedProposal], None],
        seal: Callable[[SignedSeal], None],
        ballot: Callable[[SignedBallot], None],
    ) -> None:
        """Forget what was recalled and yet fails its check; each raises ProtocolError."""
        self.commitments = _those_that(commitment, self.commitments)
        self.proposals = _those_that(proposal, self.proposals)
        self.seals = _those_that(seal, self.seals)
        self.ballots = _those_that(ballot, self.ballots)

    def _append(self, kind: str, member: int, signature: bytes, **fields: Any) -> None:
        head = {"kind": kind, "contract": self._contract, "round": self.round, "member": member}
        self._journal.append({**head, "signature": signature.hex(), **fields})

    def _recall(self, entry: Mapping[str, Any]) -> None:
        member, signature = entry["member"], bytes.fromhex(entry["signature"])
        match entry["kind"]:
            case "commitment":
                base, digest = bytes.fromhex(entry["base"]), bytes.fromhex(entry["digest"])
                commitment = Commitment(self.round, base, digest, entry["timestamp"])
                self.metrics[member] = entry["metrics"]
                self.commitments[member] = SignedCommitment(member, commitment, signature)
            case "proposal":
                proposal = Proposal(self.round, int(entry["members"], 16))
                self.proposals[member] = SignedProposal(member, proposal, signature)
            case "seal":
                seal = bytes.fromhex(entry["seal"])
                self.seals[member] = SignedSeal(member, self.round, seal, signature)
            case "ballot":
                ballot = Ballot.decode(self.round, bytes.fromhex(entry["entries"]))
                salt = bytes.fromhex(entry["salt"])
                self.ballots[member] = SignedBallot(member, ballot, signature, salt)
                rejected = entry["rejected"].items()
                self.rejected[member] = {int(other): reason for other, reason in rejected}


def _those_that(
    check: Callable[[_Signed], None], signed: Mapping[int, _Signed]
) -> dict[int, _Signed]:
    found = {}
    for member, one in signed.items():
        try:
            check(one)
        except ProtocolError:
            continue
        found[member] = one
    return found
