"""The marketplace through JSON-RPC: every call, every event, and what happens without one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bcfl.amounts import in_ether
from bcfl.chain.contract import Log
from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.core.errors import (
    AccountError,
    ArtifactError,
    ContractReverted,
    LedgerError,
    ReplyMalformed,
    TransactionUnknown,
)
from bcfl.market.contract import events
from bcfl.market.contract.ledger import AboveCap, MarketLedger
from bcfl.market.contract.words import event_of, submission_of, task_of
from bcfl.market.spec.draw import draw_seed
from bcfl.market.spec.report import Reason, Report, seal
from bcfl.market.spec.terms import (
    Conditions,
    MarketAccount,
    MarketPhase,
    PoolPlace,
    TaskRules,
    submission_cost,
)
from tests.market.contract.people import ETHER, People, account, commitment, digest, public_key

RULES = TaskRules(10**15, 10**13, 500_000, seats=3, quorum=2, redraws=1, members_only=True)
BOND, STAKE = 10**16, 10**15
MODEL, SECRET = digest("model"), digest("secret")
SALT = digest("salt")
GOOD = Report(800_000)
VERIFIERS = [f"verifier {i}" for i in range(4)]


@pytest.fixture
def people() -> Iterator[People]:
    with EmbeddedChain() as chain:
        yield People(chain, bond=BOND)


def launch(people: People) -> events.Launched:
    conditions = Conditions(3, STAKE, people.market.now() + 10_000, 2_000, 700, 800)
    return people["initiator"].launch(digest("description"), RULES, conditions)


def register(people: People) -> None:
    for name in VERIFIERS:
        people[name].register(public_key(name))
        people[name].enter(1, most_wei=BOND)


def judge(people: People, submission: bytes, report: Report = GOOD) -> list[MarketLedger]:
    """From the draw to the verdict."""
    people["contributor"].draw(submission)
    people["initiator"].grant(submission, digest("grant"))
    people["contributor"].share(submission, digest("keys"))
    panel = people.panel(submission)
    for verifier in panel:
        promise = seal(submission, verifier.account, report, SALT)
        verifier.seal_report(submission, promise)
    for verifier in panel:
        verifier.reveal_report(submission, report, SALT)
    return panel


def test_a_model_is_sold_and_every_step_is_an_event(people: People) -> None:
    launched = launch(people)
    register(people)
    people["contributor"].submit(1, MODEL, commitment(SECRET), most_wei=STAKE)
    panel = judge(people, MODEL)
    people["contributor"].disclose(MODEL, SECRET)
    said = people.market.events()
    assert [type(event).__name__ for event in said] == [
        "Launched",
        *["Registered", "Entered"] * 4,
        "Submitted",
        "Armed",
        *["Seated"] * 3,
        "Drawn",
        "Granted",
        "Shared",
        *["ReportSealed"] * 3,
        *["Reported"] * 3,
        "Judged",
        "Disclosed",
    ]
    initiator, contributor = account("initiator").address, account("contributor").address
    names = [verifier.account for verifier in panel]
    assert said[0] == launched
    assert (launched.task, launched.initiator, launched.rules) == (1, initiator, RULES)
    submitted, seated, drawn = said[9], said[11:14], said[14]
    judged, disclosed = said[-2], said[-1]
    assert isinstance(submitted, events.Submitted)
    assert (submitted.task, submitted.submission, submitted.number) == (1, MODEL, 1)
    assert submitted.key_commitment == commitment(SECRET)
    assert isinstance(drawn, events.Drawn)
    assert drawn.seats == 3
    assert [(e.verifier, e.seat) for e in seated if isinstance(e, events.Seated)] == [
        (name, seat) for seat, name in enumerate(names)
    ]
    assert people.market.seats_of(names[1]) == [seated[1]]
    reported = [event for event in said if isinstance(event, events.Reported)]
    assert [(e.verifier, e.fitness, e.reason) for e in reported] == [
        (name, GOOD.fitness, Reason.MEASURED) for name in names
    ]
    assert isinstance(judged, events.Judged)
    assert (judged.accepted, judged.above, judged.reports) == (True, 3, 3)
    assert isinstance(disclosed, events.Disclosed)
    assert (disclosed.contributor, disclosed.key) == (contributor, SECRET)
    assert people.market.events_of(disclosed.transaction) == [disclosed]
    assert people.market.events(from_block=disclosed.block) == [disclosed]


def test_task_submission_and_account_are_read_as_values(people: People) -> None:
    launch(people)
    register(people)
    people["contributor"].submit(1, MODEL, commitment(SECRET), most_wei=STAKE)
    found = people.market.submission(MODEL)
    assert found is not None
    assert (found.task, found.phase, found.cause) == (1, MarketPhase.DRAW, MarketPhase.NONE)
    assert found.contributor == account("contributor").address
    assert found.panel == (None, None, None)
    assert found.reserved == submission_cost(RULES)
    assert (found.first, found.length) == (1, 4)
    panel = judge(people, MODEL)
    sold = people.market.submission(MODEL)
    assert sold is not None
    assert sold.phase is MarketPhase.DISCLOSE
    assert (sold.sealed, sold.revealed, sold.above) == (7, 7, 7)
    assert sold.panel == tuple(verifier.account for verifier in panel)
    assert sold.seat_of(panel[1].account) == 1
    assert sold.seat_of(account("initiator").address) is None
    people["contributor"].disclose(MODEL, SECRET)
    task = people.market.task(1)
    assert task is not None
    assert (task.initiator, task.rules) == (account("initiator").address, RULES)
    assert (task.description, task.conditions.stake) == (digest("description"), STAKE)
    assert (task.opened, task.taken, task.pending, task.paid) == (1, 1, 0, 1)
    assert task.free == 2 * submission_cost(RULES)
    paid = people.market.account_of(account("contributor").address)
    assert paid == MarketAccount(RULES.reward + STAKE, 0)
    assert not paid.is_registered
    reporter = people.market.account_of(panel[0].account)
    assert (reporter.credit, reporter.is_registered) == (RULES.fee, True)
    place = people.market.place_of(1, panel[0].account)
    assert (place.number, place.busy, place.is_in) == (reporter.number, 0, True)


def test_what_is_not_there_is_none(people: People) -> None:
    assert people.market.tasks() == 0
    assert people.market.task(0) is None
    assert people.market.task(1) is None
    assert people.market.submission(MODEL) is None
    assert people.market.account_of(account("stranger").address) == MarketAccount(0, 0)
    assert people.market.place_of(1, account("stranger").address) == PoolPlace(0, 0, 0)
    with pytest.raises(TransactionUnknown):
        people.market.events_of("0x" + 64 * "0")


def test_the_draw_waits_for_its_anchor() -> None:
    with EmbeddedChain() as chain:
        people = People(chain, bond=BOND, draw_delay=20)
        launch(people)
        register(people)
        people["contributor"].submit(1, MODEL, commitment(SECRET), most_wei=STAKE)
        sent = people["contributor"].draw(MODEL)
        found = people.market.submission(MODEL)
        assert found is not None
        assert sent.block > found.anchor
        assert None not in found.panel
        *_, drawn = people.market.events_of(sent.hash)
        assert isinstance(drawn, events.Drawn)
        block = chain.connect().request("eth_getBlockByNumber", hex(found.anchor), False)
        assert drawn.seed == draw_seed(bytes.fromhex(block["hash"][2:]), MODEL)


def test_the_verifiers_are_known_with_their_keys(people: People) -> None:
    launch(people)
    register(people)
    expected = {account(name).address: public_key(name) for name in VERIFIERS}
    assert people.market.verifiers() == expected
    assert people.market.pool(1) == expected
    people[VERIFIERS[0]].leave(1)
    left = account(VERIFIERS[0]).address
    assert people.market.verifiers() == expected
    assert people.market.pool(1) == {k: v for k, v in expected.items() if k != left}
    assert people.market.pool(2) == {}
    # contributors still need the key of one who has left while a panel had been drawn
    assert people.market.public_key(left) == public_key(VERIFIERS[0])
    with pytest.raises(LedgerError, match="never registered"):
        people.market.public_key(account("stranger").address)


def test_what_the_contract_refuses_carries_its_reason(people: People) -> None:
    with pytest.raises(ContractReverted) as caught:
        people["stranger"].withdraw()
    assert caught.value.reason == "model marketplace: nothing to withdraw"
    with pytest.raises(ContractReverted, match="no such task"):
        people["contributor"].submit(1, MODEL, commitment(SECRET), most_wei=STAKE)
    with pytest.raises(ContractReverted, match="no draw is due"):
        people["contributor"].draw(MODEL)
    with pytest.raises(ContractReverted, match="not the sender's public key"):
        people[VERIFIERS[0]].register(public_key(VERIFIERS[1]))


def test_grant_void_collect_and_withdraw(people: People) -> None:
    launch(people)
    register(people)
    people["contributor"].submit(1, MODEL, commitment(SECRET), most_wei=STAKE)
    judge(people, MODEL)
    people["contributor"].disclose(MODEL, SECRET)
    second = digest("second model")
    people["contributor"].submit(1, second, commitment(SECRET), most_wei=STAKE)
    people["contributor"].draw(second)
    people["initiator"].grant(second, digest("grant"))
    found = people.market.submission(second)
    assert found is not None
    assert not found.short
    assert found.phase is MarketPhase.SHARE
    people.market.wait_until(found.deadline)
    voided = people["stranger"].settle(second)
    burnt, event = people.market.events_of(voided.hash)
    assert isinstance(burnt, events.Burnt)
    assert (burnt.submission, burnt.amount) == (second, STAKE)
    assert isinstance(event, events.SubmissionVoided)
    assert event.cause is MarketPhase.SHARE
    task = people.market.task(1)
    assert task is not None
    people.market.wait_until(task.conditions.deadline)
    (collected,) = people.market.events_of(people["initiator"].collect(1).hash)
    assert isinstance(collected, events.Collected)
    assert collected.amount == 2 * submission_cost(RULES)
    before = people.chain.connect().balance(account("initiator").address)
    sent = people["initiator"].withdraw()
    (withdrawn,) = people.market.events_of(sent.hash)
    assert isinstance(withdrawn, events.Withdrawn)
    after = people.chain.connect().balance(account("initiator").address)
    assert before < after <= before + withdrawn.amount == before + collected.amount


def test_struck_off_verifiers_are_announced(people: People) -> None:
    launch(people)
    register(people)
    people["contributor"].submit(1, MODEL, commitment(SECRET), most_wei=STAKE)
    people["contributor"].draw(MODEL)
    people["initiator"].grant(MODEL, digest("grant"))
    people["contributor"].share(MODEL, digest("keys"))
    found = people.market.submission(MODEL)
    assert found is not None
    people.market.wait_until(found.deadline)
    said = people.market.events_of(people["stranger"].settle(MODEL).hash)
    struck = [event for event in said if isinstance(event, events.StruckOff)]
    assert [(event.verifier, event.forfeited) for event in struck] == [
        (verifier, BOND) for verifier in found.panel
    ]
    (armed,) = [event for event in said if isinstance(event, events.Armed)]
    assert armed.redraws == 1


def test_no_more_is_deposited_than_the_owner_allows(people: People) -> None:
    """The stake and the bond are what the initiator's terms say, and may be anything."""
    launch(people)
    bond = people.market.bond(1)
    assert bond == BOND
    people[VERIFIERS[0]].register(public_key(VERIFIERS[0]))
    with pytest.raises(
        AboveCap, match=f"a bond of {in_ether(bond)}; at most {in_ether(bond - 1)} are allowed"
    ):
        people[VERIFIERS[0]].enter(1, most_wei=bond - 1)
    with pytest.raises(
        AboveCap, match=f"a stake of {in_ether(STAKE)}; at most {in_ether(STAKE - 1)} are"
    ):
        people["contributor"].submit(1, MODEL, commitment(SECRET), most_wei=STAKE - 1)
    assert people.market.submission(MODEL) is None
    assert people.market.pool(1) == {}


