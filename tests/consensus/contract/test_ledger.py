"""A task's contract as the ledger that the protocol asks for: whole rounds, embedded chain."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import pytest
from eth_utils.crypto import keccak

from bcfl.chain.chain import Chain
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.contract.events import (
    Abstained,
    BallotCast,
    Closed,
    Committed,
    Equivocated,
    MemberJoined,
    MemberLeft,
    Opened,
    Proposed,
    Refusal,
    Refused,
    Sealed,
    Selected,
    Voided,
)
from bcfl.consensus.contract.ledger import MOST_PROPOSERS, Ledger
from bcfl.consensus.contract.memory import MemoryChain
from bcfl.consensus.contract.words import seats
from bcfl.consensus.spec.domain import (
    Ballot,
    Commitment,
    Phase,
    Proposal,
    SignedBallot,
    SignedCommitment,
    SignedProposal,
    SignedSeal,
    bits,
    members_in,
)
from bcfl.consensus.spec.messages import (
    ballot_message,
    commitment_message,
    proposal_message,
    seal_message,
)
from bcfl.consensus.spec.rules import Rule
from bcfl.consensus.spec.selection import select_winners
from bcfl.core.errors import (
    AccountError,
    ArtifactError,
    ConfigurationError,
    ContractReverted,
    LedgerError,
    TransactionUnknown,
)
from bcfl.keys.accounts import Account, derive_account
from tests.chain.notes import notes

RULES: dict[str, Any] = {
    "genesis": hashlib.sha256(b"genesis").digest(),
    "rules": hashlib.sha256(b"rules").digest(),
    "kappa_ppm": 500_000,
    "quorum": 2,
    "commit_window_s": 60,
    "ballot_window_s": 60,
    "sealed": False,
    "stake": 0,
}


def digest(*words: object) -> bytes:
    return hashlib.sha256(repr(words).encode()).digest()


@dataclass
class Task:
    """A contract and the accounts of its members."""

    chain: Chain
    ledger: Ledger
    accounts: list[Account]

    def commitment(self, member: int, delta: bytes | None = None) -> SignedCommitment:
        state = self.ledger.state()
        said = Commitment(
            state.round, state.model, delta or digest(state.round, member), state.opened_at
        )
        signature = self.accounts[member].sign(commitment_message(self.ledger.domain, said))
        return SignedCommitment(member, said, signature)

    def ballot(self, member: int, values: dict[int, int]) -> SignedBallot:
        said = Ballot.from_values(self.ledger.state().round, values)
        signature = self.accounts[member].sign(ballot_message(self.ledger.domain, said))
        return SignedBallot(member, said, signature)

    def direct(self, member: int) -> Ledger:
        """The ledger as a member sees it that pays for its own transactions."""
        self.chain.fund(self.accounts[member].address, 10**18)
        connection = self.chain.connect(self.accounts[member])
        return Ledger.attach(connection, self.ledger.domain.contract, self.chain.wait_until)

    def open(self) -> None:
        self.ledger.open_round(self.ledger.state().model, self.ledger.active())

    def commit_all(self) -> None:
        self.ledger.commit([self.commitment(m) for m in range(len(self.accounts))])

    def cast_all(self, liking: int = 0) -> None:
        """Everybody rates member ``liking`` best, then by index."""
        everybody = range(len(self.accounts))
        self.ledger.cast_ballots(
            [
                self.ballot(m, {j: 1000 * (j == liking) + 500 - j for j in everybody if j != m})
                for m in everybody
            ]
        )


@pytest.fixture
def chain() -> Iterator[EmbeddedChain]:
    with EmbeddedChain() as running:
        yield running


@pytest.fixture(params=[EmbeddedChain, MemoryChain])
def either(request: pytest.FixtureRequest) -> Iterator[Chain]:
    """With an EVM, or with the contract's reference in its place: nobody can tell."""
    with request.param() as running:
        yield running


def begin(chain: Chain, count: int = 4, **rules: Any) -> Task:
    accounts = [derive_account(0, "member", index) for index in range(count)]
    addresses = [] if rules.get("stake") else [account.address for account in accounts]
    connection = chain.connect(chain.coordinator)
    ledger = Ledger.deploy(connection, chain.wait_until, members=addresses, **(RULES | rules))
    return Task(chain, ledger, accounts)


