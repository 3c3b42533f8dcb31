"""The embedded chain as JSON-RPC: what a light reader and sender needs of a node, no more.

The node holds no keys: transactions come signed. (eth-tester's own JSON-RPC would sign for
anybody who asks, and it looks a receipt up by walking the chain.)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from eth_utils.crypto import keccak
from pydantic import AliasChoices, ConfigDict, Field, ValidationError, validate_call
from pydantic.alias_generators import to_camel

from bcfl.chain.embedded.block import Mined, RpcError
from bcfl.chain.wire import Bytes20, Bytes32, Data, Quantity, Wei, to_json
from bcfl.core.errors import LedgerError
from bcfl.core.strict_json import parse_json

if TYPE_CHECKING:
    from bcfl.chain.embedded.evm import Evm

_GWEI: Final = 10**9
_MOST_AT_ONCE: Final = 1000
_PARSE_ERROR, _INVALID_REQUEST, _NO_METHOD, _INVALID_PARAMS = -32700, -32600, -32601, -32602
_INTERNAL, _REFUSED = -32603, -32000
_KEYS_NEEDED: Final = ("eth_sendTransaction", "eth_sign", "eth_signTransaction", "eth_accounts")

_Block: TypeAlias = Quantity | Literal["latest", "pending", "safe", "finalized", "earliest"]


@dataclass(frozen=True)
class _Call:
    """What ``eth_call`` executes; fees and gas do not matter to it."""

    sender: Annotated[Bytes20, Field(validation_alias="from")] = 20 * b"\0"
    to: Bytes20 | None = None
    value: Wei = 0
    data: Annotated[Data, Field(validation_alias=AliasChoices("input", "data"))] = b""

    def parts(self) -> tuple[bytes, bytes, int, bytes]:
        return self.sender, self.to or b"", self.value, self.data


@dataclass(frozen=True)
class _Query:
    """Which logs; a topic may be one, one of several, or any."""

    __pydantic_config__ = ConfigDict(alias_generator=to_camel)
    from_block: _Block = "latest"
    to_block: _Block = "latest"
    address: Bytes20 | list[Bytes20] | None = None
    topics: Sequence[Bytes32 | list[Bytes32] | None] = ()

    def wants(self, log: Mapping[str, Any]) -> bool:
        topics: Sequence[bytes] = log["topics"]
        wanted = [self.address, *self.topics]
        return len(topics) >= len(self.topics) and all(
            not one or value == one or value in one
            for value, one in zip((log["address"], *topics), wanted, strict=False)
        )


@dataclass(frozen=True)
class _Told:
    """A block as JSON-RPC tells it, again and again: written once."""

    block: dict[str, Any]
    transaction: dict[str, Any] | None
    receipt: dict[str, Any] | None
    logs: Sequence[tuple[Mapping[str, Any], dict[str, Any]]]  #: as py-evm has it, and as told

    @classmethod
    def of(cls, mined: Mined) -> _Told:
        receipt = to_json(mined.receipt)
        logs = zip(mined.receipt["logs"], receipt["logs"], strict=True) if mined.receipt else ()
        return cls(to_json(mined.block), to_json(mined.transaction), receipt, tuple(logs))


class EmbeddedRpc:
    """Answers JSON-RPC requests, one at a time: the caller holds the lock.

    Parameters
    ----------
    evm : Evm
        The chain.
    submit : callable
        Mines signed bytes, durably; raises LedgerError if it must not or cannot.
    """

    def __init__(self, evm: Evm, submit: Callable[[bytes], Mined]) -> None:
        self._evm = evm
        self._submit = submit
        self._told: list[_Told] = []
        self._by_transaction: dict[bytes, _Told] = {}

    def answer(self, body: bytes) -> bytes:
        """The reply to one request, or to a batch of them."""
        try:
            request = parse_json(body)
        except ValueError:
            return refusal("not JSON", _PARSE_ERROR)
        if not isinstance(request, list):
            return _encoded(self._one(request))
        if not 0 < len(request) <= _MOST_AT_ONCE:
            return refusal("empty batch, or too long", _INVALID_REQUEST)
        return _encoded([self._one(each) for each in request])

    def _one(self, request: Any) -> dict[str, Any]:
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return _failed(None, _INVALID_REQUEST, "not a JSON-RPC request")
        number, name, parameters = request.get("id"), request["method"], request.get("params", [])
        if name in _KEYS_NEEDED:
            words = f"{name}: this node holds no keys; sign, then use eth_sendRawTransaction"
            return _failed(number, _NO_METHOD, words)
        if (method := _METHODS.get(name)) is None:
            return _failed(number, _NO_METHOD, f"the method {name:.60} does not exist here")
        if not isinstance(parameters, list):
            return _failed(number, _INVALID_PARAMS, "params is a list")
        self._index()
        try:
            return {"jsonrpc": "2.0", "id": number, "result": method(self, *parameters)}
        except RpcError as error:
            return _failed(number, error.code, str(error), error.data)
        except LedgerError as error:
            return _failed(number, _REFUSED, str(error))
        except ValidationError as error:
            return _failed(number, _INVALID_PARAMS, f"invalid params: {error}")
        except Exception as error:  # noqa: BLE001 — whatever py-evm trips over, there is a reply
            return _failed(number, _INTERNAL, f"{type(error).__name__}: {error}")

    def _index(self) -> None:
        for mined in self._evm.blocks[len(self._told) :]:
            self._told.append(told := _Told.of(mined))
            if mined.transaction is not None:
                self._by_transaction[mined.transaction["hash"]] = told

    def _number(self, block: int | str) -> int:
        newest = self._evm.head.number
        if isinstance(block, str):
            return 0 if block == "earliest" else newest
        if block > newest:
            raise RpcError(f"block {block} not found: the newest is {newest}")
        return block

    def _state(self, block: int | str) -> Any:
        return self._evm.state(self._number(block))

    # One method each, named as in JSON-RPC.

    def eth_chainId(self) -> str:
        return hex(self._evm.chain_id)

    def eth_blockNumber(self) -> str:
        return hex(self._evm.head.number)

    def eth_getBalance(self, address: Bytes20, block: _Block = "latest") -> str:
        return hex(self._state(block).get_balance(address))

    def eth_getCode(self, address: Bytes20, block: _Block = "latest") -> str:
        return "0x" + bytes(self._state(block).get_code(address)).hex()

    def eth_getTransactionCount(self, address: Bytes20, block: _Block = "latest") -> str:
        return hex(self._state(block).get_nonce(address))

    def eth_getBlockByNumber(self, block: _Block, full: bool = False) -> Any:
        if isinstance(block, int) and block > self._evm.head.number:
            return None
        told = self._told[self._number(block)]
        whole = {"transactions": [told.transaction]} if full and told.transaction else {}
        return {**told.block, **whole}

    def eth_getTransactionByHash(self, number: Bytes32) -> Any:
        told = self._by_transaction.get(number)
        return None if told is None else told.transaction

    def eth_getTransactionReceipt(self, number: Bytes32) -> Any:
        told = self._by_transaction.get(number)
        return None if told is None else told.receipt

    def eth_getLogs(self, query: _Query) -> list[Any]:
        first, last = self._number(query.from_block), self._number(query.to_block)
        return [
            told
            for block in self._told[first : last + 1]
            for log, told in block.logs
            if query.wants(log)
        ]

    def eth_call(self, fields: _Call, block: _Block = "latest") -> str:
        return "0x" + self._evm.call(self._number(block), *fields.parts()).hex()

    def eth_estimateGas(self, fields: _Call, block: _Block = "latest") -> str:
        return hex(self._evm.estimate(*fields.parts()))

    def eth_gasPrice(self) -> str:
        return hex(self._evm.head.block["base_fee_per_gas"] + _GWEI)

    def eth_maxPriorityFeePerGas(self) -> str:
        return hex(_GWEI)

    def eth_sendRawTransaction(self, signed: Data) -> str:
        number = keccak(signed)
        if number in self._by_transaction:
            raise RpcError("already known")
        self._submit(signed)
        return "0x" + number.hex()

    def net_version(self) -> str:
        return str(self._evm.chain_id)

    def web3_clientVersion(self) -> str:
        return "bcfl-embedded"


_METHODS: Final = {
    name: validate_call(method)
    for name, method in vars(EmbeddedRpc).items()
    if name.startswith(("eth_", "net_", "web3_"))
}


def _failed(number: Any, code: int, words: str, data: str | None = None) -> dict[str, Any]:
    error = {"code": code, "message": words} | ({} if data is None else {"data": data})
    return {"jsonrpc": "2.0", "id": number, "error": error}


def _encoded(reply: Any) -> bytes:
    return json.dumps(reply, separators=(",", ":")).encode()


def refusal(message: str, code: int = _REFUSED) -> bytes:
    """The reply of a chain that may not answer, or to what is no request."""
    return _encoded(_failed(None, code, message))
