"""A server that shows, relays, re-sends, forges, forgets and restarts at will, without accomplice.

Whatever it does, the contract chooses what all honest ballots would have chosen, or the round is
void, or what was left out stands on chain by name and within PROTOCOL's bounds; and the audit, of
the server's folder and what members kept, says so and accuses nobody else.
"""

from __future__ import annotations

import copy
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from flwr.app import RecordDict
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bcfl.audit.audit import Audit, audit_run
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.contract.events import (
    Abstained,
    BallotCast,
    Committed,
    Sealed,
    Selected,
)
from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.parcels import Parcels
from bcfl.consensus.records import ReviewOrder, ReviewReply, TrainReply
from bcfl.consensus.server.coordinator import Coordinator
from bcfl.consensus.server.task import ConsensusTask, begin_task, resume_task
from bcfl.consensus.spec.domain import (
    Ballot,
    Commitment,
    Phase,
    SignedBallot,
    SignedCommitment,
    SignedSeal,
    bits,
    members_in,
)
from bcfl.consensus.spec.scoring import Borda, seen_by_most, tally
from bcfl.consensus.spec.selection import select_winners
from bcfl.consensus.task_folder import TaskFolder
from bcfl.core.errors import BcflError, ContractReverted, ProtocolError
from bcfl.store.local import LocalStore
from tests.consensus.member.world import World

MEMBERS = 5
EXAMPLES = 200 if os.environ.get("BCFL_FUZZ") else 6
LIES = ("hidden", "garbage", "another's", "another transaction")
#: over all histories: a kind of lie that never occurs proves nothing
HAPPENED: Counter[str] = Counter()

everybody = st.just(frozenset(range(MEMBERS)))
some = st.frozensets(st.integers(0, MEMBERS - 1))
few = st.one_of(st.just(frozenset[int]()), some)
most = st.one_of(everybody, everybody, some)


@dataclass(frozen=True)
class History:
    """What the server does in one round. Sets are of members."""

    sealed: bool = False
    trained_twice: frozenset[int] = frozenset()
    forgotten: frozenset[int] = frozenset()  #: whose memory ends after training: a second run
    early: frozenset[int] = frozenset()  #: asked to review while commitments are taken
    committed: frozenset[int] = frozenset(range(MEMBERS))  #: whose commitments are relayed
    shelved: frozenset[int] = frozenset()  #: of the others, whose are taken, and not relayed
    deliveries: dict[tuple[int, int], str] | None = None  #: (reviewer, author): how it lies
    asked_again: frozenset[int] = frozenset()  #: with everything shown, after the lie
    sealed_by: frozenset[int] = frozenset(range(MEMBERS))  #: whose seals are relayed
    forged: frozenset[int] = frozenset()  #: whose ballots are bent before they are relayed
    cast: frozenset[int] = frozenset(range(MEMBERS))  #: whose ballots are relayed
    receipted: frozenset[int] = frozenset()  #: who gets receipts
    resent: bool = False  #: what is on chain already
    restarts: frozenset[int] = frozenset()  #: at which of its moments


def members(*numbers: int) -> frozenset[int]:
    return frozenset(numbers)


pairs = st.tuples(st.integers(0, MEMBERS - 1), st.integers(0, MEMBERS - 1))
histories = st.builds(
    History,
    sealed=st.booleans(),
    trained_twice=some,
    forgotten=few,
    early=some,
    committed=most,
    shelved=some,
    deliveries=st.dictionaries(pairs, st.sampled_from(LIES), max_size=8),
    asked_again=some,
    sealed_by=most,
    forged=few,
    cast=most,
    receipted=some,
    resent=st.booleans(),
    restarts=st.frozensets(st.integers(0, 20), max_size=4),
)


@pytest.fixture(scope="module")
def chain() -> Iterator[EmbeddedChain]:
    with EmbeddedChain() as running:
        yield running


