"""What a reorganisation took back is sent again, and forgotten only where it cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from bcfl.chain.node import Head, Receipt
from bcfl.chain.outbox import Outbox
from bcfl.core.errors import (
    ChainReorganised,
    LedgerError,
    NodeUnreachable,
    TransactionLost,
)


def at(block: int, fork: int) -> Receipt:
    """The receipt of a transaction that is alone in its block."""
    return Receipt(
        f"0x{block:064x}", block, 21_000, True, None, (), bytes([fork]) + block.to_bytes(31)
    )


@dataclass
class Chain:
    """A node, and the way to it: what is settled is mined on the fork that counts now."""

    forks: dict[int, int] = field(default_factory=dict)  # by block
    settled: list[bytes] = field(default_factory=list)
    fails: Iterator[LedgerError] = field(default_factory=lambda: iter(()))
    away: bool = False

    def __post_init__(self) -> None:
        self.rpc = SimpleNamespace(tries=lambda: iter([0.0]))
        self.outbox = Outbox(self, self.settle)  # type: ignore[arg-type]

    def mine(self, block: int, **options: Any) -> None:
        self.forks[block] = 1
        self.outbox.note(bytes([block]), f"call {block}", at(block, 1), **options)

    def settle(self, raw: bytes, call: str) -> Receipt:
        if (error := next(self.fails, None)) is not None:
            raise error
        self.settled.append(raw)
        self.forks[raw[0]] = 2
        return at(raw[0], 2)

    def block(self, number: int) -> Head | None:
        if self.away:
            raise NodeUnreachable("away")
        fork = self.forks.get(number)
        return None if fork is None else Head(number, 0, 0, 0, at(number, fork).block_hash)

    def newest(self) -> Head:
        found = self.block(max(self.forks))
        assert found is not None
        return found

    def know(self, block: int) -> None: ...

    def forget(self, block: int) -> None: ...


@pytest.fixture
def chain() -> Chain:
    """Three blocks with a transaction each, of which the last two were taken back."""
    chain = Chain()
    for block in (1, 2, 3):
        chain.mine(block)
    chain.forks = {1: 1, 2: 3}
    return chain


def test_what_was_taken_back_is_sent_again_in_its_order(chain: Chain) -> None:
    chain.outbox.mend()
    assert chain.settled == [b"\x02", b"\x03"]
    chain.outbox.mend()
    assert len(chain.settled) == 2, "once"


def test_what_nobody_could_send_is_not_forgotten(chain: Chain) -> None:
    chain.fails = iter([NodeUnreachable("away")])
    with pytest.raises(NodeUnreachable):
        chain.outbox.mend()
    chain.outbox.mend()
    assert chain.settled == [b"\x02", b"\x03"]


def test_a_node_that_cannot_say_what_stands_takes_nothing_away(chain: Chain) -> None:
    chain.away = True
    with pytest.raises(NodeUnreachable):
        chain.outbox.restore()
    chain.away = False
    chain.outbox.mend()
    assert chain.settled == [b"\x02", b"\x03"]


def test_a_transaction_whose_nonce_another_one_took_is_let_go(chain: Chain) -> None:
    chain.fails = iter([TransactionLost("its nonce was used by another one")])
    chain.outbox.mend()
    assert chain.settled == [b"\x03"]
    chain.outbox.mend()
    assert chain.settled == [b"\x03"]


def test_what_is_not_right_any_more_is_not_sent(chain: Chain) -> None:
    chain.mine(4, still=lambda: False)
    chain.forks = {1: 1, 2: 1, 3: 1, 4: 3}
    with pytest.raises(ChainReorganised, match=r"taken back call 4.*bcfl resume"):
        chain.outbox.mend()
    assert not chain.settled