def test_a_ledger_that_only_reads_says_so(people: People) -> None:
    reader = MarketLedger.attach(people.chain.connect(), people.market.address)
    assert (reader.least_bond, reader.draw_delay) == (BOND, 2)
    with pytest.raises(AccountError, match="only reads"):
        reader.withdraw()
    with pytest.raises(AccountError, match="only reads"):
        _ = reader.account
    with pytest.raises(LedgerError, match="cannot wait"):
        reader.wait_until(reader.now() + 1)


def test_another_contract_is_not_taken_for_a_marketplace(people: People) -> None:
    with pytest.raises(ArtifactError):
        MarketLedger.attach(people.chain.connect(), account("stranger").address)


def test_it_implements_the_port(people: People) -> None:
    def name_of(market: MarketLedger) -> str:
        return market.address

    assert name_of(people.market) == people.market.address
    assert people.chain.connect().balance(people.market.account) > ETHER


VOIDED = events.SubmissionVoided.__name__
ROWS = [
    pytest.param(lambda: task_of((1, 2)), id="a task of too few words"),
    pytest.param(
        lambda: task_of(("0x1", b"", (0,) * 7, (0,) * 6, 0, 0, 0, 0, 0, 0)),
        id="a task out of range",
    ),
    pytest.param(
        lambda: submission_of(("0x1", b"", [], 0, (1, 5, 77, *(0,) * 12))), id="no such phase"
    ),
    pytest.param(
        lambda: event_of(
            Log("SubmissionVoided", {"submission": MODEL, "cause": 77}, "0x", 1, 0, 0)
        ),
        id="no such cause",
    ),
    pytest.param(lambda: event_of(Log(VOIDED, {}, "0x", 1, 0, 0)), id="an event of no words"),
]


@pytest.mark.parametrize("read", ROWS)
def test_what_no_marketplace_says_is_not_believed(read) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ReplyMalformed, match="no marketplace says"):
        read()