@pytest.mark.parametrize("rule", ["coalition", "referee"])
def test_no_more_members_propose_than_a_transaction_can_decide_among(rule: Rule):
    with MemoryChain() as chain:
        with pytest.raises(ConfigurationError, match=f"at most {MOST_PROPOSERS} with rule={rule}"):
            begin(chain, MOST_PROPOSERS + 1, rule=rule)
        task = begin(chain, MOST_PROPOSERS, rule=rule)
        with pytest.raises(ConfigurationError, match="members"):
            task.ledger.add_member(chain.coordinator.address)
        task.ledger.remove_member(0)
        task.ledger.add_member(chain.coordinator.address)


def test_ballots_may_select_in_a_block_in_which_no_node_estimated_that(chain: EmbeddedChain):
    task = begin(chain)
    task.open()
    task.commit_all()
    sent = task.ledger.cast_ballots([task.ballot(0, {1: 5, 2: 4, 3: 3})])
    connection = task.ledger._connection
    asked_for = int(connection.request("eth_getTransactionByHash", sent.hash)["gas"], 16)
    assert asked_for > sent.gas * 5 // 4 + 140_000


def test_a_round_goes_through_its_phases_and_leaves_its_events(either: Chain):
    task = begin(either)
    ledger: Ledger = task.ledger
    assert ledger.members() == tuple(account.address for account in task.accounts)
    assert (ledger.active(), ledger.rules) == (0b1111, RULES["rules"])
    assert ledger.coordinator == either.coordinator.address
    assert ledger.state().model == RULES["genesis"]
    assert ledger.state().phase == Phase.IDLE

    opened = ledger.open_round(RULES["genesis"], 0b1111)
    state = ledger.state()
    assert (state.round, state.phase, state.expected) == (1, Phase.COMMIT, 0b1111)
    assert state.commit_deadline == state.opened_at + 60

    sent = ledger.commit([task.commitment(member) for member in range(4)])
    assert ledger.state().phase == Phase.BALLOT
    own = [event for event in ledger.events_of(sent.hash) if isinstance(event, Committed)]
    assert [(e.member, e.digest, e.round) for e in own] == [(m, digest(1, m), 1) for m in range(4)]
    assert {(e.transaction, e.signed_at) for e in own} == {(sent.hash, state.opened_at)}

    task.cast_all(liking=2)
    assert ledger.state().phase == Phase.SELECTED
    with pytest.raises(ContractReverted, match=r"not in .*phase"):
        ledger.select()  # the last ballot has done it
    assert members_in(ledger.state().winners) == (0, 2)
    ledger.close_round(1, digest("model"), 0b0111)
    state = ledger.state()
    assert (state.round, state.phase, state.expected) == (2, Phase.COMMIT, 0b0111)
    assert state.model == digest("model")

    events = ledger.events(opened.block)
    kinds = [type(event) for event in events]
    assert kinds == [Opened] + [Committed] * 4 + [BallotCast] * 4 + [Selected, Closed, Opened]
    assert events[-1].transaction == events[-2].transaction
    assert [type(e) for e in ledger.events()[:4]] == [MemberJoined] * 4
    cast = next(e for e in events if isinstance(e, BallotCast) and e.member == 3)
    assert [r.member for r in Ballot.decode(1, cast.entries).ratings] == [2, 0, 1]
    selected = next(event for event in events if isinstance(event, Selected))
    # m = 4; doubled: a first place is worth 6, a second 4, a third 2
    assert selected.scores == (6 + 4 + 4, 4 + 4 + 2, 6 * 3, 2 * 3)
    assert selected.winners == bits([0, 2])


def test_equal_points_are_decided_by_lots_of_the_last_commitments_block(chain: EmbeddedChain):
    task = begin(chain)
    for round_ in (1, 2):
        task.open()
        task.commit_all()
        everybody = range(4)
        task.ledger.cast_ballots(
            [task.ballot(m, {j: 7 for j in everybody if j != m}) for m in everybody]
        )
        selected = [event for event in task.ledger.events() if isinstance(event, Selected)][-1]
        # anybody can look the seed up: it is the hash of the block of the last commitment
        last = [event for event in task.ledger.events() if isinstance(event, Committed)][-1]
        block = task.ledger._connection.request("eth_getBlockByNumber", hex(last.block), False)
        assert bytes.fromhex(block["hash"][2:]) == selected.seed
        best = select_winners({}, everybody, set(everybody), 500_000, selected.seed)
        assert members_in(task.ledger.state().winners) == best
        task.ledger.close_round(round_, digest(round_))


