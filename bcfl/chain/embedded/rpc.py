"""The embedded chain as JSON-RPC: what a light reader and sender needs of a node, no more.

The node holds no keys: transactions come signed. (eth-tester's own JSON-RPC would sign for
anybody who asks, and it looks a receipt up by walking the chain.)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from eth_utils.crypto import keccak

from bcfl.chain.embedded.evm import Evm, ExecutionError, Mined
from bcfl.chain.embedded.wire import read_bytes, read_quantity, to_json, transaction_to_json
from bcfl.core.errors import LedgerError
from bcfl.core.strict_json import parse_json

__all__ = ["EmbeddedRpc", "refusal"]

_GWEI: Final = 10**9
_NOBODY: Final = 20 * b"\0"
_MOST_AT_ONCE: Final = 1000
_NEWEST: Final = ("latest", "pending", "safe", "finalized")

_PARSE_ERROR, _INVALID_REQUEST, _NO_METHOD, _INVALID_PARAMS = -32700, -32600, -32601, -32602
_INTERNAL, _REFUSED, _REVERTED = -32603, -32000, 3


class _RpcError(Exception):
    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.body = {"code": code, "message": message} | ({} if data is None else {"data": data})


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
        self._indexed = 0
        self._by_hash: dict[bytes, Mined] = {}
        self._by_transaction: dict[bytes, Mined] = {}

    def answer(self, body: bytes) -> bytes:
        """The reply to one request, or to a batch of them."""
        try:
            request = parse_json(body)
        except ValueError:
            return _encoded(_reply(None, _RpcError(_PARSE_ERROR, "not JSON")))
        if isinstance(request, list):
            if not 0 < len(request) <= _MOST_AT_ONCE:
                return _encoded(
                    _reply(None, _RpcError(_INVALID_REQUEST, "empty batch, or too long"))
                )
            return _encoded([self._one(each) for each in request])
        return _encoded(self._one(request))

    def _one(self, request: Any) -> dict[str, Any]:
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return _reply(None, _RpcError(_INVALID_REQUEST, "not a JSON-RPC request"))
        number, parameters = request.get("id"), request.get("params", [])
        method = _METHODS.get(request["method"])
        if method is None:
            return _reply(number, _RpcError(_NO_METHOD, _unknown(request["method"])))
        if not isinstance(parameters, list):
            return _reply(number, _RpcError(_INVALID_PARAMS, "params is a list"))
        self._index()
        try:
            return _reply(number, method(self, *parameters))
        except _RpcError as error:
            return _reply(number, error)
        except ExecutionError as error:
            data = "0x" + error.data.hex() if error.reverted else None
            return _reply(
                number, _RpcError(_REVERTED if error.reverted else _REFUSED, str(error), data)
            )
        except LedgerError as error:
            return _reply(number, _RpcError(_REFUSED, str(error)))
        except (TypeError, ValueError, AttributeError, LookupError) as error:
            return _reply(number, _RpcError(_INVALID_PARAMS, f"invalid params: {error}"))
        except Exception as error:  # noqa: BLE001 — whatever py-evm trips over, there is a reply
            return _reply(number, _RpcError(_INTERNAL, f"{type(error).__name__}: {error}"))

    def _index(self) -> None:
        for mined in self._evm.blocks[self._indexed :]:
            self._by_hash[mined.hash] = mined
            if mined.transaction is not None:
                self._by_transaction[mined.transaction["hash"]] = mined
        self._indexed = len(self._evm.blocks)

    def _number(self, block: Any = "latest") -> int:
        newest = self._evm.head.number
        if block in _NEWEST:
            return newest
        number = 0 if block == "earliest" else read_quantity(block)
        if number > newest:
            raise _RpcError(_REFUSED, f"block {number} not found: the newest is {newest}")
        return number

    # One method each, named as in JSON-RPC.

    def _chain_id(self) -> str:
        return hex(self._evm.chain_id)

    def _block_number(self) -> str:
        return hex(self._evm.head.number)

    def _get_balance(self, address: str, block: Any = "latest") -> str:
        return hex(self._evm.state(self._number(block)).get_balance(read_bytes(address, 20)))

    def _get_code(self, address: str, block: Any = "latest") -> str:
        code: bytes = self._evm.state(self._number(block)).get_code(read_bytes(address, 20))
        return "0x" + code.hex()

    def _get_transaction_count(self, address: str, block: Any = "latest") -> str:
        return hex(self._evm.state(self._number(block)).get_nonce(read_bytes(address, 20)))

    def _get_storage_at(self, address: str, slot: str, block: Any = "latest") -> str:
        state = self._evm.state(self._number(block))
        value: int = state.get_storage(read_bytes(address, 20), read_quantity(slot))
        return "0x" + value.to_bytes(32, "big").hex()

    def _get_block_by_number(self, block: Any, full: bool = False) -> Any:
        if block not in (*_NEWEST, "earliest") and read_quantity(block) > self._evm.head.number:
            return None
        return self._block(self._evm.blocks[self._number(block)], full)

    def _get_block_by_hash(self, block_hash: str, full: bool = False) -> Any:
        mined = self._by_hash.get(read_bytes(block_hash, 32))
        return None if mined is None else self._block(mined, full)

    def _get_transaction_by_hash(self, number: str) -> Any:
        mined = self._by_transaction.get(read_bytes(number, 32))
        if mined is None or mined.transaction is None:
            return None
        return transaction_to_json(mined.transaction)

    def _get_transaction_receipt(self, number: str) -> Any:
        mined = self._by_transaction.get(read_bytes(number, 32))
        return None if mined is None else to_json(mined.receipt)

    def _get_logs(self, query: Mapping[str, Any]) -> list[Any]:
        first = self._number(query.get("fromBlock", "latest"))
        last = self._number(query.get("toBlock", "latest"))
        wanted = query.get("address")
        addresses = [read_bytes(each, 20) for each in _listed(wanted)]
        topics = [
            [read_bytes(each, 32) for each in _listed(alternatives)]
            for alternatives in query.get("topics") or ()
        ]
        return [
            to_json(log)
            for mined in self._evm.blocks[first : last + 1]
            if mined.receipt is not None
            for log in mined.receipt["logs"]
            if not addresses or log["address"] in addresses
            if _matches(log["topics"], topics)
        ]

    def _call(self, fields: Mapping[str, Any], block: Any = "latest") -> str:
        return "0x" + self._evm.call(self._number(block), *_call(fields)).hex()

    def _estimate_gas(self, fields: Mapping[str, Any], block: Any = "latest") -> str:
        return hex(self._evm.estimate(*_call(fields)))

    def _send_raw_transaction(self, raw: str) -> str:
        signed = read_bytes(raw)
        number = keccak(signed)
        if number in self._by_transaction:
            raise _RpcError(_REFUSED, "already known")
        self._submit(signed)
        return "0x" + number.hex()

    def _block(self, mined: Mined, full: bool) -> Any:
        block = to_json(mined.block)
        if full and mined.transaction is not None:
            block["transactions"] = [transaction_to_json(mined.transaction)]
        return block


_METHODS: Final[Mapping[str, Callable[..., Any]]] = {
    "eth_blockNumber": EmbeddedRpc._block_number,
    "eth_call": EmbeddedRpc._call,
    "eth_chainId": EmbeddedRpc._chain_id,
    "eth_estimateGas": EmbeddedRpc._estimate_gas,
    "eth_gasPrice": lambda rpc: hex(rpc._evm.head.block["base_fee_per_gas"] + _GWEI),
    "eth_getBalance": EmbeddedRpc._get_balance,
    "eth_getBlockByHash": EmbeddedRpc._get_block_by_hash,
    "eth_getBlockByNumber": EmbeddedRpc._get_block_by_number,
    "eth_getCode": EmbeddedRpc._get_code,
    "eth_getLogs": EmbeddedRpc._get_logs,
    "eth_getStorageAt": EmbeddedRpc._get_storage_at,
    "eth_getTransactionByHash": EmbeddedRpc._get_transaction_by_hash,
    "eth_getTransactionCount": EmbeddedRpc._get_transaction_count,
    "eth_getTransactionReceipt": EmbeddedRpc._get_transaction_receipt,
    "eth_maxPriorityFeePerGas": lambda rpc: hex(_GWEI),
    "eth_sendRawTransaction": EmbeddedRpc._send_raw_transaction,
    "eth_syncing": lambda rpc: False,
    "net_version": lambda rpc: str(rpc._evm.chain_id),
    "web3_clientVersion": lambda rpc: "bcfl-embedded",
}


def _unknown(method: str) -> str:
    if method in ("eth_sendTransaction", "eth_sign", "eth_signTransaction", "eth_accounts"):
        return f"{method}: this node holds no keys; sign, then use eth_sendRawTransaction"
    return f"the method {method:.60} does not exist here"


def _call(fields: Mapping[str, Any]) -> tuple[bytes, bytes, int, bytes]:
    sender, to = fields.get("from"), fields.get("to")
    return (
        _NOBODY if sender is None else read_bytes(sender, 20),
        b"" if to is None else read_bytes(to, 20),
        read_quantity(fields.get("value", "0x0")),
        read_bytes(fields.get("input", fields.get("data", "0x"))),
    )


def _listed(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)


def _matches(topics: Sequence[bytes], wanted: Sequence[Sequence[bytes]]) -> bool:
    if len(topics) < len(wanted):
        return False
    return all(
        not alternatives or topic in alternatives
        for topic, alternatives in zip(topics, wanted, strict=False)
    )


def _reply(number: Any, result: Any) -> dict[str, Any]:
    outcome = {"error": result.body} if isinstance(result, _RpcError) else {"result": result}
    return {"jsonrpc": "2.0", "id": number, **outcome}


def _encoded(reply: Any) -> bytes:
    return json.dumps(reply, separators=(",", ":")).encode()


def refusal(message: str) -> bytes:
    """The reply of a chain that may not answer anything any more."""
    return _encoded(_reply(None, _RpcError(_REFUSED, message)))
