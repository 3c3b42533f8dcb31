"""py-evm's instructions, the most frequent of them without its layers of calls.

A contract's call is some thousand instructions, of which nine in ten move small numbers about.
Each of these is one function here. It does the ordinary case; where the gas, the stack or the
memory does not suffice, a jump has not been made before, or anything else is out of the ordinary,
it has changed nothing and leaves the instruction to py-evm's own. So what is done, what it costs
and how it fails is py-evm's word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final, TypeAlias

from eth.vm import opcode_values as op
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.forks.prague.state import PragueState

_Instruction: TypeAlias = Callable[..., None]

_WORD: Final = 32
_MODULUS: Final = 2**256
_MOST: Final = 1024  #: words on the stack

_from_bytes = int.from_bytes

_BINARY: Final[dict[int, Callable[[int, int], int]]] = {
    op.ADD: lambda left, right: (left + right) % _MODULUS,
    op.SUB: lambda left, right: (left - right) % _MODULUS,
    op.MUL: lambda left, right: left * right % _MODULUS,
    op.DIV: lambda left, right: left // right if right else 0,
    op.LT: lambda left, right: int(left < right),
    op.GT: lambda left, right: int(left > right),
    op.EQ: lambda left, right: int(left == right),
    op.AND: lambda left, right: left & right,
    op.OR: lambda left, right: left | right,
    op.XOR: lambda left, right: left ^ right,
    op.SHL: lambda bits, word: (word << bits) % _MODULUS if bits < 256 else 0,
    op.SHR: lambda bits, word: word >> bits if bits < 256 else 0,
}


def _push(size: int, usual: Any) -> _Instruction:
    cost = usual.gas_cost

    def push(computation: Any) -> None:
        meter, values, code = computation._gas_meter, computation._stack.values, computation.code
        at = code.program_counter
        end = at + size
        if meter.gas_remaining < cost or len(values) >= _MOST or end > code._length_cache:
            usual(computation)
            return
        meter.gas_remaining -= cost
        code.program_counter = end
        values.append(_from_bytes(code._raw_code_bytes[at:end], "big"))

    return push


def _dup(place: int, usual: Any) -> _Instruction:
    cost = usual.gas_cost

    def dup(computation: Any) -> None:
        meter, values = computation._gas_meter, computation._stack.values
        if meter.gas_remaining < cost or not place <= len(values) < _MOST:
            usual(computation)
            return
        meter.gas_remaining -= cost
        values.append(values[-place])

    return dup


def _swap(place: int, usual: Any) -> _Instruction:
    cost, other = usual.gas_cost, -place - 1

    def swap(computation: Any) -> None:
        meter, values = computation._gas_meter, computation._stack.values
        if meter.gas_remaining < cost or len(values) <= place:
            usual(computation)
            return
        meter.gas_remaining -= cost
        values[-1], values[other] = values[other], values[-1]

    return swap


def _pop(usual: Any) -> _Instruction:
    cost = usual.gas_cost

    def pop(computation: Any) -> None:
        meter, values = computation._gas_meter, computation._stack.values
        if meter.gas_remaining < cost or not values:
            usual(computation)
            return
        meter.gas_remaining -= cost
        del values[-1]

    return pop


def _binary(compute: Callable[[int, int], int], usual: Any) -> _Instruction:
    cost = usual.gas_cost

    def binary(computation: Any) -> None:
        meter, values = computation._gas_meter, computation._stack.values
        if meter.gas_remaining < cost or len(values) < 2:
            usual(computation)
            return
        meter.gas_remaining -= cost
        left, right = values.pop(), values[-1]
        if type(left) is bytes:
            left = _from_bytes(left, "big")
        if type(right) is bytes:
            right = _from_bytes(right, "big")
        values[-1] = compute(left, right)

    return binary


def _is_zero(usual: Any) -> _Instruction:
    cost = usual.gas_cost

    def is_zero(computation: Any) -> None:
        meter, values = computation._gas_meter, computation._stack.values
        if meter.gas_remaining < cost or not values:
            usual(computation)
            return
        meter.gas_remaining -= cost
        word = values[-1]
        values[-1] = int(not (_from_bytes(word, "big") if type(word) is bytes else word))

    return is_zero


def _mload(usual: Any) -> _Instruction:
    cost = usual.gas_cost

    def mload(computation: Any) -> None:
        meter, values = computation._gas_meter, computation._stack.values
        memory = computation._memory._bytes
        at = values[-1] if values else -1
        if type(at) is not int or not 0 <= at <= len(memory) - _WORD or meter.gas_remaining < cost:
            usual(computation)
            return
        meter.gas_remaining -= cost
        values[-1] = _from_bytes(memory[at : at + _WORD], "big")

    return mload


def _mstore(usual: Any) -> _Instruction:
    cost = usual.gas_cost

    def mstore(computation: Any) -> None:
        meter, values = computation._gas_meter, computation._stack.values
        memory = computation._memory._bytes
        at = values[-1] if len(values) > 1 else -1
        if type(at) is not int or not 0 <= at <= len(memory) - _WORD or meter.gas_remaining < cost:
            usual(computation)
            return
        meter.gas_remaining -= cost
        word = values[-2]
        if type(word) is int:
            memory[at : at + _WORD] = word.to_bytes(_WORD, "big")
        else:
            memory[at : at + _WORD] = word.rjust(_WORD, b"\0")
        del values[-2:]

    return mstore


def _known(to: Any, code: Any) -> bool:
    """Whether a jump has been made there before."""
    return to in code.valid_positions and code._raw_code_bytes[to] == op.JUMPDEST


def _jump(usual: Any) -> _Instruction:
    cost = usual.gas_cost

    def jump(computation: Any) -> None:
        meter, values, code = computation._gas_meter, computation._stack.values, computation.code
        if not values or not _known(values[-1], code) or meter.gas_remaining < cost:
            usual(computation)
            return
        meter.gas_remaining -= cost
        code.program_counter = values.pop()

    return jump


def _jump_if(usual: Any) -> _Instruction:
    cost = usual.gas_cost

    def jump_if(computation: Any) -> None:
        meter, values, code = computation._gas_meter, computation._stack.values, computation.code
        if len(values) < 2 or type(values[-2]) is not int or meter.gas_remaining < cost:
            usual(computation)
            return
        if values[-2]:
            if not _known(values[-1], code):
                usual(computation)
                return
            code.program_counter = values[-1]
        meter.gas_remaining -= cost
        del values[-2:]

    return jump_if


def _jump_destination(usual: Any) -> _Instruction:
    cost = usual.gas_cost

    def jump_destination(computation: Any) -> None:
        meter = computation._gas_meter
        if meter.gas_remaining < cost:
            usual(computation)
            return
        meter.gas_remaining -= cost

    return jump_destination


def _short(usual: dict[int, Any]) -> Iterator[tuple[int, _Instruction]]:
    for size in range(33):
        yield op.PUSH0 + size, _push(size, usual[op.PUSH0 + size])
    for place in range(1, 17):
        yield op.DUP1 + place - 1, _dup(place, usual[op.DUP1 + place - 1])
        yield op.SWAP1 + place - 1, _swap(place, usual[op.SWAP1 + place - 1])
    for code, compute in _BINARY.items():
        yield code, _binary(compute, usual[code])
    for code, make in {
        op.POP: _pop,
        op.ISZERO: _is_zero,
        op.MLOAD: _mload,
        op.MSTORE: _mstore,
        op.JUMP: _jump,
        op.JUMPI: _jump_if,
        op.JUMPDEST: _jump_destination,
    }.items():
        yield code, make(usual[code])


_USUAL: Final[dict[int, Any]] = PragueComputation.opcodes
_ALL: Final[dict[int, Any]] = {**_USUAL, **dict(_short(_USUAL))}


class _Computation(PragueComputation):
    opcodes = _ALL

    def __init__(self, *message: Any) -> None:
        super().__init__(*message)
        code: Any = self.code
        code.valid_positions, code.invalid_positions = _positions(code._raw_code_bytes)


@lru_cache(maxsize=64)
def _positions(code: bytes) -> tuple[set[int], set[int]]:
    """What py-evm has found out of a code's bytes: which are instructions, and which are data."""
    return set(), set()


class _State(PragueState):
    computation_class: type[PragueComputation] = _Computation


class Vm(PragueVM):
    """The same machine, some times faster."""

    _state_class = _State
