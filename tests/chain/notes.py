"""A small contract to test the way to the chain with, and time that passes at will."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from vyper import compile_code

from bcfl.contracts import Artifact

SOURCE = """
# pragma version 0.4.3
event Noted:
    number: indexed(uint256)
    text: Bytes[64]

event Emptied: pass

LIMIT: immutable(uint256)
OWNER: immutable(address)
count: public(uint256)

@deploy
def __init__(limit: uint256):
    assert limit > 0, "notes: no room"
    LIMIT = limit
    OWNER = msg.sender

@external
def note(text: Bytes[64]):
    assert self.count < LIMIT, "notes: full"
    self.count += 1
    log Noted(number=self.count, text=text)

@external
def note_twice(text: Bytes[64]):
    for i: uint256 in range(2):
        self.count += 1
        log Noted(number=self.count, text=text)
    log Emptied()

@external
def small(number: uint256) -> uint8:
    return convert(number, uint8)

@external
@payable
def pay():
    assert msg.value > 5, "notes: too little"

@external
@view
def owner() -> address:
    return OWNER

@external
@view
def time() -> uint256:
    return block.timestamp

@external
@view
def refuse():
    raise "notes: never"
"""


@cache
def notes() -> Artifact:
    """The compiled contract."""
    compiled = compile_code(SOURCE, output_formats=["abi", "bytecode", "bytecode_runtime"])
    return Artifact(
        "Notes",
        compiled["abi"],
        bytes.fromhex(compiled["bytecode"][2:]),
        bytes.fromhex(compiled["bytecode_runtime"][2:]),
    )


class FakeTime:
    """A clock that only sleeping moves, and what else is to happen while somebody sleeps."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.now = 0.0
        self.naps: list[float] = []
        self.meanwhile = meanwhile

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds
        self.meanwhile()
