"""The short instructions do, cost and fail as py-evm's own, whatever the program."""

from __future__ import annotations

import random
from typing import Any

import pytest
from eth.vm import opcode_values as op
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.message import Message
from eth.vm.transaction_context import BaseTransactionContext

from bcfl.chain.embedded.block import Genesis
from bcfl.chain.embedded.evm import Evm
from bcfl.chain.embedded.opcodes import Vm

SHORT = Vm.get_state_class().computation_class
CHANGED = [
    code for code, what in SHORT.opcodes.items() if what is not PragueComputation.opcodes[code]
]
OTHERS = [op.MSTORE8, op.MSIZE, op.MCOPY, op.CALLDATALOAD, op.GAS, op.BYTE, op.SGT, 0xFE]
ADDRESS = b"\1" * 20
EDGES = (0, 1, 2, 31, 32, 33, 255, 256, 2**255, 2**256 - 32, 2**256 - 1)


@pytest.fixture(scope="module")
def state() -> Any:
    return Evm(Genesis({})).state(0)


def program(lots: random.Random) -> bytes:
    """Numbers that make sense to what follows mostly; jumps mostly to where one may land."""
    code = bytearray()
    landings = [0]
    for _ in range(lots.randrange(5, 60)):
        chosen = lots.choice(CHANGED if lots.random() < 0.9 else OTHERS)
        for _ in range(lots.choice((0, 1, 2, 2, 3))):
            number = lots.choice((lots.choice(EDGES), lots.randrange(200)))
            if chosen in (op.JUMP, op.JUMPI) and lots.random() < 0.7:
                number = lots.choice(landings)
            size = lots.choice((32, max(1, -(-number.bit_length() // 8))))
            code += bytes([op.PUSH0 + size]) + number.to_bytes(size, "big")
        if chosen == op.JUMPDEST:
            landings.append(len(code))
        code.append(chosen)
        if op.PUSH0 < chosen <= op.PUSH32:
            code += lots.randbytes(chosen - op.PUSH0)
    return bytes(code[: lots.randrange(len(code) // 2, len(code) + 1)])


def outcome(kind: Any, state: Any, code: bytes, gas: int) -> dict[str, Any]:
    message = Message(gas, ADDRESS, ADDRESS, 0, bytes(range(64)), code)
    found = kind.apply_message(state, message, BaseTransactionContext(0, ADDRESS))
    return {
        "error": repr(found._error),
        "gas": found.get_gas_remaining(),
        "at": found.code.program_counter,
        "memory": bytes(found._memory._bytes),
        "stack": [
            int.from_bytes(word, "big") if isinstance(word, bytes) else word
            for word in found._stack.values
        ],
    }


def test_programs_end_as_they_do_in_py_evm(state: Any) -> None:
    lots = random.Random(1)
    errors = set()
    for _ in range(400):
        code, gas = program(lots), lots.choice((lots.randrange(300), 2_000))
        once, again = (outcome(kind, state, code, gas) for kind in (PragueComputation, SHORT))
        assert again == once, code.hex()
        assert outcome(SHORT, state, code, gas) == once  # with the jumps that are known by now
        errors.add(once["error"].partition("(")[0])
    assert {"None", "OutOfGas", "InsufficientStack", "InvalidJumpDestination"} <= errors


@pytest.mark.parametrize("code", CHANGED)
def test_each_fails_as_in_py_evm(state: Any, code: int) -> None:
    full = bytes([op.PUSH0]) * 1024
    for before in (b"", bytes([op.PUSH0]), bytes([op.PUSH0]) * 20, full):
        cost = 2 * len(before)
        for gas in (cost, cost + 1, cost + 20):
            found = [
                outcome(kind, state, before + bytes([code]), gas)
                for kind in (PragueComputation, SHORT)
            ]
            assert found[0] == found[1]
