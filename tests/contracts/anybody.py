"""Anybody calls anything of a consensus contract, at any time, beside its model in Python."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

from eth_account.signers.local import LocalAccount
from hypothesis import Phase as Stage
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from bcfl.consensus.spec.contract import ContractModel, Terms
from bcfl.consensus.spec.domain import Ballot, Commitment, Phase, bits
from bcfl.consensus.spec.rules import Rule
from tests.contracts.peer_consensus_actors import (
    ACTIONS,
    ADDRESSES,
    CHIEF,
    EVERYBODY,
    OUTSIDER,
    PLAN,
    STAKE,
    Actions,
)
from tests.contracts.peer_consensus_history import check_history
from tests.contracts.peer_consensus_keys import Words, revealed, salt, seal_of
from tests.contracts.peer_consensus_task import (
    GENESIS,
    NOBODY,
    WINDOW_S,
    Task,
    digest_of,
)

#: What every history of some length has in it.
ALWAYS = {
    "open_round", "commit", "commit_direct", "seal", "seal_direct", "cast_ballots",
    "cast_ballot_direct", "select", "close_round", "prove_equivocation", "add_member",
    "remove_member", "join", "leave", "withdraw", "Refused",
}  # fmt: skip


class Anybody(RuleBasedStateMachine):
    """Members, the coordinator, relayers and strangers, on one task.

    A machine of another contract says what is different there.
    """

    actions: ClassVar[Actions] = ACTIONS
    decides: ClassVar[Rule] = "borda"
    task: Task
    model: ContractModel
    calls: ClassVar[Counter[str]]  #: what was called, and what events came, over all examples

    def found(self, terms: Terms, founders: list[str]) -> tuple[Task, ContractModel]:
        """The contract, and what it is held against; six people have keys."""
        task = Task(
            6,
            kappa_ppm=terms.kappa_ppm,
            quorum=terms.quorum,
            sealed=terms.sealed,
            stake=terms.stake,
            accounts=founders,
        )
        model = ContractModel(terms, GENESIS, CHIEF, list(founders), set(range(len(founders))))
        return task, model

    @initialize(
        founders=st.integers(2, 5),
        quorum=st.integers(1, 2),
        kappa_ppm=st.sampled_from([1, 333_333, 500_000, 999_999]),
        sealed=st.booleans(),
        stake=st.sampled_from([0, STAKE]),
    )
    def deploy(self, founders: int, quorum: int, kappa_ppm: int, sealed: bool, stake: int) -> None:
        first = [] if stake else ADDRESSES[:founders]
        terms = Terms(kappa_ppm, quorum, WINDOW_S, WINDOW_S, sealed, stake)
        self.task, self.model = self.found(terms, first)
        #: What its author really signed or sent: nothing else may ever be an event.
        self.said: set[tuple[int, int, bytes | int]] = set()
        for address in ADDRESSES:
            self.task.env.set_balance(address, 1000 * STAKE)
        for address in ADDRESSES[:founders] if stake else []:
            self.come(address, 0, STAKE)

    @rule(data=st.data())
    def somebody_acts(self, data: st.DataObject) -> None:
        # One rule for all: Hypothesis leaves out rules at random, and with them whole phases.
        name = data.draw(st.sampled_from([*PLAN, *self.actions]), label="action")
        drawn = {key: data.draw(choice, label=key) for key, choice in self.actions[name].items()}
        getattr(self, name)(**drawn)

    def expect(self, good: bool, name: str, *arguments: Any, **options: Any) -> None:
        """Call the contract; it must do it exactly if the call is good."""
        done = self.task.tries(name, *arguments, **options)
        assert done == good, f"{name}{arguments} from {options} in {self.task.state.phase.name}"
        self.calls[name if done else f"{name}, refused"] += 1

    def expect_batch(
        self, refused: list[int] | None, name: str, *arguments: Any, **options: Any
    ) -> None:
        """Relay; it goes through exactly in its phase, and passes over exactly these."""
        before = len(self.task.events("Refused"))
        self.expect(refused is not None, name, *arguments, **options)
        said = [event["member"] for event in self.task.events("Refused")[before:]]
        assert said == (refused or [])

    def key(self, member: int) -> LocalAccount:
        """Of that member, or of somebody who is none."""
        known = self.model.accounts
        return EVERYBODY[known[member]] if member < len(known) else OUTSIDER

    def signer(self, member: int, fault: str) -> tuple[LocalAccount, bool]:
        """Who signs for a member, and whether that and the round will hold."""
        key = OUTSIDER if fault == "key" else self.key(member)
        return key, key is self.key(member) and fault != "round"

    @property
    def now(self) -> int:
        return self.task.now

    @property
    def round(self) -> int:
        return max(self.model.round, 1)

    # -- rounds -------------------------------------------------------------------------------

    def time_passes(self, seconds: int) -> None:
        self.task.travel(seconds)

    def open(self, sender: str, whom: set[int], base: bytes) -> None:
        expected = frozenset(whom if len(whom) == 1 else whom & self.model.active)
        base = base or self.model.model
        good = self.model.open(self.now, sender, base, expected)
        self.expect(good, "open_round", base, bits(expected), sender=sender)

    def commit(self, members: list[int], fault: str, version: int, sender: str) -> None:
        timestamp = {"early": self.model.opened_at - 1, "late": self.now + 1}.get(fault, self.now)
        batch, meant = [], []
        for member in members:
            key, signed = self.signer(member, fault)
            digest = digest_of(member, self.round, version)
            commitment = Commitment(
                self.round + (fault == "round"), self.model.model, digest, max(timestamp, 0)
            )
            batch.append(self.task.signing.commitment(member, key, commitment))
            meant.append((member, digest, timestamp, signed))
            if signed:
                self.said.add((self.round, member, digest))
        refused = self.model.commit(self.now, meant)
        self.expect_batch(refused, "commit", self.model.round, batch, sender=sender)

    def commit_directly(self, member: int, version: int, late: bool) -> None:
        digest, timestamp = digest_of(member, self.round, version), self.now + late
        first = member not in self.model.committed
        good = first and self.model.commit(self.now, [(member, digest, timestamp, True)]) == []
        self.said |= {(self.round, member, digest)} if good else set()
        sender = self.key(member).address
        self.expect(good, "commit_direct", self.model.round, digest, timestamp, sender=sender)

    def candidates(self, member: int) -> list[int]:
        """Whom its ballot rates."""
        return [j for j in self.model.committed if j != member]

    def secret(self, member: int) -> bytes:
        """What this member seals in this round: it speaks of all whom it may rate.

        Now and then it finds somebody missing, or several, and then it may have to abstain.
        """
        others = self.candidates(member)
        luck = (member + self.round) % 6
        missing, invalid = others[: (luck == 4) + (luck == 5) * 2], others[3:] * (luck == 3)
        rated = {j: (j + member) % 2 for j in others if j not in (*missing, *invalid)}
        return Ballot.from_values(self.round, rated, missing, invalid).encode()

    def seal(self, members: list[int], fault: str, direct: bool) -> None:
        seals = {m: seal_of(self.secret(m), salt(m)) for m in members}
        if direct and members:
            member = members[0]
            first = member not in self.model.sealed
            good = first and self.model.seal(self.now, [(member, seals[member], True)]) == []
            sender = self.key(member).address
            self.expect(good, "seal_direct", self.model.round, seals[member], sender=sender)
            return
        batch, meant = [], []
        for member in members:
            key, signed = self.signer(member, fault)
            round_ = self.round + (fault == "round")
            batch.append(self.task.signing.seal(member, key, round_, seals[member]))
            meant.append((member, seals[member], signed))
        self.expect_batch(self.model.seal(self.now, meant), "seal", self.model.round, batch)

    def vote(
        self, members: list[int], fault: str, row: dict[int, int], damage: str, direct: bool
    ) -> None:
        batch, meant = [], []
        for member in members:
            entries = self.secret(member)
            if not self.model.terms.sealed and len(row) > 1:
                entries = Ballot.from_values(self.round, row).encode()
            entries = {"cut": entries[:-1], "swap": entries[5:] + entries[:5]}.get(damage, entries)
            kept = self.model.sealed.get(member) == seal_of(entries, salt(member))
            key, signed = self.signer(member, fault)
            meant.append((member, entries, kept if self.model.terms.sealed else signed))
            batch.append(self._cast(member, key, fault, entries))
        if direct and members:
            member, entries, holds = meant[0]
            first = member not in self.model.abstained | self.model.ballots.keys()
            holds = holds or not self.model.terms.sealed
            good = (
                first
                and self.model.vote(self.now, [(member, entries, holds)], self.task.seed()) == []
            )
            arguments = (self.model.round, entries, salt(member))
            sender = self.key(member).address
            self.expect(good, "cast_ballot_direct", *arguments, sender=sender)
            return
        refused = self.model.vote(self.now, meant, self.task.seed())
        self.expect_batch(refused, "cast_ballots", self.model.round, batch)

    def _cast(self, member: int, key: LocalAccount, fault: str, entries: bytes) -> Words:
        if self.model.terms.sealed:
            return revealed(member, entries, salt(member))
        return self.task.signing.entries(member, key, self.round + (fault == "round"), entries)

    def select(self, sender: str, lie: bool) -> None:
        good = self.model.select(self.now, self.task.seed())
        self.expect(good, "select", sender=sender)

    def close(self, sender: str, before: bool) -> None:
        round_ = self.model.round - (before and sender != CHIEF and self.model.round > 0)
        model = digest_of(99, self.round)
        # some end alone, and some would open the next for a stranger
        whom = [set(), self.model.active, {*self.model.active, 127}, set()]
        expected = frozenset(whom[sum(self.calls.values()) % 4])
        good = self.model.close(self.now, sender, round_, model, expected)
        self.expect(good, "close_round", round_, model, bits(expected), sender=sender)

    def prove(self, member: int, back: int, fault: str) -> None:
        round_ = max(self.model.round - back, 0)
        key, signed = self.signer(member, fault)
        pair = [
            self.task.signing.evidence(
                key, Commitment(max(round_, 1), GENESIS, digest_of(member, round_, version), 0)
            )
            for version in (0, int(fault != "same"))
        ]
        good = self.model.prove(member, round_, signed and fault != "same")
        self.expect(good, "prove_equivocation", member, round_, *pair, sender=OUTSIDER)

    def go_on(self, whom: set[int], steps: int) -> None:
        """The next steps of the protocol, by some or by all whose turn it is."""
        for _ in range(steps):
            self.step(whom)

    def go_on_alone(self, member: int, steps: int) -> None:
        """The same, without a relayer."""
        for _ in range(steps):
            self.step({member})

    def step(self, whom: set[int]) -> None:
        """One step, directly if one alone is meant to take it."""
        phase = self.model.phase(self.now)
        due = self.due(phase)
        self.take(phase, sorted(due & whom or due), alone=len(whom) == 1)

    def due(self, phase: Phase) -> set[int]:
        """Whose turn it is."""
        model = self.model
        if phase is Phase.COMMIT:
            return model.active - model.committed.keys()
        if phase is Phase.SEAL:
            return model.committed.keys() - model.sealed.keys()
        if phase is Phase.BALLOT:
            voters = model.sealed if model.terms.sealed else model.committed
            return voters.keys() - model.ballots.keys() - model.abstained
        return set()

    def take(self, phase: Phase, some: list[int], *, alone: bool) -> None:
        """The step of this phase."""
        match phase:
            case Phase.IDLE:
                self.open(CHIEF, self.model.active | {0}, b"")
            case Phase.COMMIT if some and alone:
                self.commit_directly(some[0], 0, late=False)
            case Phase.COMMIT if some:
                self.commit(some, "", 0, CHIEF)
            case Phase.SEAL:
                self.seal(some, "", alone)
            case Phase.BALLOT:
                self.vote(some, "", {}, "", alone)
            case Phase.SELECT:
                self.select(CHIEF, lie=False)
            case Phase.SELECTED:
                self.close(CHIEF, before=False)

    # -- members ------------------------------------------------------------------------------

    def come(self, sender: str, member: int, value: int) -> None:
        if self.model.terms.stake:
            self.expect(self.model.join(sender, sender, value), "join", sender=sender, value=value)
        else:
            good = self.model.join(sender, ADDRESSES[member], 0)
            self.expect(good, "add_member", ADDRESSES[member], sender=sender)

    def go(self, sender: str, member: int) -> None:
        if self.model.terms.stake:
            known = sender in self.model.accounts
            seat = self.model.accounts.index(sender) if known else -1
            self.expect(self.model.leave(sender, seat), "leave", sender=sender)
        else:
            good = self.model.leave(sender, member)
            self.expect(good, "remove_member", member, sender=sender)

    def withdraw(self, sender: str, owed: bool) -> None:
        if owed and self.model.owed:
            sender = min(self.model.owed)
        self.expect(self.model.withdraw(sender), "withdraw", sender=sender)

    def move(self, address: str) -> None:
        """Between rounds somebody comes, or goes if it is there, and fetches its money."""
        for _ in range(5):
            if self.model.status != "idle":
                self.step(set())
        accounts = self.model.accounts
        seat = accounts.index(address) if address in accounts else -1
        sender = address if self.model.terms.stake else CHIEF
        if seat in self.model.active:
            self.go(sender, seat)
        else:
            self.come(sender, ADDRESSES.index(address), STAKE)
        self.withdraw(address, owed=True)

    # -- what always holds --------------------------------------------------------------------

    @invariant()
    def the_contract_is_where_the_model_is(self) -> None:
        if not hasattr(self, "model"):
            return
        assert self.task.state == self.model.state(self.now)
        assert self.task.call("active") == bits(self.model.active)
        assert list(self.task.call("members")) == self.model.accounts
        self.counts_as_the_model_does()

    def counts_as_the_model_does(self) -> None:
        """The points so far are the model's."""
        totals = self.model.totals()
        assert self.task.scores(7) == [totals.get(i, 0) for i in range(7)]

    @invariant()
    def all_money_is_a_stake_or_owed(self) -> None:
        if not hasattr(self, "model"):
            return
        staked = self.model.terms.stake * len(self.model.active)
        owed = sum(self.model.owed.values())
        assert self.task.env.get_balance(self.task.address) == staked + owed
        assert self.task.env.get_balance(NOBODY) == self.model.burnt

    def teardown(self) -> None:
        """Once more: who is owed what, and the history, read from the events alone."""
        if not hasattr(self, "model"):
            return
        owed = {address: self.task.call("withdrawable", address) for address in ADDRESSES}
        assert {account: wei for account, wei in owed.items() if wei} == self.model.owed
        check_history(self.task, self.said, self.decides)
        self.calls.update(log.name for log in self.task.logs)


def play(machine: type[Anybody], examples: int | None = None) -> Counter[str]:
    """Play histories; how often each call succeeded, or was refused, and each event came."""
    machine.calls = Counter()
    stages = [Stage.generate, Stage.shrink]
    some = {} if examples is None else {"max_examples": examples}
    options: Any = {"stateful_step_count": 40, "phases": stages, **some}
    run_state_machine_as_test(machine, settings=settings(**options))
    return machine.calls


def expect_all(calls: Counter[str], names: set[str]) -> None:
    """Everything succeeded now and then, and enough did to prove something."""
    done = {name for name in calls if not name.endswith("refused")}
    assert done >= names, f"never succeeded: {names - done} of {calls}"
    tried = {name for name in calls if name[0].islower()}
    succeeded = sum(calls[name] for name in tried if not name.endswith("refused"))
    assert succeeded > 0.2 * sum(calls[name] for name in tried), (
        f"too few calls succeed to prove anything: {calls}"
    )
    assert min(calls[name] for name in ("close_round", "cast_ballots")) >= 10, calls
    assert min(calls[name] for name in ("Selected", "Voided", "Abstained")) >= 5, calls
