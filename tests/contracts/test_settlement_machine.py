"""Coordinators that lie or do not, members that look, strangers that doubt whatever they like.

Whoever lies is slashed where one honest member looks; whoever does not never is. Every call does
what the reference says.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, ClassVar

import pytest
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

from bcfl.consensus.contract.bundle import Bundle, fault_of
from bcfl.consensus.spec.domain import members_in
from bcfl.consensus.spec.settlement import Record
from tests.contracts.peer_consensus_keys import Words, account
from tests.contracts.peer_consensus_task import COORDINATOR, NOBODY, WINDOW_S
from tests.contracts.settlement_task import (
    BOND,
    CHALLENGE_WINDOW_S,
    DEPOSIT,
    SettlementTask,
    bundle_of,
    words_of,
)

MEMBERS = st.integers(0, 4)
#: What a coordinator may say that does not follow, or not show.
LIES = ("winners", "root", "forged", "early", "left out", "unheard")
HONEST_MEMBER, GRIEFER = account(0), account(2000)
#: A round, as its coordinator has it go.
ROUND: dict[str, Any] = {
    "committing": st.sets(MEMBERS, min_size=2),
    "silent": st.sets(MEMBERS, max_size=2),
    "unseen": st.sets(MEMBERS, max_size=2),
    "lie": st.sampled_from(["", "", *LIES]),
    "goes_on": st.sampled_from([True, True, False]),
    "order": st.permutations(range(5)),
}
#: What a short run of the machine has in it; and a long one.
ALWAYS = {"settle", "show_ballot", "challenge", "convicted at once", "refused"}
ALL = ALWAYS | {
    "show_commitment", "upheld", "void round", "convicted in time", "take_back", "release",
    "member", *LIES,
}  # fmt: skip


class Settling(RuleBasedStateMachine):
    """One task; the honest member looks at every round within its window."""

    seen: ClassVar[Counter[str]]

    @initialize(liar=st.booleans(), quorum=st.integers(1, 3))
    def found(self, liar: bool, quorum: int) -> None:
        self.task = SettlementTask(5, quorum=quorum)
        self.task.begin()
        self.liar = liar
        self.lied = False
        self.void_from = 0
        self.records: dict[int, Record] = {}
        self.bundles: dict[int, Bundle] = {}  # as all are given them
        self.faults: dict[tuple[int, bytes], str] = {}
        self.doubts: dict[int, int] = {}  # deadlines
        self.commitments: dict[int, Words] = {}  # brought past the coordinator
        self.ballots: dict[int, Words] = {}

    # -- what members do ----------------------------------------------------------------------

    @rule(member=MEMBERS, after=st.sampled_from([0, 0, WINDOW_S + 1]), version=st.integers(0, 1))
    def commit(self, member: int, after: int, version: int) -> None:
        """Past the coordinator."""
        now = self.task.standing
        if not now.open:
            return
        self.task.travel(after)
        words = self.task.commitment(member, version)
        forced = now.forced & 2**128 - 1
        counts = now.members & ~forced & 1 << member
        done = self.tries("show_commitment", now.round, words)
        assert done == bool(counts and self.task.now <= now.time + WINDOW_S)
        if done:
            self.commitments[member] = words
            self.seen["show_commitment"] += 1

    @rule(member=MEMBERS, junk=st.booleans())
    def vote(self, member: int, junk: bool) -> None:
        """Past the coordinator."""
        now = self.task.standing
        if not now.open:
            return
        values = {j: 100 - j for j in range(5) if j != member}
        words = self.task.raw_ballot(member, b"junk") if junk else self.task.ballot(member, values)
        inside = self.task.now <= now.time + 2 * WINDOW_S
        done = self.tries("show_ballot", now.round, *words[:3], words[3])
        counts = member not in self.ballots and now.members >> member & 1
        assert done == bool(inside and counts)
        if done:
            self.ballots[member] = words
            self.seen["show_ballot"] += 1

    @invariant()
    def look(self) -> None:
        """The honest member holds what it was given against what was settled."""
        if not hasattr(self, "task"):
            return
        for number, record in self.records.items():
            counts = not self.void_from or number < self.void_from
            if number in self.doubts or not counts or not self.fault(number, self.bundles):
                continue
            assert self.tries("challenge", words_of(record), sender=HONEST_MEMBER, value=BOND), (
                "a lie is found in its window"
            )
            self.doubts[number] = self.task.now + CHALLENGE_WINDOW_S
            self.seen["challenge"] += 1

    # -- what the coordinator does ------------------------------------------------------------

    @rule(**ROUND)
    def settle(
        self,
        committing: set[int],
        silent: set[int],
        unseen: set[int],
        lie: str,
        goes_on: bool,
        order: list[int],
    ) -> None:
        """An honest round of these; or one with a lie."""
        if not self.task.standing.open:
            self.go_on()
        if not self.task.standing.open:
            return
        lie = lie if self.liar else ""
        if lie == "unheard":  # somebody has come with a ballot
            self.vote(member=min(committing), junk=False)
        good = self.played(committing, silent, unseen, order)
        bundle, changes = self.told(good, lie)
        if lie != "early":
            self.task.wait_for_the_end(good)
        record = replace(self.task.record(good), **{"root": bundle.root()} | changes)
        if lie == "winners":
            record = self.other_winners(record)
        said = record.round, record.root, 0, record.model
        for wrong in (2**255, 0, record.opened_at, 0), (0, 0, record.opened_at - 1, 0):
            assert not self.tries("settle", *said, *wrong)
        self.records[record.round] = settled = self.task.settle(record)
        self.bundles[record.round] = bundle
        self.commitments, self.ballots = {}, {}
        if not goes_on:
            self.task.call("pause")
        found = self.fault(record.round, self.bundles)
        if not lie:
            assert found == "", "an honest round has no fault"
        if lie in ("winners", "root"):
            assert found, "and a lie has one"
        self.lied |= bool(found)
        self.seen.update(["settle", lie if found else ""])
        self.seen["void round"] += not settled.winners

    @rule(**ROUND)
    def settle_another(self, **round_: Any) -> None:
        """Rounds come more often than what goes on beside them."""
        self.settle(**round_)

    @rule()
    def answer_all(self) -> None:
        """Before any deadline passes an honest coordinator has answered."""
        for number in sorted(self.doubts):
            self.answer(number, self.bundles[number], COORDINATOR)

    @rule(member=st.integers(0, 5), comes=st.booleans())
    def change_members(self, member: int, comes: bool) -> None:
        now = self.task.standing
        idle = not now.open
        active = self.task.call("active")
        if comes:
            address = account(member).address
            assert self.tries("add_member", address) == (idle and not active >> member & 1)
        elif active.bit_count() > 3 and member < 5:
            done = self.tries("remove_member", member)
            assert done == bool(idle and active >> member & 1)
            self.seen["member"] += done

    @rule()
    def go_on(self) -> None:
        now = self.task.standing
        value = 0 if now.deposited else DEPOSIT
        done = self.tries("open_round", now.model, value=value)
        assert done == (not now.forced and not self.void_from)

    @rule(all_is_final=st.booleans())
    def release(self, all_is_final: bool) -> None:
        if all_is_final and not self.liar:
            self.answer_all()
            self.tries("pause")
            self.task.travel(CHALLENGE_WINDOW_S + 1)
        now = self.task.standing
        done = self.tries("release")
        final = self.task.now > now.time + CHALLENGE_WINDOW_S
        assert done == (not now.open and now.deposited and not self.doubts and final)
        if done:
            assert not self.lied
            self.seen["release"] += 1

    # -- what anybody does --------------------------------------------------------------------

    @rule(back=st.integers(0, 3), changed=st.booleans())
    def doubt(self, back: int, changed: bool) -> None:
        """For no reason."""
        if not self.records:
            return
        number = max(self.records) - back
        if (record := self.records.get(number)) is None:
            return
        said = replace(record, winners=record.winners ^ 1) if changed else record
        good = not changed and number not in self.doubts and self.open_to_doubt(number)
        assert self.tries("challenge", words_of(said), sender=GRIEFER, value=BOND) == good
        if good:
            self.doubts[number] = self.task.now + CHALLENGE_WINDOW_S

    @rule(back=st.integers(0, 3), other=st.booleans())
    def bring(self, back: int, other: bool) -> None:
        """Whoever has a round may show it."""
        number = max(self.records, default=0) - back
        if number not in self.records:
            return
        bundle = self.bundles[number]
        if other:
            bundle = Bundle(bundle.commitments[1:], bundle.ballots)
        self.answer(number, bundle, GRIEFER.address)

    @rule(number=st.integers(1, 4))
    def convict(self, number: int) -> None:
        counts = not self.void_from or number < self.void_from
        late = number in self.doubts and self.task.now > self.doubts[number]
        done = self.tries("convict", number, sender=GRIEFER)
        assert done == (counts and late)
        if done:
            self.convicted(number)
            self.seen["convicted in time"] += 1

    @rule(number=st.integers(1, 4))
    def take_back(self, number: int) -> None:
        void = bool(self.void_from) and number >= self.void_from
        done = self.tries("take_back", number, sender=GRIEFER)
        assert done == (void and number in self.doubts)
        if done:
            del self.doubts[number]
            self.seen["take_back"] += 1

    @rule(seconds=st.sampled_from([1, 31, 250, CHALLENGE_WINDOW_S // 2 + 1, CHALLENGE_WINDOW_S]))
    def time_passes(self, seconds: int) -> None:
        """An honest coordinator answers before it is late."""
        due = min(self.doubts.values(), default=self.task.now + seconds)
        if not self.liar and self.task.now + seconds > due:
            self.answer_all()
        self.task.travel(seconds)

    # -- what must hold -----------------------------------------------------------------------

    @invariant()
    def no_money_is_lost(self) -> None:
        if not hasattr(self, "task"):
            return
        task, now = self.task, self.task.standing
        people = [COORDINATOR, HONEST_MEMBER.address, GRIEFER.address]
        owed = sum(task.call("withdrawable", each) for each in people)
        held = DEPOSIT * now.deposited + BOND * len(self.doubts) + owed
        assert task.env.get_balance(task.address) == held
        assert (now.challenges, now.void_from) == (len(self.doubts), self.void_from)
        burnt = task.env.get_balance(NOBODY)
        assert burnt == DEPOSIT * bool(self.void_from), "slashed once, or not at all"
        assert self.lied or not self.void_from, "an honest coordinator never is"

    def teardown(self) -> None:
        """All that was doubted comes to its end; whoever lied was slashed."""
        if not hasattr(self, "task"):
            return
        self.answer_all()
        self.task.travel(CHALLENGE_WINDOW_S + 1)
        for number in sorted(self.doubts, reverse=True):
            self.convict(number)
        for number in sorted(self.doubts):
            self.take_back(number)
        assert bool(self.void_from) == self.lied
        self.no_money_is_lost()

    # -- means --------------------------------------------------------------------------------

    def played(
        self, committing: set[int], silent: set[int], unseen: set[int], order: list[int]
    ) -> Bundle:
        """What members of the round sign, with what came past the coordinator."""
        active = {*members_in(self.task.standing.members)}
        who = sorted((committing | self.commitments.keys()) & active)
        commitments = [self.commitments.get(i) or self.task.commitment(i) for i in who]
        ballots = []
        for i in who:
            others = [j for j in order if j in who and j != i]
            if i in self.ballots:
                ballots.append(self.ballots[i])
            elif i not in silent:
                missing = unseen & {*others}
                values = {j: 100 - p // 2 for p, j in enumerate(others) if j not in missing}
                ballots.append(self.task.ballot(i, values, missing))
        return bundle_of(commitments, ballots)

    def told(self, good: Bundle, lie: str) -> tuple[Bundle, dict[str, Any]]:
        """What the root is said to be of, and what is said wrongly."""
        first, *rest = good.commitments
        match lie:
            case "root":
                return good, {"root": bytes(range(32))}
            case "forged":
                return Bundle((replace(first, digest=bytes(32)), *rest), good.ballots), {}
            case "left out":
                kept = [one for one in good.commitments if one.member not in self.commitments]
                return Bundle(tuple(kept), good.ballots), {}
            case "unheard":
                heard = [one for one in good.ballots if one.member not in self.ballots]
                return Bundle(good.commitments, tuple(heard)), {}
        return good, {}

    def other_winners(self, record: Record) -> Record:
        winners = record.winners ^ 1 or 2
        return replace(record, winners=winners, model=bytes(range(32)))

    def fault(self, number: int, bundles: dict[int, Bundle]) -> str:
        """Found once for each of a round's bundles."""
        task, record, bundle = self.task, self.records[number], bundles[number]
        known = number, bundle.root()
        if known not in self.faults:
            accounts = [account(i).address for i in range(6)]  # whose seats these are, if any's
            domain = task.signing.domain
            self.faults[known] = fault_of(bundle, record, task.terms, domain, accounts)
        return self.faults[known]

    def open_to_doubt(self, number: int) -> bool:
        counts = not self.void_from or number < self.void_from
        inside = self.task.now <= self.records[number].settled_at + CHALLENGE_WINDOW_S
        return counts and inside and not self.upheld(number)

    def upheld(self, number: int) -> bool:
        return any(event["round"] == number for event in self.task.events("Upheld"))

    def answer(self, number: int, bundle: Bundle, sender: str) -> None:
        record = self.records[number]
        right = bundle.root() == record.root
        doubted = number in self.doubts
        counts = not self.void_from or number < self.void_from
        heard = counts and not self.upheld(number) and (doubted or self.open_to_doubt(number))
        found = right and self.fault(number, {number: bundle})
        done = self.tries("answer", words_of(record), *bundle.words(), sender=sender)
        assert done == bool(heard and right and (found or doubted))
        if done and found:
            self.convicted(number)
            self.seen["convicted at once"] += 1
        elif done:
            del self.doubts[number]
            self.seen["upheld"] += 1

    def convicted(self, number: int) -> None:
        self.doubts.pop(number, None)
        self.void_from = number

    def tries(self, name: str, *arguments: Any, **options: Any) -> bool:
        done = self.task.tries(name, *arguments, **options)
        self.seen["refused"] += not done
        return done


@pytest.mark.timeout(7200)
def test_who_lies_is_slashed_where_one_looks_and_who_does_not_never_is() -> None:
    Settling.seen = Counter()
    fuzz = settings.default.max_examples > 100  # the profile `fuzz`
    run_state_machine_as_test(
        Settling,
        settings=settings(
            max_examples=600 if fuzz else 10,
            stateful_step_count=25,
            deadline=None,
            phases=[Stage.generate],
        ),
    )
    missing = (ALL if fuzz else ALWAYS) - (+Settling.seen).keys()
    assert not missing, f"never happened: {missing}"
