"""What becomes of a signed transaction, told by a mempool that follows a script."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bcfl.chain.delivery import Delivery, NonceTakenError, revert_reason
from bcfl.chain.node import Receipt, transaction_number
from bcfl.core.errors import (
    AccountError,
    ContractReverted,
    NodeRefused,
    NodeUnreachable,
    ReplyMalformed,
    TransactionLost,
)
from tests.chain.notes import FakeTime

RAW = b"signed"
NUMBER = transaction_number(RAW)
UNREACHABLE = NodeUnreachable("nobody.")


def refused(message: str, code: int = -32000, data: str = "") -> NodeRefused:
    return NodeRefused("eth_sendRawTransaction", code, message, data)


class Mempool:
    """A node that takes, drops, mines and forgets as told. ``sends`` is what it says, in turn."""

    def __init__(self, *sends: Exception | str) -> None:
        self.sends = list(sends)
        self.received: list[bytes] = []
        self.pending = False
        self.mined = False
        self.blocks_on_top = 0

    def send(self, raw: bytes) -> None:
        self.received.append(raw)
        said = self.sends.pop(0) if self.sends else "taken"
        if isinstance(said, Exception):
            raise said
        self.pending, self.mined = said != "dropped", said == "mined"
        if said == "mined, but the answer is lost":
            self.mined = True
            raise UNREACHABLE

    def find_receipt(self, number: str) -> Receipt | None:
        assert number == NUMBER
        return Receipt(NUMBER, 7, 21_000, True, None, ()) if self.mined else None

    def confirmed(self, receipt: Receipt, depth: int) -> bool:
        return self.blocks_on_top >= depth

    def knows(self, number: str) -> bool:
        return self.pending or self.mined


def delivery(pool: Mempool, meanwhile: Callable[[], None] = lambda: None) -> Delivery:
    time = FakeTime(meanwhile)
    return Delivery(pool, retry_s=20, mining_s=60, sleep=time.sleep, clock=time.clock)


def test_what_is_taken_is_sent_once():
    pool = Mempool("mined")
    delivery(pool).submit(RAW, "note")
    assert delivery(pool).settle(RAW, "note").block == 7
    assert pool.received == [RAW]


@pytest.mark.parametrize("trouble", [UNREACHABLE, ReplyMalformed("garbage")])
def test_an_unanswered_send_is_repeated_unchanged(trouble: Exception):
    pool = Mempool(trouble, trouble, "taken")
    delivery(pool).submit(RAW, "note")
    assert pool.received == [RAW] * 3


@pytest.mark.parametrize("words", ["already known", "ALREADY KNOWN: 0x1", "Known transaction: 1"])
def test_already_known_is_success(words: str):
    pool = Mempool(UNREACHABLE, refused(words))
    delivery(pool).submit(RAW, "note")
    assert len(pool.received) == 2


def test_a_used_nonce_is_success_where_it_was_used_by_the_same_transaction():
    pool = Mempool("mined, but the answer is lost", refused("nonce too low"))
    delivery(pool).submit(RAW, "note")
    assert delivery(pool).settle(RAW, "note").number == NUMBER
    assert pool.received == [RAW] * 2


def test_a_used_nonce_at_the_first_attempt_means_that_another_one_may_be_signed():
    for words in ("nonce too low: next 5, tx 4", "OldNonce", "replacement transaction underpriced"):
        with pytest.raises(NonceTakenError):
            delivery(Mempool(refused(words))).submit(RAW, "note")


def test_a_used_nonce_after_an_unanswered_attempt_never_means_that():
    pool = Mempool(UNREACHABLE, *[refused("nonce too low")] * 100)
    with pytest.raises(TransactionLost, match=f"{NUMBER}.*look it up"):
        delivery(pool).submit(RAW, "note")
    assert set(pool.received) == {RAW}


def test_a_node_that_stays_away_is_unreachable_and_the_fate_is_open():
    pool = Mempool(*[UNREACHABLE] * 100)
    with pytest.raises(NodeUnreachable, match=f"{NUMBER} .note. may or may not be mined"):
        delivery(pool).submit(RAW, "note")
    assert 5 < len(pool.received) < 30


def test_a_dropped_transaction_is_sent_again_unchanged():
    pool = Mempool("dropped", "dropped", "dropped", "mined")
    sent = delivery(pool)
    sent.submit(RAW, "note")
    assert sent.settle(RAW, "note").number == NUMBER
    assert pool.received == [RAW] * 4


def test_a_pending_transaction_is_waited_for_and_not_sent_again():
    pool = Mempool("taken")
    naps = iter(range(8))

    def meanwhile() -> None:
        pool.mined = next(naps) == 7

    sent = delivery(pool, meanwhile)
    sent.submit(RAW, "note")
    sent.settle(RAW, "note")
    assert pool.received == [RAW]


def test_what_is_never_mined_is_lost():
    pool = Mempool("taken")
    sent = delivery(pool)
    sent.submit(RAW, "note")
    with pytest.raises(TransactionLost, match="not mined within 60 s"):
        sent.settle(RAW, "note")
    assert pool.received == [RAW]


def test_what_another_transaction_replaced_is_lost_soon():
    pool = Mempool("dropped", *[refused("nonce too low")] * 100)
    time = FakeTime()
    sent = Delivery(pool, retry_s=20, mining_s=600, sleep=time.sleep, clock=time.clock)
    sent.submit(RAW, "note")
    with pytest.raises(TransactionLost, match="nonce was used by another one"):
        sent.settle(RAW, "note")
    assert 15 < sum(time.naps) < 30  # nodes behind one URL learn of a block one by one


def test_a_receipt_that_comes_late_is_believed():
    pool = Mempool("dropped", *[refused("nonce too low")] * 3)
    naps = iter(range(100))

    def meanwhile() -> None:
        pool.mined = next(naps) >= 2

    sent = delivery(pool, meanwhile)
    sent.submit(RAW, "note")
    assert sent.settle(RAW, "note").succeeded


def test_a_transaction_whose_block_is_dropped_is_sent_again():
    pool = Mempool("mined", "mined")

    def meanwhile() -> None:
        pool.blocks_on_top += 1
        if len(pool.received) == 1 and pool.blocks_on_top == 2:
            pool.mined = pool.pending = False  # another block took its place
            pool.blocks_on_top = 0

    sent = delivery(pool, meanwhile)
    sent.submit(RAW, "note")
    assert sent.settle(RAW, "note", depth=3).number == NUMBER
    assert (pool.received, pool.blocks_on_top) == ([RAW] * 2, 3)


def test_what_is_dropped_with_its_block_and_replaced_is_lost():
    pool = Mempool("mined", *[refused("nonce too low")] * 100)

    def meanwhile() -> None:
        pool.mined = pool.pending = False

    sent = delivery(pool, meanwhile)
    sent.submit(RAW, "note")
    with pytest.raises(TransactionLost, match="nonce was used by another one"):
        sent.settle(RAW, "note", depth=2)


def test_what_is_never_confirmed_names_the_option():
    pool = Mempool("mined")
    sent = delivery(pool)
    sent.submit(RAW, "note")
    with pytest.raises(TransactionLost, match=r"beneath 2 others \(chain.confirmations\)"):
        sent.settle(RAW, "note", depth=2)
    assert pool.received == [RAW]


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (
            refused("insufficient funds for gas * price + value"),
            AccountError,
            "cannot pay for note",
        ),
        (refused("execution reverted: notes: full", 3), ContractReverted, "notes: full"),
        (refused("exceeds block gas limit"), NodeRefused, "exceeds block gas limit"),
    ],
)
def test_a_final_refusal_is_not_repeated(answer: Exception, expected: type[Exception], words: str):
    pool = Mempool(answer)
    with pytest.raises(expected, match=words):
        delivery(pool).submit(RAW, "note")
    assert len(pool.received) == 1


TEXT = "08c379a0" + f"{32:064x}" + f"{5:064x}" + b"x: y!".hex().ljust(64, "0")


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (refused("execution reverted: x: y!", 3, "0x" + TEXT), "x: y!"),
        (refused("anything", -32000, "0x" + TEXT.upper()), "x: y!"),
        (refused("execution reverted: x: y!", 3), "x: y!"),
        (refused("VM Exception: reverted", -32000), ""),
        (refused("execution reverted", 3, "0x"), ""),
        (refused("execution reverted", 3, "0x4e487b71" + f"{17:064x}"), "panic 0x11"),
        (refused("execution reverted", 3, "0xdeadbeef00"), "error 0xdeadbeef"),
        (refused("nonce too low"), None),
    ],
)
def test_the_contracts_reason_is_found_where_the_node_put_it(
    refusal: NodeRefused, reason: str | None
):
    assert revert_reason(refusal) == reason


@pytest.mark.parametrize("data", ["0x08c379a0", "0x08c379a0zz", "0x" + TEXT[:80], "0x08c379a0ff"])
def test_a_reason_that_is_none_is_malformed(data: str):
    with pytest.raises(ReplyMalformed, match="no string"):
        revert_reason(refused("execution reverted", 3, data))
