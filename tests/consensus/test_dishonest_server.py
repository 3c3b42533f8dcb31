"""A server that shows, relays, re-sends, forges and forgets at will, without an accomplice.

Whatever it does, the contract chooses what all honest ballots would have chosen, or the round is
void, or what was left out stands on chain by name and within PROTOCOL's bounds.
"""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
from flwr.app import RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.contract.events import Abstained, BallotCast, Committed, Selected
from bcfl.consensus.records import ReviewOrder, ReviewReply, TrainReply
from bcfl.consensus.spec.domain import (
    Ballot,
    Commitment,
    Phase,
    SignedBallot,
    SignedCommitment,
    SignedSeal,
    members_in,
)
from bcfl.consensus.spec.scoring import Borda, seen_by_most, tally
from bcfl.consensus.spec.selection import select_winners
from bcfl.core.errors import BcflError, ProtocolError
from tests.consensus.member.world import World

MEMBERS = 5
EXAMPLES = 200 if os.environ.get("BCFL_FUZZ") else 25
LIES = ("hidden", "garbage", "another's", "another transaction")
HAPPENED: Counter[str] = (
    Counter()
)  # over all histories: a kind of lie that never occurs proves nothing

everybody = st.just(frozenset(range(MEMBERS)))
some = st.frozensets(st.integers(0, MEMBERS - 1))
most = st.one_of(everybody, everybody, some)


@dataclass(frozen=True)
class History:
    """What the server does in one round. Sets are of members."""

    sealed: bool
    trained_twice: frozenset[int]
    forgotten: frozenset[int]  #: whose memory ends after training: a second run
    early: frozenset[int]  #: asked to review while commitments are taken
    committed: frozenset[int]  #: whose commitments are relayed
    deliveries: dict[tuple[int, int], str]  #: (reviewer, author): how the server lies
    asked_again: frozenset[int]  #: with everything shown, after the lie
    sealed_by: frozenset[int]  #: whose seals are relayed
    forged: frozenset[int]  #: whose ballots are bent before they are relayed
    cast: frozenset[int]  #: whose ballots are relayed


pairs = st.tuples(st.integers(0, MEMBERS - 1), st.integers(0, MEMBERS - 1))
histories = st.builds(
    History,
    sealed=st.booleans(),
    trained_twice=some,
    forgotten=st.one_of(st.just(frozenset()), some),
    early=some,
    committed=most,
    deliveries=st.dictionaries(pairs, st.sampled_from(LIES), max_size=8),
    asked_again=some,
    sealed_by=most,
    forged=some,
    cast=most,
)


@pytest.fixture(scope="module")
def chain() -> Iterator[EmbeddedChain]:
    with EmbeddedChain() as running:
        yield running


class Server:
    """Plays one history."""

    def __init__(self, chain: EmbeddedChain, history: History) -> None:
        self.history = history
        self.world = World(chain, MEMBERS, ballots="sealed" if history.sealed else "open")
        self.ledger = self.world.ledger
        self.trained: dict[int, TrainReply] = {}
        self.honest: dict[int, Ballot] = {}

    def play(self) -> None:
        self.world.open()
        for member in range(MEMBERS):
            self.train(member)
        self.commit()
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

    def commit(self) -> None:
        state, history = self.ledger.state(), self.history
        batch = [
            SignedCommitment(
                member,
                Commitment(state.round, state.model, reply.digest, reply.timestamp),
                reply.signature,
            )
            for member, reply in self.trained.items()
            if member in history.committed
        ]
        if len(batch) < MEMBERS:
            HAPPENED["commitments withheld"] += 1
        self.transaction = self.ledger.commit(batch[:2]).hash if batch[:2] else ""
        if self.ledger.state().phase == Phase.COMMIT:
            for member in history.early:
                HAPPENED["asked too early"] += 1
                with pytest.raises(ProtocolError, match="phase is COMMIT"):
                    self.world.answer(member, self.order(member, lying=False))
        if batch[2:]:
            self.ledger.commit(batch[2:])
        for member in history.forgotten:
            HAPPENED["forgotten"] += 1
            self.world.forget(member)
            if member in history.committed and self.ledger.state().phase == Phase.COMMIT:
                with pytest.raises(ProtocolError, match="has committed in round"):
                    self.world.train(member)
        if self.ledger.state().phase == Phase.COMMIT:
            self.ledger.wait_until(self.ledger.state().commit_deadline)

    def order(self, reviewer: int, *, lying: bool = True) -> ReviewOrder:
        events = [e for e in self.ledger.events() if isinstance(e, Committed)]
        numbers = [event.transaction for event in events]
        order = self.world.review_order("", {e.member: self.trained[e.member].blob for e in events})
        order = replace(order, transactions=numbers)
        lies = self.history.deliveries if lying else {}
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
        seals = []
        for member in self.honest:
            reply = self.ask(member)
            assert reply is None or not (reply.entries or reply.salt), "shown too early"
            if reply is not None and member in self.history.sealed_by:
                seals.append(SignedSeal(member, 1, reply.seal, reply.signature))
        if len(seals) < len(self.honest):
            HAPPENED["seals withheld"] += 1
        if seals:
            self.ledger.seal(seals)
        if self.ledger.state().phase == Phase.SEAL:
            self.ledger.wait_until(self.ledger.state().seal_deadline)

    def relay_ballots(self) -> None:
        batch = []
        for member in self.honest if self.ledger.state().phase == Phase.BALLOT else ():
            if (reply := self.ask(member)) is None or member not in self.history.cast:
                HAPPENED["ballots withheld"] += 1
                continue
            signed = SignedBallot(
                member, Ballot.decode(1, reply.entries), reply.signature, reply.salt
            )
            if member in self.history.forged and signed.ballot.ratings:
                HAPPENED["ballots forged"] += 1
                bent = replace(signed.ballot, ratings=signed.ballot.ratings[:1])
                batch.append(replace(signed, ballot=bent))
            else:
                batch.append(signed)
        if batch:
            self.ledger.cast_ballots(batch)
        if self.ledger.state().phase == Phase.BALLOT:
            self.ledger.wait_until(self.ledger.state().ballot_deadline)