def test_sealed_ballots_are_promised_then_shown(either: Chain):
    task = begin(either, sealed=True)
    task.open()
    task.commit_all()
    assert task.ledger.state().phase == Phase.SEAL
    ballots, seals = [], []
    for member in range(4):
        salt = digest("salt", member)[:31] + bytes([member])
        ballot = Ballot.from_values(1, {j: 50 - j for j in range(4) if j != member})
        seal = bytes(keccak(ballot.encode() + salt))
        signature = task.accounts[member].sign(seal_message(task.ledger.domain, 1, seal))
        seals.append(SignedSeal(member, 1, seal, signature))
        ballots.append(SignedBallot(member, ballot, salt=salt))
    task.direct(3).seal_direct(seals[3])
    task.ledger.seal(seals)
    direct = task.direct(1).cast_ballot_direct(ballots[1])
    task.ledger.cast_ballots([replace(ballots[0], salt=ballots[2].salt), ballots[3]])
    (refused,) = [event for event in task.ledger.events() if isinstance(event, Refused)]
    assert (refused.round, refused.member, refused.reason) == (1, 0, Refusal.SALT)
    task.ledger.cast_ballots(ballots)
    events = task.ledger.events()
    assert [e.member for e in events if isinstance(e, Sealed)] == [3, 0, 1, 2]
    assert [e.member for e in task.ledger.events_of(direct.hash)] == [1]  # type: ignore[attr-defined]


def test_what_one_member_signed_wrongly_costs_the_others_of_a_batch_nothing(either: Chain):
    task = begin(either)
    task.open()
    good = [task.commitment(member) for member in range(4)]
    odd = bytes(64) + b"\x63"  # no v that two words can hold
    task.ledger.commit([replace(good[0], signature=odd), *good[1:]])
    assert task.ledger.state().committed == 0b1110
    late = replace(good[0].commitment, timestamp=2**64 - 1)
    task.ledger.commit([replace(good[0], commitment=late)])
    task.ledger.commit(good[:1])
    ballots = [task.ballot(m, {j: 9 for j in range(4) if j != m}) for m in range(4)]
    strange = Ballot.from_values(1, dict.fromkeys(range(128), 0), ())
    spoilt = [
        replace(ballots[0], signature=odd),
        SignedBallot(1, ballots[1].ballot, salt=digest("salt")),
        replace(ballots[2], ballot=strange),
    ]
    task.ledger.cast_ballots([*spoilt, ballots[3]])
    assert task.ledger.state().voted == 0b1000
    reasons = [e.reason for e in task.ledger.events() if isinstance(e, Refused)]
    assert reasons == [Refusal.SIGNATURE, Refusal.TOO_LATE] + [Refusal.SIGNATURE] * 3
    task.ledger.cast_ballots(ballots)
    assert task.ledger.state().phase == Phase.SELECTED


def test_who_misses_too_much_abstains(either: Chain):
    task = begin(either)
    task.open()
    task.commit_all()
    said = Ballot.from_values(1, {1: 5}, missing=[2], invalid=[3])
    signature = task.accounts[0].sign(ballot_message(task.ledger.domain, said))
    task.ledger.cast_ballots([SignedBallot(0, said, signature)])
    (abstained,) = [event for event in task.ledger.events() if isinstance(event, Abstained)]
    assert (abstained.member, abstained.missing) == (0, 0b100)
    state = task.ledger.state()
    assert (state.voted, state.abstained) == (0, 1)


