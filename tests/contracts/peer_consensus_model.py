"""What ``PeerConsensus`` is to do, in plain sets and dictionaries, for the state machine.

Each method says whether a call is good, and if it is, does it. Signatures are not modelled:
whoever calls says who signed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bcfl.consensus.spec.domain import Ballot, Phase, RoundState, bits
from bcfl.consensus.spec.scoring import Borda, tally
from bcfl.consensus.spec.selection import select_winners
from bcfl.core.errors import ProtocolError


@dataclass(frozen=True)
class Terms:
    """The constructor's arguments that matter here."""

    kappa_ppm: int
    quorum: int
    window_s: int
    sealed: bool
    stake: int


@dataclass
class Model:
    """The task as it should be."""

    terms: Terms
    model: bytes
    coordinator: str
    accounts: list[str]
    active: set[int]
    round: int = 0
    status: str = "idle"  # idle, open, selected
    opened_at: int = 0
    size: int = 0
    expected: frozenset[int] = frozenset()
    committed: dict[int, bytes] = field(default_factory=dict)
    sealed: dict[int, bytes] = field(default_factory=dict)
    ballots: dict[int, Ballot] = field(default_factory=dict)
    winners: tuple[int, ...] = ()
    equivocators: set[int] = field(default_factory=set)
    owed: dict[str, int] = field(default_factory=dict)

    def deadlines(self) -> tuple[int, int, int]:
        window = self.terms.window_s
        commit = self.opened_at + window
        seal = commit + window * self.terms.sealed
        return commit, seal, seal + window

    def phase(self, now: int) -> Phase:
        if self.status != "open":
            return Phase.IDLE if self.status == "idle" else Phase.SELECTED
        commit, seal, ballot = self.deadlines()
        committed = set(self.committed)
        if not self.expected <= committed and now <= commit:
            return Phase.COMMIT
        if len(committed) < self.terms.quorum:
            return Phase.SELECT
        voters = committed
        if self.terms.sealed:
            voters = set(self.sealed)
            if voters != committed and now <= seal:
                return Phase.SEAL
        if len(voters) < self.terms.quorum or now > ballot or voters <= set(self.ballots):
            return Phase.SELECT
        return Phase.BALLOT

    def state(self, now: int) -> RoundState:
        deadlines = self.deadlines() if self.round else (0, 0, 0)
        return RoundState(
            self.round,
            self.phase(now),
            self.model,
            bits(self.expected),
            bits(self.committed),
            bits(self.sealed),
            bits(self.ballots),
            bits(self.winners),
            bits(self.equivocators),
            self.opened_at,
            *deadlines,
        )

    def totals(self) -> dict[int, int]:
        return tally(Borda(), self.ballots.values(), self.size)

    # -- rounds -------------------------------------------------------------------------------

    def open(self, now: int, sender: str, base: bytes, expected: frozenset[int]) -> bool:
        good = sender == self.coordinator and self.status == "idle" and base == self.model
        if not (good and expected and expected <= self.active):
            return False
        self.round, self.status, self.opened_at = self.round + 1, "open", now
        self.size, self.expected, self.winners = len(self.active), expected, ()
        self.committed, self.sealed, self.ballots = {}, {}, {}
        return True

    def commit(self, now: int, batch: Sequence[tuple[int, bytes, int, bool]]) -> bool:
        """A relayed batch of (member, digest, timestamp, whether the signature holds)."""
        if self.phase(now) is not Phase.COMMIT:
            return False
        taken = dict(self.committed)
        for member, digest, timestamp, signed in batch:
            if member not in self.active:
                return False
            if member in taken:
                continue
            if not signed or not self.opened_at <= timestamp <= now:
                return False
            taken[member] = digest
        self.committed = taken
        return True

    def seal(self, now: int, batch: Sequence[tuple[int, bytes, bool]]) -> bool:
        if self.phase(now) is not Phase.SEAL:
            return False
        taken = dict(self.sealed)
        for member, seal, signed in batch:
            if member not in self.committed:
                return False
            if member not in taken:
                if not signed:
                    return False
                taken[member] = seal
        self.sealed = taken
        return True

    def vote(self, now: int, batch: Sequence[tuple[int, bytes, bool]]) -> bool:
        """A batch of (member, entries, whether the signature holds or the seal is kept)."""
        if self.phase(now) is not Phase.BALLOT:
            return False
        taken = dict(self.ballots)
        for member, entries, signed in batch:
            if member not in self.committed:
                return False
            if member in taken:
                continue
            try:
                ballot = Ballot.decode(self.round, entries)
                Borda().points(ballot, self.size)
            except ProtocolError:
                return False
            rated = {rating.member for rating in ballot.ratings}
            if not signed or member in rated or not rated <= set(self.committed):
                return False
            taken[member] = ballot
        self.ballots = taken
        return True

    def select(self, now: int) -> bool:
        if self.phase(now) is not Phase.SELECT:
            return False
        digests = {m: d for m, d in self.committed.items() if m not in self.equivocators}
        if min(len(digests), len(self.ballots)) < self.terms.quorum:
            self.status = "idle"
            return True
        self.winners = select_winners(self.totals(), digests, self.terms.kappa_ppm)
        self.status = "selected"
        return True

    def close(self, sender: str, round_: int, model: bytes) -> bool:
        if sender != self.coordinator or self.status != "selected" or round_ != self.round:
            return False
        self.status, self.model = "idle", model
        return True

    def prove(self, member: int, round_: int, proves: bool) -> bool:
        if not proves or not 0 < round_ <= self.round or member in self.equivocators:
            return False
        if member >= len(self.accounts):
            return False
        self.equivocators.add(member)
        if member in self.active:
            self.active.remove(member)
            self._owe(self.coordinator)
        return True

    # -- members ------------------------------------------------------------------------------

    def join(self, sender: str, account: str, value: int) -> bool:
        stake = self.terms.stake
        entitled = value == stake if stake else sender == self.coordinator
        if self.status != "idle" or not entitled:
            return False
        seat = self.accounts.index(account) if account in self.accounts else len(self.accounts)
        if seat in self.active | self.equivocators:
            return False
        if seat == len(self.accounts):
            self.accounts.append(account)
        self.active.add(seat)
        return True

    def leave(self, sender: str, member: int) -> bool:
        """By itself where there is a stake, else by the coordinator."""
        if self.terms.stake:
            good = self.status != "open"
        else:
            good = sender == self.coordinator and self.status == "idle"
        if not good or member not in self.active:
            return False
        self.active.remove(member)
        self._owe(self.accounts[member])
        return True

    def withdraw(self, sender: str) -> bool:
        return bool(self.owed.pop(sender, 0))

    def _owe(self, account: str) -> None:
        if self.terms.stake:
            self.owed[account] = self.owed.get(account, 0) + self.terms.stake