class FolderWorld(World):
    """A world whose task is kept in a folder, as a server keeps it."""

    def __init__(self, chain: EmbeddedChain, folder: Path, **rules: Any) -> None:
        self.folder = TaskFolder(folder)
        self.parcels = Parcels(LocalStore(self.folder.blobs))
        super().__init__(chain, MEMBERS, **rules)

    def deploy(self) -> Ledger:
        members = [account.address for account in self.accounts]
        self.task: ConsensusTask | None = begin_task(
            self.chain, self.parcels, self.folder, self.rules, 0, members, self.arrays
        )
        return self.task.ledger


class Server:
    """Plays one history."""

    def __init__(self, chain: EmbeddedChain, folder: Path, history: History) -> None:
        self.history = history
        self.world = FolderWorld(chain, folder, ballots="sealed" if history.sealed else "open")
        self.coordinator = self.begun()
        self.trained: dict[int, TrainReply] = {}
        self.honest: dict[int, Ballot] = {}
        self.moments = 0

    @property
    def ledger(self) -> Ledger:
        return self.coordinator.ledger

    def begun(self) -> Coordinator:
        world = self.world
        assert world.task is not None
        return Coordinator(world.task, world.parcels, world.folder, world.chain.coordinator)

    def moment(self) -> None:
        """Here the server may end, and another begin from its folder."""
        self.moments += 1
        if self.moments not in self.history.restarts:
            return
        HAPPENED["restarted"] += 1
        world, held = self.world, self.coordinator.signed
        world.folder = TaskFolder(world.folder.path)
        world.parcels = Parcels(LocalStore(world.folder.blobs))
        world.task = resume_task(world.chain, world.parcels, world.folder)
        self.coordinator = self.begun()
        found, phase = self.coordinator.signed, self.ledger.state().phase
        # what a phase has not brought on chain is of no use after it
        kind = {Phase.COMMIT: "commitments", Phase.SEAL: "seals"}.get(phase, "ballots")
        if phase in (Phase.COMMIT, Phase.SEAL, Phase.BALLOT):
            assert getattr(found, kind).items() >= getattr(held, kind).items()

    def play(self) -> None:
        self.coordinator.open(self.world.arrays, bits(range(MEMBERS)))
        for member in range(MEMBERS):
            self.train(member)
        self.commit()
        self.moment()
        self.ask_the_left_out()
        if self.ledger.state().phase not in (Phase.SEAL, Phase.BALLOT):
            return
        self.honest = {m: self.truth(m) for m in members_in(self.ledger.state().committed)}
        if self.history.sealed:
            self.relay_seals()
        self.relay_ballots()

    def train(self, member: int) -> None:
        reply = self.world.train(member)
        if member in self.history.trained_twice:
            HAPPENED["trained twice"] += 1
            assert self.world.train(member) == reply
        self.trained[member] = reply

    def take(self, members: Any) -> None:
        state = self.ledger.state()
        for member in members:
            if member not in self.history.committed | self.history.shelved:
                continue
            reply = self.trained[member]
            said = Commitment(state.round, state.model, reply.digest, reply.timestamp)
            signed = SignedCommitment(member, said, reply.signature)
            self.coordinator.accept(signed, reply.blob, {}, self.coordinator.ledger.look())
            self.moment()

    def commit(self) -> None:
        history = self.history
        self.take((0, 1))
        self.relay_commitments()
        if self.ledger.state().phase == Phase.COMMIT:
            for member in history.early:
                HAPPENED["asked too early"] += 1
                with pytest.raises(ProtocolError, match="phase is COMMIT"):
                    self.world.answer(member, self.order(member, lying=False))
        self.take(range(2, MEMBERS))
        self.relay_commitments()
        for member in history.forgotten:
            HAPPENED["forgotten"] += 1
            self.world.forget(member)
            if self.ledger.state().committed >> member & 1 and (
                self.ledger.state().phase == Phase.COMMIT
            ):
                with pytest.raises(ProtocolError, match="has committed in round"):
                    self.world.train(member)
        if self.ledger.state().phase == Phase.COMMIT:
            self.ledger.wait_until(self.ledger.state().commit_deadline)

    def relay_commitments(self) -> None:
        taken = self.coordinator.signed.commitments
        self.receipts = {m: self.coordinator.receipts(m) for m in self.history.receipted}
        for member in taken.keys() - self.history.committed:
            HAPPENED["commitments withheld"] += 1
            del taken[member]
        self.coordinator.commit()
        if self.history.resent and taken:
            HAPPENED["sent again"] += 1
            with suppress(ContractReverted):  # the last one has ended the phase
                self.ledger.commit(list(taken.values()))
        self.moment()

    def ask_the_left_out(self) -> None:
        """They get their receipts, and nothing else."""
        for member in self.history.receipted - set(members_in(self.ledger.state().committed)):
            HAPPENED["receipts for what was left out"] += 1
            with pytest.raises(ProtocolError):
                self.world.answer(member, self.order(member))

    def order(self, reviewer: int, *, lying: bool = True) -> ReviewOrder:
        events = [e for e in self.ledger.events() if isinstance(e, Committed)]
        numbers = [event.transaction for event in events]
        order = self.world.review_order("", {e.member: self.trained[e.member].blob for e in events})
        order = replace(order, transactions=numbers)
        if reviewer in self.history.receipted:
            given: dict[str, Any] = {**self.receipts[reviewer]}
            order = replace(order, **given)
        lies = (self.history.deliveries or {}) if lying else {}
        for at in reversed(range(len(events))):
            match lies.get((reviewer, order.members[at])):
                case "hidden":
                    for column in (order.members, order.transactions, order.blobs):
                        del column[at]  # type: ignore[attr-defined]
                case "garbage":
                    order.blobs[at] = b"garbage"
                case "another's":
                    order.blobs[at] = order.blobs[at - 1]
                case "another transaction":
                    order.transactions[at] = "0x" + "12" * 32
                case _:
                    continue
            HAPPENED[lies[(reviewer, events[at].member)]] += 1
        return order

    def truth(self, member: int) -> Ballot:
        """What the member says to a server that shows everything: in a copy of its node."""
        node = self.world.contexts[member]
        own, node.state = node.state, copy.deepcopy(node.state)
        try:
            self.world.answer(member, self.order(member, lying=False))
            kept = node.state.config_records["bcfl-round"]["entries"]
            return Ballot.decode(1, kept)  # type: ignore[arg-type]
        finally:
            node.state = own

    def ask(self, member: int) -> ReviewReply | None:
        with suppress(BcflError):
            reply = ReviewReply.read(self.world.answer(member, self.order(member)).content)
            if member in self.history.asked_again:
                HAPPENED["asked again"] += 1
                again = self.world.answer(member, self.order(member, lying=False))
                assert ReviewReply.read(again.content).entries == reply.entries
            return reply
        return None

    def relay_seals(self) -> None:
        for member in self.honest:
            reply = self.ask(member)
            assert reply is None or not (reply.entries or reply.salt), "shown too early"
            if reply is not None and member in self.history.sealed_by:
                self.coordinator.accept_seal(
                    SignedSeal(member, 1, reply.seal, reply.signature),
                    self.coordinator.ledger.look(),
                )
                self.moment()
        if len(self.coordinator.signed.seals) < len(self.honest):
            HAPPENED["seals withheld"] += 1
        self.coordinator.seal()
        self.receipts |= {m: self.coordinator.receipts(m) for m in self.history.receipted}
        self.moment()
        if self.ledger.state().phase == Phase.SEAL:
            self.ledger.wait_until(self.ledger.state().seal_deadline)

    def relay_ballots(self) -> None:
        for member in self.honest if self.ledger.state().phase == Phase.BALLOT else ():
            if (reply := self.ask(member)) is None or member not in self.history.cast:
                HAPPENED["ballots withheld"] += 1
                continue
            ballot = Ballot.decode(1, reply.entries)
            signed = SignedBallot(member, ballot, reply.signature, reply.salt)
            if member in self.history.forged and len(ballot.ratings) > 1:
                HAPPENED["ballots forged"] += 1
                bent = replace(ballot, ratings=ballot.ratings[:1])
                self.ledger.cast_ballots([replace(signed, ballot=bent)])
            elif not self.history.sealed or self.ledger.state().sealed >> member & 1:
                self.coordinator.accept_ballot(signed, {}, self.coordinator.ledger.look())
                self.moment()
        self.coordinator.cast()
        self.moment()
        if self.ledger.state().phase == Phase.BALLOT:
            self.ledger.wait_until(self.ledger.state().ballot_deadline)
        for member, receipt in self.coordinator.ballot_receipts().items():
            if member in self.history.receipted:
                self.world.answer(member, receipt)