def proposals_are_played(chain: Chain, rule: Rule, *, sealed: bool) -> list[Any]:
    """Three rounds, with what is refused in them: what the contract says of them."""
    task = begin(chain, 5, rule=rule, sealed=sealed)
    said: list[Any] = []

    def propose(sets: dict[int, int], direct: int = -1) -> None:
        round_ = task.ledger.state().round
        signed = []
        for member, members in sets.items():
            proposal = Proposal(round_, members)
            signature = task.accounts[member].sign(proposal_message(task.ledger.domain, proposal))
            signed.append(SignedProposal(member, proposal, signature))
        if direct in sets:
            task.direct(direct).propose_direct(signed[direct])
        task.ledger.propose([replace(signed[0], member=2), *signed])

    def vote(values: dict[int, dict[int, int]], missing: int = -1) -> None:
        round_, ballots, seals = task.ledger.state().round, [], []
        for member, own in values.items():
            blind = [0, 1] if member == missing else []
            rated = {j: value for j, value in own.items() if j not in blind}
            ballot = Ballot.from_values(round_, rated, missing=blind)
            salt = digest("salt", member)[:31] + bytes([member])
            message = ballot_message(task.ledger.domain, ballot)
            signature = task.accounts[member].sign(message)
            ballots.append(SignedBallot(member, ballot, signature, salt if sealed else b""))
            seal = bytes(keccak(ballot.encode() + salt))
            signature = task.accounts[member].sign(seal_message(task.ledger.domain, round_, seal))
            seals.append(SignedSeal(member, round_, seal, signature))
        if sealed:
            task.ledger.seal(seals)
        strange = replace(ballots[1], ballot=Ballot.from_values(round_, dict.fromkeys(range(9), 1)))
        task.ledger.cast_ballots([strange, ballots[0]])
        said.append(task.ledger.state())
        task.ledger.cast_ballots(ballots)

    for round_ in (1, 2, 3):
        task.open()
        one, other = task.commitment(4), task.commitment(4, digest("another"))
        task.commit_all()
        said.append(task.ledger.state())
        if round_ == 3:  # too few propose
            propose({0: 0b00111, 1: 0b00011})
            task.ledger.wait_until(task.ledger.state().proposal_deadline)
            task.ledger.select()
            said.append(task.ledger.state())
            break
        propose({0: 0b10011, 1: 0b00011, 2: 0b10000, 3: 0b01111}, direct=round_ - 1)
        task.ledger.wait_until(task.ledger.state().proposal_deadline)
        values = {0: 90, 1: 80, 2: 70, 3: 60} if round_ == 1 else {0: 10, 1: 20, 2: 90, 3: 40}
        own = rule == "referee"
        likings = {
            i: {j: value + 3 * i * j for j, value in values.items() if own or j != i}
            for i in range(5)
        }
        vote(likings, missing=4)
        if round_ == 2:  # who is in a set that wins is a cheat
            task.ledger.prove_equivocation(one, other)
        task.ledger.select()
        said.append(task.ledger.state())
        task.ledger.close_round(round_, digest(round_))
    return [*said, *task.ledger.events()]


def timeless(said: Any) -> dict[str, Any]:
    """A state or an event without what is a chain's own: its blocks, and when they were."""
    fields: dict[str, Any] = {"kind": type(said)} | asdict(said)
    began = fields.get("opened_at") or fields.get("commit_deadline", 0)
    for name in ("transaction", "block", "log_index", "timestamp", "seed", "signed_at"):
        fields.pop(name, None)
    times = [name for name in fields if name.endswith("_deadline") or name == "opened_at"]
    return fields | {name: fields[name] - began for name in times}


@pytest.mark.parametrize("sealed", [False, True], ids=["open", "sealed"])
@pytest.mark.parametrize("rule", ["coalition", "referee"])
def test_nobody_can_tell_a_reference_from_a_contract_whose_members_propose(
    rule: Rule, sealed: bool
) -> None:
    found = []
    for kind in (EmbeddedChain, MemoryChain):
        with kind() as chain:
            whole = proposals_are_played(chain, rule, sealed=sealed)
        found.append([timeless(value) for value in whole])
    with_evm, without = found
    kinds = [each["kind"] for each in with_evm]
    assert {Proposed, Refused, BallotCast, Abstained, Equivocated, Selected, Voided} <= {*kinds}
    assert kinds.count(Selected) == 2
    assert without == with_evm


def test_the_events_say_whose_an_index_was(chain: EmbeddedChain):
    task = begin(chain)
    first = seats(task.ledger.events())
    assert first == dict(enumerate(task.ledger.members()))
    joined = [event for event in task.ledger.events() if isinstance(event, MemberJoined)]
    other = replace(joined[1], address=chain.coordinator.address, block=99)
    assert seats([*joined, other]) == first | {1: chain.coordinator.address}
    assert seats(joined[:2]) == {m: first[m] for m in (0, 1)}


