"""From a call to a mined transaction: gas, fees, nonce, signature, delivery."""

from __future__ import annotations

import threading
from typing import Any, Final

from bcfl.chain.delivery import Delivery, NonceTakenError, cannot_pay, revert_reason
from bcfl.chain.node import Node, Receipt
from bcfl.core.errors import (
    AccountError,
    ContractReverted,
    LedgerError,
    NodeRefused,
    TransactionLost,
)
from bcfl.keys.signer import Wallet

__all__ = ["Sender"]

#: EIP-7825: since Osaka no transaction may ask for more gas.
_GAS_CAP: Final = 2**24
_NONCE_TRIES: Final = 10

_nonce_locks: dict[tuple[int, str], threading.Lock] = {}
_registry_lock = threading.Lock()


class Sender:
    """Sends what one account signs to one node. Safe to share between threads."""

    def __init__(
        self, node: Node, delivery: Delivery, wallet: Wallet, chain_id: int, depth: int
    ) -> None:
        self._node = node
        self._delivery = delivery
        self._wallet = wallet
        self._chain_id = chain_id
        self._depth = depth

    def send(self, to: str | None, data: bytes, value: int, call: str) -> Receipt:
        """Sign, send and await one transaction.

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

        Raises
        ------
        ContractReverted, AccountError, TransactionLost, NodeUnreachable, NodeRefused
        """
        fields = self._priced(to, data, value, call)
        raw = self._submit(fields, call)
        receipt = self._delivery.settle(raw, call, self._depth)
        if not receipt.succeeded:
            raise ContractReverted(self._why(to, data, value, receipt, fields["gas"]), call)
        return receipt

    def _submit(self, fields: dict[str, Any], call: str) -> bytes:
        """Give out the next nonce, sign, and see the node take it, one account at a time."""
        address = self._wallet.address
        with _registry_lock:
            lock = _nonce_locks.setdefault((self._chain_id, address), threading.Lock())
        with lock:
            for _ in range(_NONCE_TRIES):
                nonce = self._node.next_nonce(address)
                raw = self._wallet.sign_transaction({**fields, "nonce": nonce})
                try:
                    self._delivery.submit(raw, call)
                except NonceTakenError:  # by another process that uses the same account
                    continue
                return raw
        raise TransactionLost(
            f"{call} was never sent: {_NONCE_TRIES} times another process took the nonce; "
            f"give each process an account of its own instead of {address}"
        )

    def _priced(self, to: str | None, data: bytes, value: int, call: str) -> dict[str, Any]:
        try:
            needed = self._node.estimate(self._fields(to, data, value))
        except NodeRefused as refusal:
            if (reason := revert_reason(refusal)) is not None:
                raise ContractReverted(reason, call) from refusal
            if cannot_pay(refusal):
                raise self._too_poor(call, value) from refusal
            raise
        head, tip = self._node.head(), self._node.tip()
        # the state may change between the estimate and the block; a quarter more is kept free
        gas = max(needed, min(needed * 5 // 4 + 10_000, head.gas_limit, _GAS_CAP))
        # the base fee grows by an eighth a block at most: this lasts for five full blocks
        fee = 2 * head.base_fee + tip
        if self._node.balance(self._wallet.address) < (need := gas * fee + value):
            raise self._too_poor(call, need)
        return {
            "type": 2,
            "chainId": self._chain_id,
            "to": to if to is not None else b"",
            "data": data,
            "value": value,
            "gas": gas,
            "maxFeePerGas": fee,
            "maxPriorityFeePerGas": tip,
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
