"""One task that is settled optimistically, as the tests drive it: see ``peer_consensus_task``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from hashlib import sha256
from typing import Any

from bcfl.consensus.contract.bundle import Bundle
from bcfl.consensus.contract.calldata import SentBallot, SentCommitment
from bcfl.consensus.spec.contract import Terms
from bcfl.consensus.spec.domain import Ballot, Commitment
from bcfl.consensus.spec.settlement import Record, ends, winners_of
from tests.contracts.peer_consensus_keys import Words, account
from tests.contracts.peer_consensus_task import WINDOW_S, Task, digest_of

DEPOSIT, BOND = 10**18, 10**16
CHALLENGE_WINDOW_S = 1000


@dataclass(frozen=True)
class Standing:
    """``standing()``."""

    round: int
    open: bool
    model: bytes
    members: int
    forced: int
    time: int
    equivocators: int
    void_from: int
    deposited: bool
    challenges: int


class SettlementTask(Task):
    """A deployed ``PeerSettlement`` whose members' keys are all at hand."""

    def __init__(self, members: int = 4, *, kappa_ppm: int = 500_000, quorum: int = 1) -> None:
        super().__init__(
            members,
            kappa_ppm=kappa_ppm,
            quorum=quorum,
            contract="PeerSettlement",
            terms=(CHALLENGE_WINDOW_S, BOND),
            value=DEPOSIT,
        )
        self.terms = Terms(kappa_ppm, quorum, WINDOW_S, WINDOW_S, False, 0)
        for index in (*range(members), 1000, 2000):
            self.env.set_balance(account(index).address, 10**20)

    @property
    def standing(self) -> Standing:
        """What the contract says of itself."""
        return Standing(*self.call("standing"))

    @property
    def accounts(self) -> list[str]:
        """By index."""
        return [key.address for key in self.keys]

    def begin(self) -> None:
        """Open a round by itself."""
        self.call("open_round", self.standing.model)

    def commitment(self, member: int, version: int = 0, **changes: Any) -> Words:
        """That member's signed commitment for the current round, or a changed one."""
        now = self.standing
        said: dict[str, Any] = {
            "round": now.round,
            "base": now.model,
            "digest": digest_of(member, now.round, version),
            "timestamp": self.now,
        }
        return self.signing.commitment(member, self.keys[member], Commitment(**said | changes))

    def ballot(  # type: ignore[override]
        self, member: int, values: Mapping[int, int], missing: Iterable[int] = ()
    ) -> Words:
        """That member's signed ballot for the current round."""
        ballot = Ballot.from_values(self.standing.round, values, missing)
        return self.signing.ballot(member, self.keys[member], ballot)

    def raw_ballot(self, member: int, entries: bytes) -> Words:
        """A signed ballot of whatever bytes."""
        return self.signing.entries(member, self.keys[member], self.standing.round, entries)

    def record(self, bundle: Bundle, **changes: Any) -> Record:
        """What is to be said of the open round, were it settled in a second."""
        now = self.standing
        found = Record(
            round=now.round,
            root=bundle.root(),
            base=now.model,
            model=now.model,
            winners=0,
            members=now.members,
            expected=now.members,
            forced=now.forced,
            opened_at=now.time,
            settled_at=self.now,
        )
        signed = bundle.signed(found, self.signing.domain, self.accounts)
        winners = winners_of(found, self.terms, signed)
        model = sha256(b"model %d" % now.round).digest() if winners else now.model
        return _with(found, **{"winners": winners, "model": model} | changes)

    def wait_for_the_end(self, bundle: Bundle) -> None:
        """Let so much time pass that the round may be settled."""
        record = self.record(bundle)
        end = ends(record, self.terms, bundle.signed(record, self.signing.domain, self.accounts))
        if self.now <= end:
            self.travel(end + 1 - self.now)

    def settle(self, record: Record, due: int = 0) -> Record:
        """Say that of the open round; what the contract keeps of it."""
        said = record.round, record.root, record.winners, record.model, record.forced
        self.call("settle", *said, record.expected, record.opened_at, due)
        return self.settled(record.round)

    def settled(self, round_: int) -> Record:
        """A round as its event has it."""
        (event,) = (each for each in self.events("Settled") if each["round"] == round_)
        return Record(**event, settled_at=self._times[round_])

    def play(self) -> tuple[Record, Bundle]:  # type: ignore[override]
        """One whole honest round of everybody."""
        bundle = self.signed_by(range(len(self.keys)))
        self.wait_for_the_end(bundle)
        return self.settle(self.record(bundle)), bundle

    def signed_by(self, members: Iterable[int]) -> Bundle:
        """These commit, and rate each other in the same order."""
        chosen = sorted(members)
        rows = {i: {j: 1000 - j for j in chosen if j != i} for i in chosen}
        return bundle_of(
            [self.commitment(i) for i in chosen], [self.ballot(i, rows[i]) for i in chosen]
        )

    def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """See ``Task``."""
        answer = super().call(name, *arguments, **options)
        for log in self.logs[::-1]:
            if log.name != "Settled":
                continue
            self._times.setdefault(log.fields["round"], self.now)
            break
        return answer

    @property
    def _times(self) -> dict[int, int]:
        times: dict[int, int] = self.__dict__.setdefault("settled_times", {})
        return times


def words_of(record: Record) -> tuple[Any, ...]:
    """As the contract takes it."""
    return astuple(record)


def bundle_of(commitments: Iterable[Words], ballots: Iterable[Words]) -> Bundle:
    """In the order that they are given in."""
    return Bundle(
        tuple(SentCommitment(m, d, t, expanded(r, vs)) for m, t, d, r, vs in commitments),
        tuple(SentBallot(m, entries, expanded(r, vs), b"") for m, r, vs, entries in ballots),
    )


def expanded(r: int, vs: int) -> bytes:
    """r ‖ s ‖ v of the two words of EIP-2098."""
    s, v = vs & 2**255 - 1, 27 + (vs >> 255)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v])


def _with(record: Record, **changes: Any) -> Record:
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return Record(**values | changes)