def test_members_may_send_for_themselves(chain: EmbeddedChain):
    task = begin(chain)
    task.open()
    task.direct(0).commit_direct(task.commitment(0))
    with pytest.raises(ContractReverted, match="committed already"):
        task.direct(0).commit_direct(task.commitment(0))
    late = task.commitment(3)
    late = replace(late, commitment=replace(late.commitment, timestamp=2**40))
    with pytest.raises(ContractReverted, match="refused, see Refusal 5: TOO_LATE"):
        task.direct(3).commit_direct(late)
    task.commit_all()  # passes over who has committed
    task.direct(2).cast_ballot_direct(task.ballot(2, {0: 5, 1: 4, 3: 4}))
    assert task.ledger.state().voted == 0b0100
    broke = Ledger.attach(chain.connect(task.accounts[1]), task.ledger.domain.contract)
    with pytest.raises(AccountError, match=r"cannot pay for cast_ballot_direct.*0 wei"):
        broke.cast_ballot_direct(task.ballot(1, {0: 5}))
    stranger = Ledger.attach(chain.connect(), task.ledger.domain.contract)
    with pytest.raises(AccountError, match="only reads"):
        stranger.select()


def test_deadlines_pass_and_a_round_without_quorum_is_void(either: Chain):
    task = begin(either)
    task.open()
    task.ledger.commit([task.commitment(1)])
    with pytest.raises(ContractReverted, match=r"not in .*phase"):
        task.ledger.select()
    deadline = task.ledger.state().commit_deadline
    task.ledger.wait_until(deadline)
    assert task.ledger.now() > deadline
    assert task.ledger.state().phase == Phase.SELECT
    task.ledger.select()
    voided = [event for event in task.ledger.events() if isinstance(event, Voided)]
    assert [(e.round, e.committed, e.voted) for e in voided] == [(1, 0b0010, 0)]
    assert task.ledger.state().winners == 0
    task.open()
    assert task.ledger.state().round == 2


def test_who_was_attached_without_a_clock_cannot_wait(chain: EmbeddedChain):
    task = begin(chain)
    reader = Ledger.attach(chain.connect(), task.ledger.domain.contract)
    reader.wait_until(reader.now() - 1)
    with pytest.raises(LedgerError, match="cannot wait"):
        reader.wait_until(reader.now())


def test_two_deltas_for_one_round_are_proven(either: Chain):
    task = begin(either)
    task.open()
    one, other = task.commitment(2), task.commitment(2, digest("another"))
    task.commit_all()
    with pytest.raises(LedgerError, match="no equivocation"):
        task.ledger.prove_equivocation(one, task.commitment(1))
    with pytest.raises(ContractReverted, match="digests are equal"):
        task.ledger.prove_equivocation(one, one)
    sent = task.ledger.prove_equivocation(one, other)
    (event,) = task.ledger.events_of(sent.hash)
    assert isinstance(event, Equivocated)
    assert (event.member, event.digest, event.other_digest) == (2, digest(1, 2), digest("another"))
    assert task.ledger.state().equivocators == 0b0100


def test_forgeries_and_mixtures_are_refused(either: Chain):
    task = begin(either)
    task.open()
    good = task.commitment(0)
    high = bytearray(good.signature)
    high[32] |= 0x80
    odd = [replace(good, signature=one) for one in (bytes(high), good.signature[:64] + b"\x05")]
    for one in odd:
        with pytest.raises(LedgerError, match="no contract takes it"):
            task.ledger.prove_equivocation(one, task.commitment(0, digest("other")))
    for one in (replace(good, member=1), *odd):
        sent = task.ledger.commit([one])
        (refused,) = task.ledger.events_of(sent.hash)
        assert isinstance(refused, Refused)
        assert (refused.member, refused.reason) == (one.member, Refusal.SIGNATURE)
    later = replace(good, commitment=replace(good.commitment, round=2))
    for batch in ([good, later], []):
        with pytest.raises(LedgerError, match="of one round"):
            task.ledger.commit(batch)
    with pytest.raises(ContractReverted, match="not the current round"):
        task.ledger.commit([later])
    elsewhere = begin(either)  # the same members, the same words, another contract
    elsewhere.open()
    elsewhere.ledger.commit([good])
    assert elsewhere.ledger.state().committed == 0


