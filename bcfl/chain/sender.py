"""From a call to a mined transaction: gas, fees, nonce, signature, delivery."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from bcfl.chain.delivery import Delivery, NonceTakenError, cannot_pay, revert_reason
from bcfl.chain.node import Node, Receipt, transaction_number
from bcfl.core.errors import (
    AccountError,
    ContractReverted,
    LedgerError,
    NodeRefused,
    TransactionLost,
)
from bcfl.keys.signer import Wallet

#: EIP-7825: since Osaka no transaction may ask for more gas.
_GAS_CAP: Final = 2**24
_GWEI: Final = 10**9


@dataclass(slots=True)
class _Queue:
    """The nonces of one account that this process has given out, and are not mined yet."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    flying: set[int] = field(default_factory=set)


_queues: dict[tuple[int, str], _Queue] = {}
_registry_lock = threading.Lock()


class Sender:
    """Sends what one account signs to one node. Safe to share between threads.

    Parameters
    ----------
    node, delivery, wallet
    chain_id : int
    depth : int
        How many blocks must stand on a transaction's before it counts.
    max_fee : int
        The most wei per gas that is offered.
    stuck_s : float
        After how long a pending transaction gets a higher fee whatever the base fee is.
    mend : callable
        Sends again what a reorganisation took back, without which a later nonce waits for ever.
    """

    def __init__(
        self,
        node: Node,
        delivery: Delivery,
        wallet: Wallet,
        chain_id: int,
        *,
        depth: int,
        max_fee: int,
        stuck_s: float,
        mend: Callable[[], None],
    ) -> None:
        self._node = node
        self._delivery = delivery
        self._wallet = wallet
        self._depth = depth
        self._chain_id = chain_id
        self._max_fee = max_fee
        self._stuck_s = stuck_s
        self._mend = mend
        with _registry_lock:
            self._queue = _queues.setdefault((chain_id, wallet.address), _Queue())

    def send(
        self, to: str | None, data: bytes, value: int, call: str, spare_gas: int = 0
    ) -> tuple[bytes, Receipt]:
        """Sign, send and await one transaction; its bytes, and its receipt.

        Parameters
        ----------
        to : str or None
            The contract or account; None deploys ``data``.
        data : bytes
            The encoded call, or the code to deploy with its arguments.
        value : int
            Wei.
        call : str
            What to name it in errors.
        spare_gas : int
            Beside a quarter of what the node estimates: what the block may ask for besides.

        Raises
        ------
        ContractReverted, AccountError, TransactionLost, NodeUnreachable, NodeRefused
        """
        fields = self._priced(to, data, value, call, spare_gas)
        with self._submitted(fields, call) as raw:
            sent, stuck_since = {transaction_number(raw): raw}, 0.0

            def dearer(waited_s: float) -> bytes | None:
                nonlocal stuck_since
                self._mend()
                cheap = self._node.newest().base_fee > fields["maxFeePerGas"]
                if not cheap and waited_s - stuck_since < self._stuck_s:
                    return None
                stuck_since = waited_s
                if not self._raise_fee(fields):
                    return None
                again = self._wallet.sign_transaction(fields)
                sent[transaction_number(again)] = again
                return again

            receipt = self._delivery.settle(raw, call, self._depth, dearer)
        if not receipt.succeeded:
            raise ContractReverted(self._why(to, data, value, receipt, fields["gas"]), call)
        return sent[receipt.number], receipt

    @contextmanager
    def _submitted(self, fields: dict[str, Any], call: str) -> Iterator[bytes]:
        """Give out the next nonce, sign, and see the node take it, one account at a time."""
        nonce = None
        try:
            with self._queue.lock:
                raw = self._submit(fields, call)
                nonce = fields["nonce"]
                self._queue.flying.add(nonce)
            yield raw
        finally:
            with self._queue.lock:
                self._queue.flying.discard(nonce)

    def _submit(self, fields: dict[str, Any], call: str) -> bytes:
        address = self._wallet.address
        for waited in self._node.rpc.tries(self._node.rpc.retry_s + self._stuck_s):
            mined, pending = self._node.nonces(address)
            ours = [nonce for nonce in self._queue.flying if nonce >= mined]
            replaces = not ours and pending > mined
            if replaces and waited < self._stuck_s:
                continue  # of a process before this one, or of another: let it be mined
            fields["nonce"] = max(ours) + 1 if ours else mined
            raw = self._wallet.sign_transaction(fields)
            try:
                self._delivery.submit(raw, call)
            except NonceTakenError:
                if replaces:
                    self._raise_fee(fields)
                continue
            except AccountError:
                need = fields["gas"] * fields["maxFeePerGas"] + fields["value"]
                if self._node.balance(address) < need:
                    raise
                continue  # of a node that has not heard of the ether yet
            return raw
        raise TransactionLost(
            f"{call} was never sent: another process took the nonces of {address}, or they are "
            "taken by transactions whose fee is too low; give each process an account of its own, "
            f"or allow more than {self._max_fee / _GWEI:g} gwei (chain.max_fee_gwei)"
        )

    def _raise_fee(self, fields: dict[str, Any]) -> bool:
        """An eighth more, which nodes ask of a replacement, or what the base fee needs."""
        before = fields["maxFeePerGas"], fields["maxPriorityFeePerGas"]
        fee, tip = (each * 9 // 8 + 1 for each in before)
        fee = max(fee, 2 * self._node.newest().base_fee + tip)
        if fee > self._max_fee:
            fee = max(self._max_fee, before[0])
        if fee * 8 < before[0] * 9:
            return False  # no node takes it, or nobody allowed it
        fields["maxFeePerGas"], fields["maxPriorityFeePerGas"] = fee, min(tip, fee)
        return True

    def _priced(
        self, to: str | None, data: bytes, value: int, call: str, spare_gas: int
    ) -> dict[str, Any]:
        try:
            quote = self._node.quote(self._fields(to, data, value), self._wallet.address)
        except NodeRefused as refusal:
            if (reason := revert_reason(refusal)) is not None:
                raise ContractReverted(reason, call) from refusal
            if cannot_pay(refusal):
                raise self._too_poor(call, value) from refusal
            raise
        needed, head, tip = quote.gas, quote.head, quote.tip
        # the state may change between the estimate and the block; a quarter more is kept free
        gas = max(needed, min(needed * 5 // 4 + 10_000 + spare_gas, head.gas_limit, _GAS_CAP))
        # the base fee grows by an eighth a block at most: this lasts for five full blocks
        fee = min(2 * head.base_fee + tip, self._max_fee)
        if quote.balance < (need := gas * fee + value):
            raise self._too_poor(call, need)
        return {
            "type": 2,
            "chainId": self._chain_id,
            "to": to if to is not None else b"",
            "data": data,
            "value": value,
            "gas": gas,
            "maxFeePerGas": fee,
            "maxPriorityFeePerGas": min(tip, fee),
        }

    def _fields(self, to: str | None, data: bytes, value: int) -> dict[str, Any]:
        fields = {
            "from": self._wallet.address,
            "data": "0x" + data.hex(),
            "value": hex(value),
        }
        return fields if to is None else fields | {"to": to}

    def _too_poor(self, call: str, need: int) -> AccountError:
        address = self._wallet.address
        return AccountError(
            f"the account {address} cannot pay for {call}: it has "
            f"{self._node.balance(address)} wei and needs up to {need}; send it ether first"
        )

    def _why(self, to: str | None, data: bytes, value: int, receipt: Receipt, gas: int) -> str:
        """The reason of a transaction that reverted when it was mined: a receipt has none."""
        if receipt.gas >= gas:
            return "out of gas"
        try:
            self._node.call(self._fields(to, data, value), receipt.block - 1)
        except NodeRefused as refusal:
            return revert_reason(refusal) or ""
        except LedgerError:
            return ""  # that it reverted is known; why is not worth another error
        return ""