def check(server: Server) -> str:
    """The outcome; fails where winners differ and nobody can see why."""
    ledger = server.ledger
    if ledger.state().phase == Phase.SELECT:
        ledger.select()
    events = ledger.events()
    (selected,) = [e for e in events if isinstance(e, Selected)] or [None]
    committed = {e.member: e.digest for e in events if isinstance(e, Committed)}
    ballots = {e.member: Ballot.decode(1, e.entries) for e in events if isinstance(e, BallotCast)}
    abstained = {e.member: e for e in events if isinstance(e, Abstained)}
    bound = (len(committed) - 1) // 4
    assert all(ballot.missing.bit_count() <= bound for ballot in ballots.values())
    assert all(event.missing.bit_count() > bound for event in abstained.values())
    if selected is None:
        return "void"
    winners = members_in(selected.winners)
    assert 2 * len(ballots) > len(committed)
    assert set(winners) <= seen_by_most(ballots, committed.keys())
    honest = server.honest
    totals = tally(Borda(), honest, committed.keys(), MEMBERS)
    seen = seen_by_most(honest, committed.keys())
    kappa_ppm = server.world.rules.kappa_ppm
    wanted = select_winners(totals, committed, seen, kappa_ppm, selected.seed)
    silent = committed.keys() - ballots.keys() - abstained.keys()
    named = [m for ballot in ballots.values() for m in members_in(ballot.missing)]
    if not (silent or named or abstained):
        assert ballots == honest
        assert winners == wanted
        return "as all honest ballots choose"
    return "the same, all the same" if winners == wanted else "named on chain"