def test_members_come_and_go_by_the_coordinators_leave(chain: EmbeddedChain):
    task = begin(chain)
    new = derive_account(0, "member", 4)
    joined = task.ledger.add_member(new.address.lower())
    (event,) = task.ledger.events_of(joined.hash)
    assert event == MemberJoined(joined.hash, joined.block, 0, chain.now(), 4, new.address)
    left = task.ledger.remove_member(1)
    assert [type(event) for event in task.ledger.events_of(left.hash)] == [MemberLeft]
    assert task.ledger.active() == 0b11101
    assert task.ledger.members()[1] == task.accounts[1].address
    with pytest.raises(AccountError, match="expected an address"):
        task.ledger.add_member("0x12")
    with pytest.raises(ContractReverted, match="not the coordinator"):
        task.direct(0).add_member(derive_account(0, "member", 9).address)


def test_members_come_and_go_with_a_stake(chain: EmbeddedChain):
    task = begin(chain, stake=10**15)
    own = [task.direct(member) for member in range(3)]
    for ledger in own:
        ledger.join()
    assert task.ledger.active() == 0b111
    own[1].leave()
    before = chain.connect().balance(task.accounts[1].address)
    own[1].withdraw()  # an event of its own, which is none of the ledger's
    assert chain.connect().balance(task.accounts[1].address) > before
    assert task.ledger.active() == 0b101
    assert len(task.ledger.events()) == 4


def test_a_transaction_of_another_contract_shows_nothing(chain: EmbeddedChain):
    task, other = begin(chain), begin(chain)
    other.open()
    sent = other.ledger.commit([other.commitment(0)])
    assert task.ledger.events_of(sent.hash) == ()
    assert task.ledger.receipts([sent.hash]) == {sent.hash: sent}
    for number in ("0x" + "0" * 64, "", "not a number"):
        for look_up in (task.ledger.events_of, lambda found: task.ledger.receipts([found])):
            with pytest.raises(TransactionUnknown):
                look_up(number)


def test_only_the_shipped_contract_is_attached_to(chain: EmbeddedChain):
    task = begin(chain, kappa_ppm=300_000, quorum=3)
    connection = chain.connect(chain.coordinator)
    contract = task.ledger.domain.contract
    assert Ledger.attach(connection, contract).rules == RULES["rules"]
    foreign, _ = connection.deploy(notes(), 1)
    for address in (foreign, chain.coordinator.address):
        with pytest.raises(ArtifactError, match="expected PeerConsensus"):
            Ledger.attach(connection, address)
    with pytest.raises(AccountError, match="expected an address"):
        Ledger.attach(connection, contract[:-1])


def test_deploying_says_which_rule_is_out_of_range(chain: EmbeddedChain):
    for rules, words in (({"kappa_ppm": 0}, "kappa"), ({"quorum": 129}, "quorum")):
        with pytest.raises(ContractReverted, match=words):
            begin(chain, **rules)


def test_128_members_fit(chain: EmbeddedChain):
    task = begin(chain, 128)
    task.open()
    task.commit_all()
    assert task.ledger.state().committed == 2**128 - 1
    # 65 ballots, of more than half: a full batch, and the rest
    row = {j: 1000 * (500 - j) for j in range(128)}
    ballots = [task.ballot(m, {j: row[j] for j in row if j != m}) for m in range(65)]
    last = task.ledger.cast_ballots(ballots)
    rest = [e.member for e in task.ledger.events_of(last.hash)]  # type: ignore[attr-defined]
    assert rest == list(range(42, 65))
    cast = [event for event in task.ledger.events() if isinstance(event, BallotCast)]
    assert [event.member for event in cast] == list(range(65))
    full = task.ledger.receipts([cast[0].transaction])[cast[0].transaction]
    task.ledger.wait_until(task.ledger.state().ballot_deadline)
    # EIP-7825 lets no transaction have more
    assert max(full.gas, task.ledger.select().gas) < 2**24
    assert len(members_in(task.ledger.state().winners)) == 64
    (selected,) = [event for event in task.ledger.events() if isinstance(event, Selected)]
    assert len(selected.scores) == 128
    assert sum(selected.scores) == 65 * sum(2 * (128 - place) for place in range(1, 128))


def test_a_broken_off_relay_is_taken_up_again(chain: EmbeddedChain):
    task = begin(chain)
    task.open()
    task.ledger.commit([task.commitment(0), task.commitment(1)])
    task.commit_all()
    committed = [e.member for e in task.ledger.events() if isinstance(e, Committed)]
    assert committed == [0, 1, 2, 3]
