"""Ethereum through a node's JSON-RPC: calls, signed transactions, events.

web3 knows contracts and their ABI. The way to the node and back is ``provider``'s, its plain
answers are ``node``'s, and what becomes of a transaction is ``delivery``'s. Whatever a node
answers, callers see ``LedgerError`` only.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Self

from hexbytes import HexBytes
from web3 import Web3

from bcfl.chain.contract import Contract, Log, believing
from bcfl.chain.delivery import Delivery, revert_reason
from bcfl.chain.event import Transaction
from bcfl.chain.json_rpc import JsonRpc
from bcfl.chain.node import Node, RawLog, Receipt
from bcfl.chain.provider import NodeProvider, UserProvider
from bcfl.chain.sender import Sender
from bcfl.contracts import Artifact
from bcfl.core.errors import (
    AccountError,
    ArtifactError,
    ContractReverted,
    NodeRefused,
    ReplyMalformed,
    TransactionUnknown,
)
from bcfl.keys.accounts import DEVELOPMENT_CHAINS, checksummed
from bcfl.keys.signer import Wallet

__all__ = ["Connection", "Contract", "Log"]

_WORD_BYTES: Final = 32
#: A block without a successor is replaced now and then; one with two hardly ever.
_CONFIRMATIONS: Final = 2
_HASH: Final = re.compile(r"0x[0-9a-fA-F]{64}")


class Connection:
    """A node, and optionally the account whose transactions are sent to it.

    Safe to share between threads. Contacts nobody before it is first used.

    Parameters
    ----------
    url : str or web3.Web3
        The node's JSON-RPC over HTTP, or a ``Web3`` of the user's own, whose provider bounds and
        repeats requests instead of ``timeout_s`` and ``max_reply_bytes``.
    signer : Wallet, optional
        Signs transactions, here and not in the node. Left out: read only.
    timeout_s, retry_s, max_reply_bytes, sleep, clock
        As in ``JsonRpc``.
    mining_s : float
        How long a sent transaction may take to be mined, and confirmed.
    confirmations : int, optional
        How many blocks must stand on a block before its transactions and events count. Left
        out: 0 on development chains, 2 on others.
    """

    def __init__(
        self,
        url: str | Web3,
        signer: Wallet | None = None,
        *,
        timeout_s: float = 10.0,
        retry_s: float = 30.0,
        mining_s: float = 180.0,
        confirmations: int | None = None,
        max_reply_bytes: int = 32 * 1024 * 1024,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        #: where the node is, in words for messages
        self.url = url if isinstance(url, str) else f"the {type(url.provider).__name__} given"
        self.signer = signer
        self._confirmations = confirmations
        self._rpc: NodeProvider
        if isinstance(url, str):
            self._rpc = JsonRpc(
                url,
                timeout_s=timeout_s,
                retry_s=retry_s,
                max_reply_bytes=max_reply_bytes,
                sleep=sleep,
                clock=clock,
            )
        else:
            self._rpc = UserProvider(url)
        self._node = Node(self._rpc)
        self._delivery = Delivery(
            self._node, retry_s=retry_s, mining_s=mining_s, sleep=sleep, clock=clock
        )
        # no middleware: what it would look after (fees, gas, names) is not web3's here
        self._web3 = Web3(self._rpc, middleware=[])

    @property
    def address(self) -> str:
        """Who sends from here; AccountError on a connection that only reads."""
        if self.signer is None:
            raise AccountError("this connection only reads: give it a signer to send from")
        return self.signer.address

    @cached_property
    def chain_id(self) -> int:
        """EIP-155 chain id."""
        return self._node.chain_id()

    @cached_property
    def confirmations(self) -> int:
        """How many blocks must stand on another before it counts."""
        if self._confirmations is not None:
            return self._confirmations
        return 0 if self.chain_id in DEVELOPMENT_CHAINS else _CONFIRMATIONS

    def now(self) -> int:
        """The newest block's timestamp, seconds."""
        return self._node.head().timestamp

    def block_number(self) -> int:
        """The newest block's number."""
        return self._node.head().number

    def balance(self, address: str) -> int:
        """Wei."""
        return self._node.balance(checksummed(address))

    def code(self, address: str) -> bytes:
        """The code at an address; empty where there is no contract."""
        return self._node.code(checksummed(address))

    def request(self, method: str, *parameters: Any) -> Any:
        """A JSON-RPC method of a test node's own, such as ``evm_mine``."""
        return self._rpc.request(method, parameters)

    def contract(self, address: str, abi: Sequence[Mapping[str, Any]]) -> Contract:
        """Bind a contract's interface to its address; asks the node nothing."""
        return Contract.bind(self._web3, address, abi)

    def attach(self, address: str, artifact: Artifact) -> Contract:
        """Bind a contract that is there already, once its code was compared.

        The code at the address is the compiled one followed by the immutables, which differ
        from task to task. What the contract stores is not proven by that: whoever deploys can
        begin with any storage, so an audit starts from the events.

        Raises
        ------
        ArtifactError
            There is no contract, or another one.
        """
        found, expected = self.code(address), artifact.runtime_code
        if not found.startswith(expected) or (len(found) - len(expected)) % _WORD_BYTES:
            what = f"{len(found)} bytes of other code" if found else "no contract"
            raise ArtifactError(
                f"expected {artifact.name} at {address} on chain {self.chain_id}; found {what}. "
                "Is it the right address and chain, and the same version of bcfl?"
            )
        return self.contract(address, artifact.abi)

    def call(self, contract: Contract, function: str, *arguments: Any) -> Any:
        """What a view returns, decoded.

        Raises
        ------
        ContractReverted
            The contract refused.
        ArtifactError
            There is no contract at the address.
        """
        bound = contract.web3.functions[function](*arguments)
        try:
            with believing(function):
                return bound.call()
        except NodeRefused as refusal:
            if (reason := revert_reason(refusal)) is None:
                raise
            raise ContractReverted(reason, function) from refusal
        except ReplyMalformed as error:
            if self.code(contract.address):
                raise
            raise ArtifactError(f"there is no contract at {contract.address}") from error

    def transact(
        self, contract: Contract, function: str, *arguments: Any, value: int = 0
    ) -> Transaction:
        """Call a function in a signed transaction; return once it is mined.

        Raises
        ------
        ContractReverted
            The contract refused, before anything was sent or when it was mined.
        AccountError
            There is no signer, or its account cannot pay.
        TransactionLost, NodeUnreachable
            Nobody knows whether it will be mined.
        """
        data = contract.encode(function, arguments)
        return self._send(contract.address, data, value, function).transaction

    def deploy(self, artifact: Artifact, *arguments: Any) -> tuple[str, Transaction]:
        """Deploy a compiled contract; return its address and the transaction."""
        factory = self._web3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
        data = HexBytes(factory.constructor(*arguments).data_in_transaction)
        receipt = self._send(None, data, 0, "deploy")
        if receipt.contract is None:
            raise ReplyMalformed("the receipt of a deployment names no contract")
        return receipt.contract, receipt.transaction

    def transfer(self, address: str, wei: int) -> Transaction:
        """Send ether."""
        return self._send(checksummed(address), b"", wei, "transfer").transaction

    def receipt(self, transaction: str) -> Receipt:
        """The receipt of a mined and successful transaction, looked up by its number.

        Raises
        ------
        TransactionUnknown
            It is no transaction number, the chain has no such transaction, it reverted, or
            too few blocks stand on its own.
        """
        if not _HASH.fullmatch(transaction):
            raise TransactionUnknown(
                f"a transaction number is 0x and 64 hexadecimal digits; found {transaction!r:.80}"
            )
        receipt = self._node.find_receipt(transaction)
        if receipt is None:
            raise TransactionUnknown(f"the chain has no transaction {transaction}")
        if not receipt.succeeded:
            raise TransactionUnknown(f"transaction {transaction} was mined, but it reverted")
        if not self._node.confirmed(receipt, self.confirmations):
            raise TransactionUnknown(
                f"transaction {transaction} is not confirmed: expected {self.confirmations} blocks "
                "on top of its own (chain.confirmations); ask again later"
            )
        return receipt

    def events(
        self, contract: Contract, names: Sequence[str] = (), from_block: int = 0
    ) -> list[Log]:
        """A contract's events in the chain's order.

        Parameters
        ----------
        names : sequence of str
            Which; empty for all that its interface knows.
        from_block : int
            The first block to look at.
        """
        logs = self._node.logs_since(
            from_block, contract.address, contract.topics(names), self.confirmations
        )
        return self._decode(contract, logs)

    def events_of(self, contract: Contract, transaction: str) -> list[Log]:
        """A contract's events, and nobody else's, in one transaction (see ``receipt``)."""
        logs = self.receipt(transaction).logs
        return self._decode(contract, [log for log in logs if log.address == contract.address])

    def close(self) -> None:
        """Close the kept-alive connections to the node."""
        self._rpc.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _send(self, to: str | None, data: bytes, value: int, call: str) -> Receipt:
        if self.signer is None:
            raise AccountError(f"{call}: this connection only reads; give it a signer")
        sender = Sender(self._node, self._delivery, self.signer, self.chain_id, self.confirmations)
        return sender.send(to, bytes(data), value, call)

    def _decode(self, contract: Contract, logs: Sequence[RawLog]) -> list[Log]:
        times = {log.block: log.timestamp for log in logs if log.timestamp is not None}
        for block in {log.block for log in logs} - times.keys():
            times[block] = self._node.head(block).timestamp
        return [contract.decode(log, times[log.block]) for log in logs]