def audited(server: Server) -> Audit:
    """By what the members kept; fails where it blames another, or does not say who lacks what."""
    world, shown = server.world, []
    kept: dict[int, list[dict[str, Any]]] = {}
    for member, context in enumerate(world.contexts):
        if "bcfl-kept" in context.state:
            text = str(context.state.config_records["bcfl-kept"]["1"])
            shown.append(world.folder.path / f"member-{member}.json")
            shown[-1].write_text(text)
            kept[member] = json.loads(text)
    audit = audit_run(world.folder.path, world.chain.url, shown)
    assert {str(f.culprit) for f in audit.findings} <= {"server"}, audit.findings
    assert not any("signed both" in note for note in audit.notes)
    convicted = " ".join(f.expected for f in audit.findings if f.kind == "left out")
    noted = " ".join(audit.notes)
    events = server.ledger.events()
    for event in events:
        if isinstance(event, Abstained) or (isinstance(event, BallotCast) and missing_of(event)):
            assert f"member {event.member} ({world.accounts[event.member].address}) said" in noted
    on_chain = {
        "commitment": {e.member for e in events if isinstance(e, Committed)},
        "seal": {e.member for e in events if isinstance(e, Sealed)},
        "ballot": {e.member for e in events if isinstance(e, (BallotCast, Abstained))},
    }
    for member, entries in kept.items():
        receipts = {e.get("digest", e.get("ballot")) for e in entries if "receipt" in e["kind"]}
        for entry in entries:
            kind = entry["kind"]
            if member in on_chain.get(kind, {member}):
                continue
            if kind == "ballot" and server.history.sealed and member not in on_chain["seal"]:
                continue  # the seal is missed
            if digest_of_entry(entry) in receipts:
                HAPPENED["convicted"] += 1
                assert f"member {member}'s {kind.replace('seal', 'ballot')}" in convicted
            else:
                HAPPENED["noted"] += 1
                assert f"a {kind} of member {member} for chain round 1" in noted
    return audit


