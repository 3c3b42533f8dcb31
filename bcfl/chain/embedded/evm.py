"""An Ethereum chain inside this process: eth-tester's py-evm, made deterministic.

Every transaction is mined at once, in a block of its own. A block's time is its parent's plus
one second unless told otherwise, and its randomness follows from its parent's hash: the same
transactions in the same order give the same chain, hash by hash. FOR SIMULATIONS ONLY: there
is no consensus, and whoever asks may foresee PREVRANDAO.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any, Final

from eth.exceptions import Revert
from eth.vm.spoof import SpoofTransaction
from eth_tester import PyEVMBackend
from eth_tester.backends.pyevm.serializers import (
    serialize_block,
    serialize_transaction,
    serialize_transaction_receipt,
)
from eth_utils.exceptions import ValidationError
from rlp.exceptions import RLPException  # type: ignore[import-untyped]

from bcfl.chain.embedded.block import Genesis, Mined, RpcError

#: Legacy, with access list, and EIP-1559. Blobs and delegations have no use here.
_TYPES: Final = (0, 1, 2)


class Evm:
    """A chain of blocks and its state. Not safe to share between threads."""

    def __init__(self, genesis: Genesis) -> None:
        backend = PyEVMBackend(
            genesis_parameters=PyEVMBackend.generate_genesis_params(
                {"timestamp": genesis.timestamp, "gas_limit": genesis.gas_limit}
            ),
            genesis_state={
                bytes.fromhex(address[2:]): {
                    "balance": wei,
                    "nonce": 0,
                    "code": b"",
                    "storage": {},
                }
                for address, wei in genesis.balances.items()
            },
        )
        self._chain = backend.chain
        self.chain_id = int(self._chain.chain_id)
        block = self._chain.get_canonical_block_by_number(0)
        self.blocks: list[Mined] = [_mined(block, None, None, None)]
        self.call = lru_cache(maxsize=4096)(self._call)
        # what one call has read from a block's tries, the next need not
        self._views = lru_cache(maxsize=4)(lambda number: self._freely(self._header(number)))
        self._prepare(self.head.timestamp + 1)

    @property
    def head(self) -> Mined:
        """The newest block."""
        return self.blocks[-1]

    def mine(self, raw: bytes | None, timestamp: int | None = None) -> Mined:
        """Mine the next block: of this signed transaction, or empty.

        Parameters
        ----------
        raw : bytes or None
            As a wallet signed it.
        timestamp : int, optional
            The block's; by default a second after its parent's.

        Raises
        ------
        RpcError
            The bytes are no transaction, or none that may be mined now.
        """
        if timestamp is not None and timestamp <= self.head.timestamp:
            raise RpcError(f"time {timestamp} has passed: it is {self.head.timestamp}")
        self._prepare(self.head.timestamp + 1 if timestamp is None else timestamp)
        prepared = self._chain.header
        try:
            transaction = None if raw is None else self._apply(raw)
            block = self._chain.mine_block()
        except BaseException:
            self._chain.header = prepared
            raise
        receipts = block.get_receipts(self._chain.chaindb)
        mined = _mined(block, transaction, receipts, self._chain.get_vm())
        self.blocks.append(mined)
        self._prepare(mined.timestamp + 1)
        return mined

    def decode(self, raw: bytes) -> Any:
        """The transaction that these bytes are, with a valid signature for this chain."""
        try:
            transaction = self._chain.get_transaction_builder().decode(raw)
            kind = getattr(transaction, "type_id", None) or 0
            transaction.validate()
            transaction.check_signature_validity()
        except (ValidationError, RLPException, ValueError, TypeError, IndexError) as error:
            raise RpcError(f"not a signed transaction: {error}") from error
        except Exception as error:  # py-evm has an exception of its own for an unknown type
            raise RpcError(f"not a transaction: {type(error).__name__}") from error
        if kind not in _TYPES:
            raise RpcError(f"transaction types {_TYPES} are taken; found {kind}")
        if transaction.chain_id != self.chain_id:
            raise RpcError(
                f"invalid chain id: expected {self.chain_id}, found {transaction.chain_id}"
            )
        return transaction

    def state(self, number: int) -> Any:
        """py-evm's state after block ``number``."""
        return self._chain.get_vm(self._header(number)).state

    def _call(self, number: int, sender: bytes, to: bytes, value: int, data: bytes) -> bytes:
        """What a call returns in the state, and at the time, of block ``number``.

        Every member asks the same of the same block, which never changes: it is answered once.
        """
        most = self._chain.header.gas_limit
        vm = self._views(number)
        before = vm.state.snapshot()
        try:
            return bytes(self._execute(vm, sender, to, value, data, most).output)
        finally:
            vm.state.revert(before)

    def _freely(self, header: Any) -> Any:
        """A machine in a block like this one, where gas costs nothing."""
        return self._chain.get_vm(header.copy(base_fee_per_gas=0, gas_used=0))

    def estimate(self, sender: bytes, to: bytes, value: int, data: bytes) -> int:
        """Gas enough for a transaction in the next block.

        Executed once with all the gas there is. What it took and a 63rd more is enough where
        what it calls calls nothing, for a call may hand on all but a 64th of what is left; else
        it is tried.
        """
        header, most = self._chain.header, self._chain.header.gas_limit
        computation = self._execute(self._freely(header), sender, to, value, data, most)
        limit = (most - computation.get_gas_remaining()) * 64 // 63 + 1
        if not any(called.children for called in computation.children):
            return int(limit)
        while limit < most:
            try:
                self._execute(self._freely(header), sender, to, value, data, limit)
            except RpcError:
                limit *= 2
            else:
                return int(limit)
        return int(most)

    def _execute(self, vm: Any, sender: bytes, to: bytes, value: int, data: bytes, gas: int) -> Any:
        transaction = SpoofTransaction(
            self._chain.get_transaction_builder().new_unsigned_dynamic_fee_transaction(
                chain_id=self.chain_id,
                nonce=vm.state.get_nonce(sender),
                max_priority_fee_per_gas=0,
                max_fee_per_gas=0,
                gas=gas,
                to=to,
                value=value,
                data=data,
                access_list=(),
            ),
            from_=sender,
        )
        try:
            computation = vm.state.apply_transaction(transaction)
        except ValidationError as error:
            words = str(error)
            poor = "insufficient funds: " if "balance" in words.lower() else ""
            raise RpcError(poor + words) from error
        if computation.is_error:
            raise _failure(computation.error)
        return computation

    def _apply(self, raw: bytes) -> Any:
        transaction = self.decode(raw)
        state = self._chain.get_vm().state
        expected = state.get_nonce(transaction.sender)
        if transaction.nonce != expected:
            low = "low" if transaction.nonce < expected else "high"
            raise RpcError(f"nonce too {low}: next {expected}, tx {transaction.nonce}")
        price = getattr(transaction, "max_fee_per_gas", None) or transaction.gas_price
        balance = state.get_balance(transaction.sender)
        if balance < (need := transaction.gas * price + transaction.value):
            raise RpcError(
                f"insufficient funds for gas * price + value: have {balance}, want {need}"
            )
        try:
            self._chain.apply_transaction(transaction)
        except ValidationError as error:
            raise RpcError(str(error)) from error
        return transaction

    def _header(self, number: int) -> Any:
        return self._chain.get_canonical_block_header_by_number(number)

    def _prepare(self, timestamp: int) -> None:
        """Set the next block's time and randomness before anything is executed in it."""
        self._chain.header = self._chain.header.copy(
            timestamp=timestamp, mix_hash=hashlib.sha256(self.head.hash).digest()
        )


def _mined(block: Any, transaction: Any, receipts: Any, vm: Any) -> Mined:
    sealed = serialize_block(block, False, False)
    sealed["miner"] = sealed.pop("coinbase")  # two names that JSON-RPC has kept
    if transaction is None:
        sent, receipt = None, None
    else:
        sent = serialize_transaction(block, transaction, 0, False)
        sent["input"] = sent.pop("data")
        receipt = serialize_transaction_receipt(block, receipts, transaction, 0, False, vm)
        receipt["logs_bloom"] = receipts[0].bloom.to_bytes(256, "big")
        del receipt["state_root"]  # py-evm's word for the status
        for log in receipt["logs"]:
            log["block_timestamp"] = block.header.timestamp
    return Mined(
        block.number,
        block.header.timestamp,
        bytes(block.hash),
        sealed,
        sent,
        receipt,
    )


def _failure(error: Any) -> RpcError:
    if not isinstance(error, Revert):
        return RpcError(f"{type(error).__name__}: {error}")
    data = error.args[0] if error.args and isinstance(error.args[0], bytes) else b""
    return RpcError("execution reverted", 3, "0x" + data.hex())