def check(server: Server) -> str:
    """The outcome; fails where winners differ and nobody can see why."""
    ledger = server.ledger
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
    wanted = select_winners(totals, committed, seen, ledger_kappa(server), selected.seed)
    silent = committed.keys() - ballots.keys() - abstained.keys()
    named = [m for ballot in ballots.values() for m in members_in(ballot.missing)]
    if not (silent or named or abstained):
        assert ballots == honest
        assert winners == wanted
        return "as all honest ballots choose"
    return "the same, all the same" if winners == wanted else "named on chain"


def ledger_kappa(server: Server) -> int:
    return server.world.rules.kappa_ppm


OUTCOMES: Counter[str] = Counter()


@settings(max_examples=EXAMPLES)
@given(histories)
def test_winners_are_those_of_all_honest_ballots_or_what_was_left_out_is_named(
    chain: EmbeddedChain, history: History
) -> None:
    server = Server(chain, history)
    server.play()
    OUTCOMES[check(server)] += 1
    # every member can show what it signed, whatever came of it
    for member in range(MEMBERS):
        if member not in history.forgotten:
            assert "bcfl-kept" in server.world.contexts[member].state


def test_every_kind_of_lie_has_occurred() -> None:
    """Of the histories above, which are run before."""
    if not OUTCOMES:
        pytest.skip("no history was played")
    kinds = {*LIES, "trained twice", "forgotten", "asked too early", "asked again"}
    kinds |= {"commitments withheld", "seals withheld", "ballots withheld", "ballots forged"}
    assert kinds <= HAPPENED.keys()
    assert {"void", "as all honest ballots choose"} <= OUTCOMES.keys()


def lie(kind: str, reviewers: Any, authors: Any) -> History:
    """Everything else is honest."""
    all_of_them, nobody = frozenset(range(MEMBERS)), frozenset[int]()
    deliveries = {(i, j): kind for i in reviewers for j in authors}
    return History(
        sealed=False,
        trained_twice=nobody,
        forgotten=nobody,
        early=nobody,
        committed=all_of_them,
        deliveries=deliveries,
        asked_again=nobody,
        sealed_by=all_of_them,
        forged=nobody,
        cast=all_of_them,
    )


@pytest.mark.parametrize("kind", LIES)
def test_who_shows_reviewers_only_some_deltas_gets_no_round(
    chain: EmbeddedChain, kind: str
) -> None:
    server = Server(chain, lie(kind, range(MEMBERS), (1, 2)))
    server.play()
    assert check(server) == "void"
    events = [e for e in server.ledger.events() if isinstance(e, Abstained)]
    assert {e.member: members_in(e.missing) for e in events} == {
        member: tuple(sorted({1, 2} - {member})) for member in (0, 3, 4)
    }


def test_one_hidden_delta_does_not_win_and_is_on_chain_as_missing(chain: EmbeddedChain) -> None:
    server = Server(chain, lie("hidden", range(MEMBERS), (1,)))
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