def missing_of(event: BallotCast) -> int:
    return Ballot.decode(1, event.entries).missing


def digest_of_entry(entry: dict[str, Any]) -> str:
    """What a receipt names of what a member kept."""
    if entry["kind"] == "commitment":
        return str(entry["digest"])
    return sha256(
        bytes.fromhex(entry[{"seal": "seal", "ballot": "entries"}[entry["kind"]]])
    ).hexdigest()


OUTCOMES: Counter[str] = Counter()


@settings(max_examples=EXAMPLES)
@given(histories)
@example(
    History(
        sealed=True,
        trained_twice=members(0),
        early=members(1),
        committed=members(0, 1, 2, 3),
        shelved=members(4),
        deliveries={(0, 1): "hidden", (1, 2): "garbage"},
        asked_again=members(0),
        sealed_by=members(0, 1, 2),
        receipted=members(0, 3, 4),
        resent=True,
        restarts=members(1, 3, 7, 9, 11),
    )
)
@example(
    History(
        forgotten=members(3),
        deliveries={(0, 1): "another's", (2, 3): "another transaction"},
        forged=members(1),
        cast=members(0, 1, 2, 3),
        receipted=members(0, 1),
        restarts=members(2, 6, 8),
    )
)
@example(History(sealed=True, receipted=members(0, 1), restarts=members(4, 8, 12, 16)))
def test_winners_are_those_of_all_honest_ballots_or_what_was_left_out_is_named(
    chain: EmbeddedChain, history: History
) -> None:
    with TemporaryDirectory() as folder:
        server = Server(chain, Path(folder), history)
        server.play()
        OUTCOMES[check(server)] += 1
        audited(server)
    # every member can show what it signed, whatever came of it
    for member in range(MEMBERS):
        if member not in history.forgotten:
            assert "bcfl-kept" in server.world.contexts[member].state


def lie(kind: str, reviewers: Any, authors: Any) -> History:
    """Everything else is honest."""
    return History(deliveries={(i, j): kind for i in reviewers for j in authors})


@pytest.mark.parametrize("kind", LIES)
def test_who_shows_reviewers_only_some_deltas_gets_no_round(
    chain: EmbeddedChain, tmp_path: Path, kind: str
) -> None:
    server = Server(chain, tmp_path, lie(kind, range(MEMBERS), (1, 2)))
    server.play()
    assert check(server) == "void"
    events = [e for e in server.ledger.events() if isinstance(e, Abstained)]
    assert {e.member: members_in(e.missing) for e in events} == {
        member: tuple(sorted({1, 2} - {member})) for member in (0, 3, 4)
    }


def test_one_hidden_delta_does_not_win_and_is_on_chain_as_missing(
    chain: EmbeddedChain, tmp_path: Path
) -> None:
    server = Server(chain, tmp_path, lie("hidden", range(MEMBERS), (1,)))
    server.play()
    assert check(server) in ("named on chain", "the same, all the same")
    casts = [e for e in server.ledger.events() if isinstance(e, BallotCast) and e.member != 1]
    assert all(members_in(Ballot.decode(1, e.entries).missing) == (1,) for e in casts)
    assert not server.ledger.state().winners >> 1 & 1


def test_an_empty_message_signs_nothing(chain: EmbeddedChain) -> None:
    world = World(chain, MEMBERS)
    world.open()
    world.contexts[0].state = RecordDict()
    with pytest.raises(ProtocolError):
        world.answer(0, replace(world.review_order("", {}), round=2))


def test_every_kind_of_lie_has_occurred() -> None:
    """Of the histories above, which are run before."""
    if not OUTCOMES:
        pytest.skip("no history was played")
    kinds = {*LIES, "trained twice", "forgotten", "asked too early", "asked again"}
    kinds |= {"commitments withheld", "seals withheld", "ballots withheld", "ballots forged"}
    kinds |= {"restarted", "sent again", "receipts for what was left out", "convicted", "noted"}
    assert kinds <= HAPPENED.keys()
    assert {"void", "as all honest ballots choose"} <= OUTCOMES.keys()
