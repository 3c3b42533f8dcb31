"""What becomes of a signed transaction: sent, dropped, sent again, mined, or lost.

A transaction whose fate is unknown is sent again as the very same bytes: the same nonce and
the same hash, so that it can be mined once at most. Nothing is ever signed anew with another
nonce unless the node has said, at the first attempt, that it never took the first one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from bcfl.chain.node import Node, Receipt, transaction_number
from bcfl.chain.patience import tries
from bcfl.core.errors import (
    AccountError,
    ContractReverted,
    NodeRefused,
    NodeUnreachable,
    ReplyMalformed,
    TransactionLost,
)

_ERROR_SELECTOR: Final = "0x08c379a0"  # Error(string)
_PANIC_SELECTOR: Final = "0x4e487b71"  # Panic(uint256)
#: The words of geth, anvil, Nethermind, Besu and Erigon for the same three things.
_ALREADY_KNOWN: Final = (
    "already known",
    "alreadyknown",
    "known transaction",
    "already imported",
)
_NONCE_TAKEN: Final = ("nonce too low", "nonce is too low", "oldnonce", "replacement")
_CANNOT_PAY: Final = ("insufficient funds", "insufficient balance", "upfront cost")


class NonceTakenError(Exception):
    """The node never took this transaction: another one has its nonce. Sign a new one."""


class Delivery:
    """Carries signed transactions to a node and waits for what becomes of them.

    Parameters
    ----------
    node : Node
        Where to.
    retry_s : float
        For how long a transaction that nobody acknowledges is sent again.
    mining_s : float
        For how long an acknowledged one is waited for.
    sleep, clock : callable
        Seconds to wait, and seconds since some start; exchanged in tests.
    """

    def __init__(
        self,
        node: Node,
        *,
        retry_s: float,
        mining_s: float,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._retry_s = retry_s
        self._mining_s = mining_s
        self._sleep = sleep
        self._clock = clock

    def submit(self, raw: bytes, call: str) -> None:
        """Send until the node acknowledges.

        Raises
        ------
        NonceTakenError
            Its first answer was that the nonce belongs to another transaction.
        ContractReverted, AccountError, NodeRefused
            It refused for good.
        NodeUnreachable, TransactionLost
            It did not say within ``retry_s``; the transaction may or may not be mined.
        """
        number = transaction_number(raw)
        uncertain = False
        failure: Exception | None = None
        for _ in tries(self._retry_s, self._sleep, self._clock):
            try:
                if self._send(raw, call) or self._node.knows(number):
                    return
                if not uncertain:
                    raise NonceTakenError
                failure = None
            except (NodeUnreachable, ReplyMalformed) as error:
                uncertain, failure = True, error
        if isinstance(failure, NodeUnreachable):
            raise NodeUnreachable(
                f"{failure} Transaction {number} ({call}) may or may not be mined."
            ) from failure
        raise _lost(
            number, call, "the node did not say that it took it", self._retry_s
        ) from failure

    def settle(
        self,
        raw: bytes,
        call: str,
        depth: int = 0,
        dearer: Callable[[float], bytes | None] = lambda waited_s: None,
    ) -> Receipt:
        """Wait for the receipt, and until ``depth`` blocks stand on its block.

        What the node has dropped, with its block or without, is sent again, unchanged.

        Parameters
        ----------
        raw : bytes
            The signed transaction.
        call : str
            What to name it in errors.
        depth : int
        dearer : callable
            Given the seconds that it has been pending: the same with a higher fee, to take its
            place; None while it is dear enough.

        Raises
        ------
        TransactionLost
            That did not happen within ``mining_s``, or another one with its nonce was mined.
        NodeUnreachable
            The node went away and stayed away.
        """
        number = transaction_number(raw)
        sent = {number: raw}
        used_up_at: float | None = None
        for waited in tries(self._mining_s, self._sleep, self._clock):
            for number in sent:
                receipt = self._node.find_receipt(number)
                if receipt is not None and self._node.confirmed(receipt, depth):
                    return receipt
                if receipt is not None:
                    break
            else:
                known, again = any(map(self._node.knows, sent)), None
                if known and (again := dearer(waited)) is None:
                    continue
                taken = self._offer(sent[number] if again is None else again, call)
                if again is not None:
                    if taken is not False:
                        sent[transaction_number(again)] = again
                elif taken is not None:
                    used_up_at = None if taken else waited if used_up_at is None else used_up_at
            # nodes behind one URL learn of a block at different times
            if used_up_at is not None and waited - used_up_at >= self._retry_s:
                raise _lost(number, call, "its nonce was used by another one", self._mining_s)
        below = f" beneath {depth} others (chain.confirmations)" if depth else ""
        raise _lost(number, call, f"it was not mined{below}", self._mining_s)

    def _offer(self, raw: bytes, call: str) -> bool | None:
        """As ``_send``; None where nobody knows, for whoever will see."""
        try:
            return self._send(raw, call)
        except (NodeUnreachable, ReplyMalformed):
            return None

    def _send(self, raw: bytes, call: str) -> bool:
        """One attempt: True if the node has it, False if it says that the nonce is gone."""
        try:
            self._node.send(raw)
        except NodeRefused as refusal:
            words = refusal.message.lower()
            if any(known in words for known in _ALREADY_KNOWN):
                return True
            if any(taken in words for taken in _NONCE_TAKEN):
                return False
            if (reason := revert_reason(refusal)) is not None:
                raise ContractReverted(reason, call) from refusal
            if cannot_pay(refusal):
                raise AccountError(
                    f"the account cannot pay for {call}: {refusal.message}"
                ) from refusal
            raise
        return True


def cannot_pay(refusal: NodeRefused) -> bool:
    """Whether the node refused because the sender has too little ether."""
    return any(poor in refusal.message.lower() for poor in _CANNOT_PAY)


def revert_reason(refusal: NodeRefused) -> str | None:
    """The contract's own word for why it reverted; None if it was not the contract.

    Empty where it gave none, as Vyper's range checks do.
    """
    data, words = refusal.data.lower(), refusal.message
    if data.startswith(_ERROR_SELECTOR):
        try:
            (reason,) = decode(["string"], bytes.fromhex(data[len(_ERROR_SELECTOR) :]))
        except (DecodingError, ValueError, OverflowError) as error:
            raise ReplyMalformed(f"{refusal.method}: a revert reason that is no string") from error
        return str(reason)
    if data.startswith(_PANIC_SELECTOR):
        return f"panic 0x{data[-2:]}"
    if refusal.code != 3 and "revert" not in words.lower():
        return None
    if len(data) > 2:
        return f"error {data[:10]}"
    _, found, reason = words.partition("reverted: ")
    return reason.strip() if found else ""


def _lost(number: str, call: str, what: str, seconds: float) -> TransactionLost:
    return TransactionLost(
        f"transaction {number} ({call}) was sent, and {what} within {seconds:g} s; "
        "it may still be mined, so look it up before doing the same again"
    )
