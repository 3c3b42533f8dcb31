"""Ethereum through a node's JSON-RPC: calls, signed transactions, events.

Contracts and their ABI are ``contract``'s, the way to the node and back is ``provider``'s, its
plain answers are ``node``'s, those of the newest block ``reading``'s, and what becomes of a
transaction is ``delivery``'s and ``outbox``'s. Whatever a node answers, callers see
``LedgerError`` only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self

from bcfl.chain.contract import Contract, Log, Values
from bcfl.chain.delivery import Delivery, revert_reason
from bcfl.chain.event import Transaction
from bcfl.chain.json_rpc import JsonRpc
from bcfl.chain.log_history import RawLog
from bcfl.chain.node import Head, Node, Receipt
from bcfl.chain.outbox import Outbox
from bcfl.chain.provider import NodeProvider
from bcfl.chain.reading import Reading
from bcfl.chain.sender import Sender
from bcfl.contracts import Artifact
from bcfl.core.errors import (
    AccountError,
    ArtifactError,
    ContractReverted,
    NodeRefused,
    ReplyMalformed,
)
from bcfl.keys.accounts import DEVELOPMENT_CHAINS, checksummed
from bcfl.keys.signer import Wallet

if TYPE_CHECKING:
    from web3 import Web3

_WORD_BYTES: Final = 32
#: A block without a successor is replaced now and then; one with two hardly ever.
_CONFIRMATIONS: Final = 2


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
    max_fee_gwei : float
        The most that is offered for a unit of gas, also where a transaction waits for a block.
    mined : callable, optional
        Told when a transaction of this connection's is mined, before its caller is.
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
        max_fee_gwei: float = 500.0,
        mined: Callable[[], None] = lambda: None,
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
            from bcfl.chain.own_web3 import UserProvider  # noqa: PLC0415 - web3: a second

            self._rpc = UserProvider(url, retry_s=retry_s, sleep=sleep, clock=clock)
        self._node = Node(self._rpc)
        self._delivery = Delivery(
            self._node, retry_s=retry_s, mining_s=mining_s, sleep=sleep, clock=clock
        )
        self._outbox = Outbox(self._node, self._settle)
        self._reading = Reading(self._node, self._outbox)
        self._max_fee = round(max_fee_gwei * 10**9)
        self._stuck_s = mining_s / 4
        self._on_mined = mined

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
        return self._reading.head().timestamp

    def block_number(self) -> int:
        """The newest block's number."""
        return self._reading.head().number

    def anchor(self) -> tuple[int, str]:
        """Number and hash of the newest block.

        Who reads at or after it knows of all that was done, and what time it was, here.
        """
        head = self._reading.head()
        return head.number, "" if head.hash is None else "0x" + head.hash.hex()

    def has_block(self, number: int, block_hash: str) -> bool:
        """Whether this block is on the chain still."""
        head = self._reading.head()
        found = head if head.number == number else self._node.block(number)
        return found is not None and (not block_hash or found.is_called(block_hash))

    def await_block(self, number: int, block_hash: str) -> None:
        """Wait until the node has this block of another's; read at or after it from now on.

        Raises
        ------
        NodeBehind
            It has not got it within ``retry_s``, or has another in its place.
        """
        self._node.await_block(number, block_hash)

    def balance(self, address: str) -> int:
        """Wei."""
        return self._node.balance(checksummed(address))

    def code(self, address: str) -> bytes:
        """The code at an address; empty where there is no contract."""
        return self._node.code(checksummed(address), self._reading.head().number)

    def had_code(self, address: str, block: int) -> bool | None:
        """Whether there was a contract after ``block``; None where the node has forgotten that."""
        return self._node.had_code(checksummed(address), block)

    def request(self, method: str, *parameters: Any) -> Any:
        """A JSON-RPC method of a test node's own, such as ``evm_mine``."""
        return self._rpc.request(method, parameters)

    def tries(self) -> Iterator[float]:
        """Steps at which to ask once more for what is not there yet; for ``retry_s`` at most."""
        return self._rpc.tries()

    def contract(self, address: str, abi: Sequence[Mapping[str, Any]]) -> Contract:
        """Bind a contract's interface to its address; asks the node nothing."""
        return Contract.bind(address, abi)

    def attach(self, address: str, *artifacts: Artifact) -> tuple[Contract, Artifact]:
        """Bind a contract that is there already, once its code was compared; and which it is.

        The code at the address is the compiled one followed by the immutables, which differ
        from task to task. What the contract stores is not proven by that: whoever deploys can
        begin with any storage, so an audit starts from the events.

        Raises
        ------
        ArtifactError
            There is no contract, or another one.
        """
        found = self.code(address)
        for artifact in artifacts:
            expected = artifact.runtime_code
            if found.startswith(expected) and (len(found) - len(expected)) % _WORD_BYTES == 0:
                return self.contract(address, artifact.abi), artifact
        names = " or ".join(artifact.name for artifact in artifacts)
        what = f"{len(found)} bytes of other code" if found else "no contract"
        raise ArtifactError(
            f"expected {names} at {address} on chain {self.chain_id}; found {what}. "
            "Is it the right address and chain, and the same version of bcfl?"
        )

    def call(self, contract: Contract, function: str, *arguments: Any) -> Any:
        """What a view returns, decoded.

        Raises
        ------
        ContractReverted
            The contract refused.
        ArtifactError
            There is no contract at the address.
        """
        fields = _call(contract, function, arguments)
        try:
            return contract.returned(function, self._reading.calls([fields])[1][0])
        except NodeRefused as refusal:
            if (reason := revert_reason(refusal)) is None:
                raise
            raise ContractReverted(reason, function) from refusal
        except ReplyMalformed as error:
            if self.code(contract.address):
                raise
            raise ArtifactError(f"there is no contract at {contract.address}") from error

    def views(
        self,
        contract: Contract,
        functions: Sequence[str],
        block: int = 0,
        block_hash: str = "",
        transactions: Sequence[str] = (),
    ) -> tuple[Head, list[Any]]:
        """What these views, which take no arguments, return, all of one block, the newest.

        Parameters
        ----------
        block, block_hash : int, str
            Of another's block, which the node is to have: see :meth:`await_block`. Where it is
            the newest, as mostly, all that is asked here is one request.
        transactions : sequence of str
            Transactions whose receipts will be looked up next: asked for along with it.

        Returns
        -------
        tuple
            The block, and what each view returned.

        Raises
        ------
        NodeBehind
            As :meth:`await_block`.
        """
        self._reading.forget()
        calls = [_call(contract, function) for function in functions]
        head, found = self._reading.calls(calls, block, block_hash, transactions)
        values = [contract.returned(*each) for each in zip(functions, found, strict=True)]
        return head, values

    def transact(
        self,
        contract: Contract,
        function: str,
        *arguments: Any,
        value: int = 0,
        still: Callable[[], bool] = lambda: True,
        spare_gas: int = 0,
    ) -> Transaction:
        """Call a function in a signed transaction; return once it is mined.

        Where a reorganisation takes it back it is sent again, unless ``still`` says no.
        ``spare_gas`` is what the block may ask for that no node can estimate before.

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
        sent = self._send(contract.address, data, value, function, still, spare_gas)
        return sent.transaction

    def deploy(
        self, artifact: Artifact, *arguments: Any, value: int = 0
    ) -> tuple[str, Transaction]:
        """Deploy a compiled contract, with wei; return its address and the transaction."""
        (taken,) = [e["inputs"] for e in artifact.abi if e["type"] == "constructor"] or [[]]
        data = artifact.bytecode + Values(taken).write(arguments)
        receipt = self._send(None, data, value, "deploy")
        if receipt.contract is None:
            raise ReplyMalformed("the receipt of a deployment names no contract")
        return receipt.contract, receipt.transaction

    def transfer(self, address: str, wei: int) -> Transaction:
        """Send ether."""
        return self._send(checksummed(address), b"", wei, "transfer").transaction

    def receipt(self, transaction: str, *, expected: bool = False) -> Receipt:
        """The receipt of a mined and successful transaction, looked up by its number.

        Parameters
        ----------
        transaction : str
        expected : bool
            It is known to be mined, as by its events: the node is asked until it has it.

        Raises
        ------
        TransactionUnknown
            It is no transaction number, the chain has no such transaction, it reverted, or
            too few blocks stand on its own.
        """
        return self._reading.receipt(transaction, self.confirmations, expected=expected)

    def receipts(self, transactions: Sequence[str]) -> dict[str, Receipt]:
        """By number, the receipts of those that are known to be mined, in few requests."""
        return self._reading.receipts(transactions)

    def request_many(self, method: str, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """What the node answers to ``method`` for each row of parameters, in few requests."""
        return self._rpc.request_many(method, rows)

    def events(
        self, contract: Contract, names: Sequence[str] = (), from_block: int = 0, at: int = 0
    ) -> list[Log]:
        """A contract's events in the chain's order.

        Parameters
        ----------
        names : sequence of str
            Which; empty for all that its interface knows.
        from_block : int
            The first block to look at.
        at : int
            The newest block, where it is known, as from :meth:`views`.
        """
        topics = tuple(contract.topics(names))
        found = self._reading.logs(contract.address, topics, from_block, self.confirmations, at)
        return self._decode(contract, found)

    def events_of(
        self, contract: Contract, transaction: str, *, expected: bool = False
    ) -> list[Log]:
        """A contract's events, and nobody else's, in one transaction (see ``receipt``)."""
        logs = self.receipt(transaction, expected=expected).logs
        return self._decode(contract, [log for log in logs if log.address == contract.address])

    def close(self) -> None:
        """Close the kept-alive connections to the node."""
        self._rpc.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _send(
        self,
        to: str | None,
        data: bytes,
        value: int,
        call: str,
        still: Callable[[], bool] = lambda: True,
        spare_gas: int = 0,
    ) -> Receipt:
        if self.signer is None:
            raise AccountError(f"{call}: this connection only reads; give it a signer")
        sender = Sender(
            self._node,
            self._delivery,
            self.signer,
            self.chain_id,
            depth=self.confirmations,
            max_fee=self._max_fee,
            stuck_s=self._stuck_s,
            mend=self._outbox.mend,
        )
        raw, receipt = self._reading.at_head(
            lambda _: sender.send(to, data, value, call, spare_gas)
        )
        self._outbox.note(raw, call, receipt, still)
        self._on_mined()
        return receipt

    def _settle(self, raw: bytes, call: str) -> Receipt:
        receipt = self._delivery.settle(raw, call, self.confirmations)
        self._on_mined()
        return receipt

    def _decode(self, contract: Contract, logs: Sequence[RawLog]) -> list[Log]:
        times = self._reading.timestamps(logs)
        return [contract.decode(log, times[log.block]) for log in logs]


def _call(contract: Contract, function: str, arguments: Sequence[Any] = ()) -> dict[str, str]:
    return {"to": contract.address, "data": "0x" + contract.encode(function, arguments).hex()}
