"""``contracts/PeerConsensus.vy`` in Python: the reference, called in the contract's own words.

What is good, and what follows, is ``bcfl.consensus.spec.contract``'s to say; here are signatures,
seals and events. A call that the contract would refuse raises ContractReverted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple
from typing import Any, ClassVar, Final

from bcfl.consensus.contract.batches import Proof, ballots_in, commitments_in
from bcfl.consensus.contract.events import Refusal
from bcfl.consensus.contract.words import CONTRACTS, LANE_BITS, LANES, seal_of
from bcfl.consensus.spec.contract import ContractModel, Terms
from bcfl.consensus.spec.domain import (
    Ballot,
    Commitment,
    Phase,
    TypedDataDomain,
    bits,
    members_in,
)
from bcfl.consensus.spec.messages import ballot_message, commitment_message, seal_message
from bcfl.core.errors import ContractReverted, ProtocolError
from bcfl.keys.accounts import signed_by

_LOW_255_BITS: Final = 2**255 - 1
NOT_NOW: Final = "consensus: not in this phase"


class PeerConsensusReference:
    """One task's contract. Methods have the names and arguments of the contract's functions.

    Parameters
    ----------
    domain : TypedDataDomain
        Its address, and the chain's number.
    sender : str
        Who deploys it: the coordinator.
    members, genesis, … : as the contract's constructor's.

    Attributes
    ----------
    sender, now, value, seed
        Of the transaction that is being executed: its account, its block's time, the wei with
        it; and the hash of the block with the last commitment, which decides ties.
    logged : list of (str, dict)
        The events of that transaction: name and arguments.
    """

    name: ClassVar[str] = CONTRACTS["borda"]

    def __init__(
        self,
        domain: TypedDataDomain,
        sender: str,
        members: Sequence[str],
        genesis: bytes,
        rules: bytes,
        kappa_ppm: int,
        quorum: int,
        commit_window_s: int,
        ballot_window_s: int,
        sealed: bool,
        stake: int,
    ) -> None:
        terms = Terms(kappa_ppm, quorum, commit_window_s, ballot_window_s, sealed, stake)
        accounts = list(members)
        self.logged: list[tuple[str, dict[str, Any]]] = []
        self._domain, self._rules = domain, rules
        self._model = self._begin(terms, genesis, sender, accounts, set(range(len(accounts))))
        self.sender, self.now, self.value, self.seed = sender, 0, 0, bytes(32)
        for member, account in enumerate(accounts):
            self._log("MemberJoined", member=member, account=account)

    def _begin(self, *terms: Any) -> ContractModel:
        return ContractModel(*terms)

    # -- views --------------------------------------------------------------------------------

    def coordinator(self) -> str:
        """Who deployed it."""
        return self._model.coordinator

    def rules(self) -> bytes:
        """The digest it was deployed with."""
        return self._rules

    def stake(self) -> int:
        """Wei."""
        return self._model.terms.stake

    def members(self) -> list[str]:
        """By index."""
        return list(self._model.accounts)

    def active(self) -> int:
        """Bit field."""
        return bits(self._model.active)

    def state(self) -> tuple[Any, ...]:
        """``RoundState``, as a tuple."""
        return astuple(self._model.state(self.now))

    # -- rounds -------------------------------------------------------------------------------

    def open_round(self, base: bytes, expected: int) -> None:
        """See the contract."""
        model = self._model
        self._expect(model.open(self.now, self.sender, base, frozenset(members_in(expected))))
        self._log_opening()

    def _log_opening(self) -> None:
        model = self._model
        names = ("commit_deadline", "seal_deadline", "ballot_deadline")
        deadlines = dict(zip(names, model.deadlines(), strict=True))
        said = {"base": model.model, "expected": bits(model.expected)}
        self._log("Opened", round=model.round, **said, **deadlines)

    def commit(self, round: int, batch: bytes, signatures: Sequence[Proof]) -> None:
        """See the contract."""
        rows = []
        each = zip(commitments_in(batch), signatures, strict=True)
        for (member, timestamp, digest), (r, vs) in each:
            said = Commitment(round, self._model.model, digest, timestamp)
            signed = self._signed(member, commitment_message(self._domain, said), r, vs)
            rows.append((member, digest, timestamp, signed))
        self._commit(round, rows)

    def commit_direct(self, round: int, digest: bytes, timestamp: int) -> None:
        """See the contract."""
        member = self._seat()
        self._expect(member not in self._model.committed)
        self._commit(round, [(member, digest, timestamp, True)], alone=True)

    def _commit(
        self, round_: int, rows: Sequence[tuple[int, bytes, int, bool]], *, alone: bool = False
    ) -> None:
        model, before = self._model, set(self._model.committed)
        counted = []
        self._expect_round(round_)
        refused = self._done(model.commit(self.now, rows), alone=alone)
        for member, digest, timestamp, _ in rows:
            if refused[:1] == [member]:
                del refused[0]
                reason = Refusal.NOT_A_MEMBER
                if member in model.active:
                    reason = Refusal.TOO_LATE if timestamp > self.now else Refusal.SIGNATURE
                    reason = Refusal.TOO_EARLY if timestamp < model.opened_at else reason
                self._refuse(round_, member, reason)
            elif member not in before:
                before.add(member)
                counted.append({"member": member, "digest": digest, "timestamp": timestamp})
        for commitment in counted:
            self._log("Committed", round=round_, **commitment)

    def seal(self, round: int, batch: Iterable[tuple[int, bytes, int, int]]) -> None:
        """See the contract."""
        rows = []
        for member, seal, r, vs in batch:
            message = seal_message(self._domain, round, seal)
            rows.append((member, seal, self._signed(member, message, r, vs)))
        self._seal(round, rows)

    def seal_direct(self, round: int, seal: bytes) -> None:
        """See the contract."""
        member = self._seat()
        self._expect(member not in self._model.sealed)
        self._seal(round, [(member, seal, True)], alone=True)

    def _seal(
        self, round_: int, rows: Sequence[tuple[int, bytes, bool]], *, alone: bool = False
    ) -> None:
        before = set(self._model.sealed)
        self._expect_round(round_)
        refused = self._done(self._model.seal(self.now, rows), alone=alone)
        for member, seal, _ in rows:
            if refused[:1] == [member]:
                del refused[0]
                known = member in self._model.committed
                self._refuse(round_, member, Refusal.SIGNATURE if known else Refusal.NOT_COMMITTED)
            elif member not in before:
                before.add(member)
                self._log("Sealed", round=round_, member=member, seal=seal)

    def cast_ballots(self, round: int, batch: bytes, proofs: Sequence[Proof]) -> None:
        """See the contract."""
        rows = []
        for (member, entries), (word, vs) in zip(ballots_in(batch), proofs, strict=True):
            if self._model.terms.sealed:
                fault = self._seal_fault(member, entries, word.to_bytes(32, "big"))
            else:
                signed = self._signed_ballot(round, member, entries, word, vs)
                fault = None if signed else Refusal.SIGNATURE
            rows.append((member, entries, fault))
        self._cast(round, rows)

    def cast_ballot_direct(self, round: int, entries: bytes, salt: bytes) -> None:
        """See the contract."""
        member, model = self._seat(), self._model
        self._expect(member not in model.abstained | model.ballots.keys())
        fault = self._seal_fault(member, entries, salt) if model.terms.sealed else None
        self._cast(round, [(member, entries, fault)], alone=True)

    def _cast(
        self, round_: int, rows: Sequence[tuple[int, bytes, Refusal | None]], *, alone: bool = False
    ) -> None:
        model = self._model
        before = model.abstained | model.ballots.keys()
        counted = []
        self._expect_round(round_)
        said = [(member, entries, fault is None) for member, entries, fault in rows]
        refused = self._done(model.vote(self.now, said, self.seed), alone=alone)
        for member, entries, fault in rows:
            if refused[:1] == [member]:
                del refused[0]
                # what is wrong with the entries is not told apart
                reason = fault or Refusal.STRANGER
                reason = reason if member in model.committed else Refusal.NOT_COMMITTED
                self._refuse(round_, member, reason)
            elif member not in before and member in model.abstained:
                missing = Ballot.decode(round_, entries).missing
                self._log("Abstained", round=round_, member=member, missing=missing)
            elif member not in before:
                counted.append({"member": member, "entries": entries})
            before.add(member)
        for ballot in counted:
            self._log("BallotCast", round=round_, **ballot)
        if model.status != "open":
            self._log_outcome()

    def select(self, *shown: Sequence[Any]) -> None:
        """See the contract; here nothing need be shown."""
        self._decide()

    def _decide(self) -> None:
        self._expect(self._model.select(self.now, self.seed), NOT_NOW)
        self._log_outcome()

    def _log_outcome(self) -> None:
        model = self._model
        fields = {
            "committed": bits(model.committed),
            "voted": bits(model.ballots),
            "abstained": bits(model.abstained),
        }
        if model.phase(self.now) is not Phase.SELECTED:
            self._log("Voided", round=model.round, **fields)
            return
        self._log("Selected", round=model.round, winners=bits(model.winners), **self._outcome())

    def _outcome(self) -> dict[str, Any]:
        """What ``Selected`` says beside the winners."""
        scores = [0] * -(-bits(self._model.committed).bit_length() // LANES)
        for member, points in self._model.totals().items():
            scores[member // LANES] |= points << LANE_BITS * (member % LANES)
        return {"scores": scores, "seed": self.seed}

    def close_round(self, round: int, model: bytes, expected: int) -> None:
        """See the contract."""
        waited_for = frozenset(members_in(expected))
        self._expect(self._model.close(self.now, self.sender, round, model, waited_for))
        self._log("Closed", round=round, model=model)
        if expected:
            self._log_opening()

    def prove_equivocation(
        self, member: int, round: int, *pair: tuple[bytes, bytes, int, int, int]
    ) -> None:
        """See the contract."""
        self._expect(pair[0][1] != pair[1][1], "consensus: the digests are equal")
        good = True
        for base, digest, timestamp, r, vs in pair:
            said = Commitment(max(round, 1), base, digest, timestamp)
            good = good and self._signed(member, commitment_message(self._domain, said), r, vs)
        self._expect(self._model.prove(member, round, good))
        digests = {"digest_a": pair[0][1], "digest_b": pair[1][1]}
        self._log("Equivocated", round=round, member=member, **digests)

    # -- members ------------------------------------------------------------------------------

    def add_member(self, account: str) -> None:
        """See the contract."""
        self._expect(not self._model.terms.stake)
        self._take_in(account)

    def join(self) -> None:
        """See the contract."""
        self._expect(bool(self._model.terms.stake))
        self._take_in(self.sender)

    def _take_in(self, account: str) -> None:
        self._expect(self._model.join(self.sender, account, self.value))
        member = self._model.accounts.index(account)
        self._log("MemberJoined", member=member, account=account)

    def remove_member(self, member: int) -> None:
        """See the contract."""
        self._expect(not self._model.terms.stake)
        self._let_go(member)

    def leave(self) -> None:
        """See the contract."""
        self._expect(bool(self._model.terms.stake))
        self._let_go(self._seat())

    def _let_go(self, member: int) -> None:
        self._expect(self._model.leave(self.sender, member))
        self._log("MemberLeft", member=member, account=self._model.accounts[member])

    def withdraw(self) -> None:
        """See the contract."""
        self._expect(self._model.withdraw(self.sender))

    # -- what is good -------------------------------------------------------------------------

    def _seat(self) -> int:
        self._expect(self.sender in self._model.accounts)
        return self._model.accounts.index(self.sender)

    def _signed(self, member: int, message: dict[str, Any], r: int, vs: int) -> bool:
        accounts = self._model.accounts
        s, v = vs & _LOW_255_BITS, 27 + (vs >> 255)
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v])
        return member < len(accounts) and signed_by(message, signature, accounts[member])

    def _signed_ballot(self, round_: int, member: int, entries: bytes, r: int, vs: int) -> bool:
        try:
            message = ballot_message(self._domain, Ballot.decode(round_, entries))
        except ProtocolError:
            return False
        return self._signed(member, message, r, vs)

    def _seal_fault(self, member: int, entries: bytes, salt: bytes) -> Refusal | None:
        """Why this is not what a member has sealed."""
        if (sealed := self._model.sealed.get(member)) is None:
            return Refusal.NOT_SEALED
        if salt[-1] != member:
            return Refusal.SALT
        return None if sealed == seal_of(entries, salt) else Refusal.NOT_THE_SEALED

    def _log(self, name: str, **values: Any) -> None:
        self.logged.append((name, values))

    def _refuse(self, round_: int, member: int, reason: Refusal) -> None:
        self._log("Refused", round=round_, member=member, reason=int(reason))

    def _expect_round(self, round_: int) -> None:
        self._expect(round_ == self._model.round, "consensus: not the current round")

    def _done(self, refused: list[int] | None, *, alone: bool) -> list[int]:
        if refused is None:
            raise ContractReverted(NOT_NOW, "the reference")
        self._expect(not (alone and refused))
        return refused

    def _expect(self, good: bool, reason: str = "consensus: no good call") -> None:
        if not good:
            raise ContractReverted(reason, "the reference")
