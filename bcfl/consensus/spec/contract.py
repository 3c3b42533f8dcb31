"""What ``contracts/PeerConsensus.vy`` does, in plain sets and dictionaries: its reference.

Each method says whether a call is good, and if it is, does it. Signatures are not in it: whoever
calls says who signed. Time is given as the block's, in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bcfl.consensus.spec.domain import Ballot, Phase, RoundState, bits
from bcfl.consensus.spec.rules import LEAST_WINDOW_S
from bcfl.consensus.spec.scoring import Borda, abstains, expect_ballot, seen_by_most, tally
from bcfl.consensus.spec.selection import select_winners, takes_part
from bcfl.core.errors import ProtocolError


@dataclass(frozen=True, slots=True)
class Terms:
    """The constructor's arguments that decide what is good."""

    kappa_ppm: int
    quorum: int
    commit_window_s: int
    ballot_window_s: int
    sealed: bool = False
    stake: int = 0


@dataclass(slots=True)
class ContractModel:
    """One task: who its members are, and the round that it is in.

    Members are indices into ``accounts``; sets hold indices.
    """

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
    abstained: set[int] = field(default_factory=set)
    everybody: bool = False
    burnt: int = 0
    winners: tuple[int, ...] = ()
    equivocators: set[int] = field(default_factory=set)
    owed: dict[str, int] = field(default_factory=dict)

    def deadlines(self) -> tuple[int, int, int]:
        """The last seconds for commitments, seals and ballots."""
        commit = self.opened_at + self.terms.commit_window_s
        seal = commit + self.terms.ballot_window_s * self.terms.sealed
        ballot = seal + self.terms.ballot_window_s
        if self.round and self.expected <= set(self.committed):
            return self.opened_at + LEAST_WINDOW_S, seal, ballot
        return commit, seal, ballot

    def phase(self, now: int) -> Phase:
        """Where the round stands."""
        if self.status != "open":
            return Phase.IDLE if self.status == "idle" else Phase.SELECTED
        commit, seal, ballot = self.deadlines()
        committed = set(self.committed)
        if not self.everybody and now <= commit:
            return Phase.COMMIT
        if len(committed) < self.terms.quorum:
            return Phase.SELECT
        if (found := self.before_ballots(now)) is not None:
            return found
        voters = committed
        if self.terms.sealed:
            voters = set(self.sealed)
            if voters != committed and now <= seal:
                return Phase.SEAL
        done = self.abstained | self.ballots.keys()
        if len(voters) < self.terms.quorum or now > ballot or voters <= done:
            return Phase.SELECT
        return Phase.BALLOT

    def before_ballots(self, now: int) -> Phase | None:
        """What there may be between commitments and ballots: here nothing."""
        return None

    def rated(self, author: int) -> frozenset[int]:
        """Whom the ballot of a member may rate."""
        return frozenset(self.committed) - {author}

    def state(self, now: int) -> RoundState:
        """Everything about the current round, or the last one."""
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
            bits(self.abstained),
        )

    def totals(self) -> dict[int, int]:
        """The points so far, by member."""
        return tally(Borda(), self.ballots, set(self.committed), self.size)

    # -- rounds -------------------------------------------------------------------------------

    def open(self, now: int, sender: str, base: bytes, expected: frozenset[int]) -> bool:
        """The coordinator opens a round."""
        good = sender == self.coordinator and self.status == "idle" and base == self.model
        if not (good and expected and expected <= self.active):
            return False
        self.round, self.status, self.opened_at = self.round + 1, "open", now
        self.size, self.expected, self.winners = len(self.active), expected, ()
        self.committed, self.sealed, self.ballots = {}, {}, {}
        self.abstained, self.everybody = set(), False
        return True

    def commit(self, now: int, batch: Sequence[tuple[int, bytes, int, bool]]) -> list[int] | None:
        """A relayed batch of (member, digest, timestamp, whether the signature holds).

        Gives who is refused, in their order; None if the whole call is.
        """
        if self.phase(now) is not Phase.COMMIT:
            return None
        refused = []
        for member, digest, timestamp, signed in batch:
            if member in self.committed:
                continue
            inside = self.opened_at <= timestamp <= now
            if member not in self.active or not signed or not inside:
                refused.append(member)
                continue
            self.committed[member] = digest
            self.everybody = self.active <= set(self.committed)
        return refused

    def seal(self, now: int, batch: Sequence[tuple[int, bytes, bool]]) -> list[int] | None:
        """A batch of (member, seal, whether the signature holds); gives who is refused."""
        if self.phase(now) is not Phase.SEAL:
            return None
        refused = []
        for member, seal, signed in batch:
            if member in self.sealed:
                continue
            if member not in self.committed or not signed:
                refused.append(member)
                continue
            self.sealed[member] = seal
        return refused

    def vote(
        self, now: int, batch: Sequence[tuple[int, bytes, bool]], seed: bytes
    ) -> list[int] | None:
        """A batch of (member, entries, whether the signature holds or the seal is kept).

        The last ballot decides the round, with ``seed``, the hash of a block: it is taken to lie
        in a later block than the last commitment.
        """
        if self.phase(now) is not Phase.BALLOT:
            return None
        refused = []
        for member, entries, signed in batch:
            if member in self.abstained | self.ballots.keys():
                continue
            others = self.rated(member)
            try:
                ballot = Ballot.decode(self.round, entries)
                expect_ballot(ballot, others, len(others) + 1)
            except ProtocolError:
                refused.append(member)
                continue
            if member not in self.committed or not signed:
                refused.append(member)
            elif abstains(ballot, others):
                self.abstained.add(member)
            else:
                self.ballots[member] = ballot
        self.after_ballots(now, seed)
        return refused

    def after_ballots(self, now: int, seed: bytes) -> None:
        """What the last ballot brings about: here the selection."""
        self.select(now, seed)

    def select(self, now: int, seed: bytes) -> bool:
        """Choose the winners, or find the round void; ``seed`` is the hash of a block."""
        if self.phase(now) is not Phase.SELECT:
            return False
        candidates = self.committed.keys() - self.equivocators
        seen = seen_by_most(self.ballots, set(self.committed))
        counts = len(candidates), len(self.ballots), len(self.committed)
        if not takes_part(*counts, self.terms.quorum) or not seen & candidates:
            self.status = "idle"
            return True
        kappa_ppm = self.terms.kappa_ppm
        self.winners = select_winners(self.totals(), candidates, seen, kappa_ppm, seed)
        self.status = "selected"
        return True

    def close(
        self, now: int, sender: str, round_: int, model: bytes, expected: frozenset[int]
    ) -> bool:
        """The coordinator names the next model, and opens the next round for whom it expects."""
        if sender != self.coordinator or self.status != "selected" or round_ != self.round:
            return False
        if not expected <= self.active:
            return False
        self.status, self.model = "idle", model
        return not expected or self.open(now, sender, model, expected)

    def prove(self, member: int, round_: int, proves: bool) -> bool:
        """Somebody shows two commitments of one member for one round."""
        if not proves or not 0 < round_ <= self.round or member in self.equivocators:
            return False
        if member >= len(self.accounts):
            return False
        self.equivocators.add(member)
        if member in self.active:
            self.active.remove(member)
            self.burnt += self.terms.stake
        return True

    # -- members ------------------------------------------------------------------------------

    def join(self, sender: str, account: str, value: int) -> bool:
        """A member more: by its own stake, or where there is none by the coordinator."""
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
        """Pay out what is owed."""
        return bool(self.owed.pop(sender, 0))

    def _owe(self, account: str) -> None:
        if self.terms.stake:
            self.owed[account] = self.owed.get(account, 0) + self.terms.stake
