"""A chain without an EVM: the contracts' Python references behind the ledger, in this process.

Signatures, phases, ballots and events are those of the contracts. Gas, ether, fees and JSON-RPC are
not there, nothing is on disk, and the hashes of its blocks, by which ties are decided, are other
ones than an EVM's. FOR SIMULATIONS ONLY.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import rlp  # type: ignore[import-untyped]
from eth_utils.crypto import keccak

from bcfl.chain.chain import IN_PROCESS, Chain
from bcfl.chain.connection import Connection
from bcfl.chain.contract import Contract, Log
from bcfl.chain.event import Transaction
from bcfl.chain.node import Head, Receipt
from bcfl.consensus.contract.proposal_reference import (
    PeerCoalitionReference,
    PeerRefereeReference,
)
from bcfl.consensus.contract.reference import PeerConsensusReference
from bcfl.consensus.spec.domain import TypedDataDomain
from bcfl.contracts import Artifact
from bcfl.core.errors import ArtifactError, ConfigurationError, TransactionUnknown
from bcfl.keys.accounts import DEVELOPMENT_CHAINS, Account, checksummed, derive_account
from bcfl.keys.signer import Wallet

_GENESIS_TIMESTAMP: Final = 1_767_225_600
_CONTRACTS: Final = {
    kind.name: kind
    for kind in (PeerConsensusReference, PeerCoalitionReference, PeerRefereeReference)
}
_NUMBERS: Final = itertools.count(1)


@dataclass(frozen=True, slots=True)
class _Block:
    number: int
    timestamp: int
    hash: str  #: 0x…
    contract: str = ""  #: whose call it holds
    logs: tuple[Log, ...] = ()


class MemoryChain(Chain):
    """Blocks of one call each, as long as this object lives.

    Parameters
    ----------
    seed : int
        Which coordinator.
    """

    def __init__(self, seed: int = 0) -> None:
        self._url = f"memory:{next(_NUMBERS)}"
        self._seed = seed
        self.blocks = [_Block(0, _GENESIS_TIMESTAMP, "0x" + bytes(32).hex())]
        self.contracts: dict[str, PeerConsensusReference] = {}  #: by address
        self.mined: dict[str, _Block] = {}  #: by transaction number
        self._nonces: dict[str, int] = {}

    @property
    def url(self) -> str:
        """Means something in this process alone."""
        return self._url

    @property
    def coordinator(self) -> Account:
        """The account that deploys tasks here."""
        return derive_account(self._seed, "coordinator", 0)

    @property
    def time_is_virtual(self) -> bool:
        """True: blocks bear whatever time they are told."""
        return True

    def start(self) -> None:
        """Let this process find it."""
        IN_PROCESS[self._url] = self.connect

    def stop(self) -> None:
        """Let nobody find it."""
        IN_PROCESS.pop(self._url, None)

    def wait_until(self, timestamp: int) -> None:
        """Let virtual time pass."""
        if self.blocks[-1].timestamp <= timestamp:
            self.mine(timestamp + 1)

    def connect(self, signer: Wallet | None = None, **options: Any) -> Connection:
        """A connection that calls as ``signer``; nothing is lost on the way, so no options."""
        return MemoryConnection(self, signer)

    def fund(self, address: str, wei: int) -> None:
        """Nothing: calls cost nothing here."""

    def number_of(self, sender: str) -> tuple[str, str]:
        """The number of this account's next transaction, and the address it would deploy to."""
        nonce = self._nonces.get(sender, 0)
        self._nonces[sender] = nonce + 1
        digest = keccak(rlp.encode([bytes.fromhex(sender[2:]), nonce]))
        return "0x" + digest.hex(), checksummed("0x" + digest[12:].hex())

    def seed_of(self, contract: str) -> bytes:
        """The hash of the block with the contract's last commitment; 32 zeros before any."""
        for block in reversed(self.blocks):
            if block.contract == contract and any(log.name == "Committed" for log in block.logs):
                return bytes.fromhex(block.hash[2:])
        return bytes(32)

    def mine(self, timestamp: int, contract: str = "", transaction: str = "") -> _Block:
        """A block more, with what the contract has logged."""
        before = self.blocks[-1]
        number, logs = before.number + 1, []
        if contract:
            logged = self.contracts[contract].logged
            for index, (name, values) in enumerate(logged):
                logs.append(Log(name, values, transaction, number, index, timestamp))
            logged.clear()
        words = f"{before.hash}/{timestamp}/{contract}/{logs!r}"
        found = "0x" + hashlib.sha256(words.encode()).hexdigest()
        self.blocks.append(_Block(number, timestamp, found, contract, tuple(logs)))
        if transaction:
            self.mined[transaction] = self.blocks[-1]
        return self.blocks[-1]


class MemoryConnection(Connection):
    """What a ledger asks of a connection, answered by a :class:`MemoryChain`."""

    def __init__(self, chain: MemoryChain, signer: Wallet | None) -> None:
        self.url, self.signer, self._chain = chain.url, signer, chain
        self.chain_id = DEVELOPMENT_CHAINS[0]

    def now(self) -> int:
        """The newest block's timestamp, seconds."""
        return self._chain.blocks[-1].timestamp

    def anchor(self) -> tuple[int, str]:
        """Number and hash of the newest block."""
        return self._chain.blocks[-1].number, self._chain.blocks[-1].hash

    def has_block(self, number: int, block_hash: str) -> bool:
        """Blocks stay."""
        return number < len(self._chain.blocks)

    def await_block(self, number: int, block_hash: str) -> None:
        """It is there already."""

    def tries(self) -> Iterator[float]:
        """Once: what is not there now will not come by waiting."""
        return iter((0.0,))

    def contract(self, address: str, abi: Sequence[Mapping[str, Any]]) -> Contract:
        """Bind an address; there is no interface to decode."""
        return Contract(address, {}, {})

    def attach(self, address: str, *artifacts: Artifact) -> tuple[Contract, Artifact]:
        """Bind a contract that is there already. Raises ArtifactError."""
        found = self._chain.contracts.get(address)
        for artifact in artifacts:
            if found is not None and artifact.name == found.name:
                return self.contract(address, artifact.abi), artifact
        raise ArtifactError(f"there is no contract at {address}: this chain ends with its run")

    def call(self, contract: Contract, function: str, *arguments: Any) -> Any:
        """What a view returns."""
        found = self._chain.contracts[contract.address]
        found.now = self.now()
        return getattr(found, function)(*arguments)

    def views(
        self,
        contract: Contract,
        functions: Sequence[str],
        block: int = 0,
        block_hash: str = "",
        transactions: Sequence[str] = (),
    ) -> tuple[Head, list[Any]]:
        """What these views return, and the newest block."""
        newest = self._chain.blocks[-1]
        head = Head(newest.number, newest.timestamp, 0)
        return head, [self.call(contract, function) for function in functions]

    def transact(
        self,
        contract: Contract,
        function: str,
        *arguments: Any,
        value: int = 0,
        still: Callable[[], bool] = lambda: True,
        spare_gas: int = 0,
    ) -> Transaction:
        """Call a function as the signer, in a block of its own. Raises ContractReverted."""
        found = self._chain.contracts[contract.address]
        found.sender, found.value, found.now = self.address, value, self.now() + 1
        found.seed = self._chain.seed_of(contract.address)
        try:
            getattr(found, function)(*arguments)
        except BaseException:
            found.logged.clear()
            raise
        return self._mine(contract.address, self._chain.number_of(self.address)[0])

    def deploy(
        self, artifact: Artifact, *arguments: Any, value: int = 0
    ) -> tuple[str, Transaction]:
        """Begin a contract; its address and the transaction."""
        if (kind := _CONTRACTS.get(artifact.name)) is None:
            raise ConfigurationError(
                f"chain: expected one with an EVM for {artifact.name}; found one that knows "
                f"{', '.join(_CONTRACTS)} alone"
            )
        number, address = self._chain.number_of(self.address)
        domain = TypedDataDomain(self.chain_id, address)
        contract = kind(domain, self.address, *arguments)
        self._chain.contracts[address] = contract
        return address, self._mine(address, number)

    def receipt(self, transaction: str, *, expected: bool = False) -> Receipt:
        """A transaction by its number. Raises TransactionUnknown."""
        if (found := self._chain.mined.get(transaction)) is None:
            raise TransactionUnknown(f"the chain has no transaction {transaction}")
        return Receipt(transaction, found.number, 0, True, None, ())

    def receipts(self, transactions: Sequence[str]) -> dict[str, Receipt]:
        """These transactions, by number."""
        return {number: self.receipt(number) for number in transactions}

    def events(
        self, contract: Contract, names: Sequence[str] = (), from_block: int = 0, at: int = 0
    ) -> list[Log]:
        """The contract's events in the chain's order."""
        blocks = self._chain.blocks[from_block:]
        found = (
            log for block in blocks if block.contract == contract.address for log in block.logs
        )
        return [log for log in found if not names or log.name in names]

    def events_of(
        self, contract: Contract, transaction: str, *, expected: bool = False
    ) -> list[Log]:
        """The contract's events in one transaction. Raises TransactionUnknown."""
        self.receipt(transaction)
        block = self._chain.mined[transaction]
        return list(block.logs) if block.contract == contract.address else []

    def close(self) -> None:
        """Nothing is open."""

    def _mine(self, contract: str, number: str) -> Transaction:
        block = self._chain.mine(self.now() + 1, contract, number)
        return Transaction(number, block.number, 0)
