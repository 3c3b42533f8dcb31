"""What both systems' ledgers do alike: one contract that bcfl ships, seen from one account."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

from bcfl.chain.connection import Connection
from bcfl.chain.contract import Contract, Log
from bcfl.chain.event import Transaction
from bcfl.contracts import artifact
from bcfl.core.errors import LedgerError


class ContractLedger:
    """A contract to write to and to read, in its own words.

    A call is put into the contract's words, and its events back into the system's. Every method
    that writes sends from this ledger's account and returns once its transaction is mined.
    Every method raises ``LedgerError`` and nothing else of its own: ``ContractReverted``, with
    the contract's reason, where the contract refuses.
    """

    contracts: ClassVar[tuple[str, ...]]  #: the names in ``contracts/`` of those it can be

    def __init__(
        self,
        connection: Connection,
        contract: Contract,
        wait_until: Callable[[int], None] | None,
        deployed_at: int,
        name: str,
    ) -> None:
        self._connection = connection
        self._contract = contract
        self._wait_until = wait_until
        self.deployed_at = deployed_at  #: the block; 0 where it is not known
        self.name = name  #: the contract's, one of ``contracts``

    @classmethod
    def _deploy(
        cls,
        connection: Connection,
        wait_until: Callable[[int], None] | None,
        name: str,
        *arguments: Any,
        value: int = 0,
    ) -> Self:
        compiled = artifact(name)
        address, sent = connection.deploy(compiled, *arguments, value=value)
        contract = connection.contract(address, compiled.abi)
        return cls(connection, contract, wait_until, sent.block, name)

    @classmethod
    def attach(
        cls,
        connection: Connection,
        address: str,
        wait_until: Callable[[int], None] | None = None,
        deployed_at: int = 0,
    ) -> Self:
        """Come to a contract that exists.

        Parameters
        ----------
        connection : Connection
            With a signer if anything is to be written.
        address : str
            The contract's.
        wait_until : callable, optional
            How time passes on this chain: its ``wait_until``; needed by who waits for
            deadlines.
        deployed_at : int
            The block from which on there can be events; 0: it is looked for.

        Raises
        ------
        ArtifactError
            What is there is not the contract that bcfl ships.
        """
        contract, found = connection.attach(address, *map(artifact, cls.contracts))
        return cls(connection, contract, wait_until, deployed_at, found.name)

    @property
    def address(self) -> str:
        """The contract's, checksummed."""
        return self._contract.address

    def now(self) -> int:
        """The newest block's timestamp, seconds."""
        return self._connection.now()

    def wait_until(self, timestamp: int) -> None:
        """Return once the newest block, and so the next, is later than ``timestamp``."""
        if self.now() <= timestamp:
            if self._wait_until is None:
                raise LedgerError("this ledger cannot wait: attach it with a chain's wait_until")
            self._wait_until(timestamp)

    def anchor(self) -> tuple[int, str]:
        """Number and hash of the newest block: see ``Connection.anchor``."""
        return self._connection.anchor()

    def has_block(self, number: int, block_hash: str) -> bool:
        """Whether this block is on the chain still."""
        return self._connection.has_block(number, block_hash)

    def _logs(self, *names: str, from_block: int = 0, at: int = 0) -> Sequence[Log]:
        first = max(from_block, self.deployed_at)
        return self._connection.events(self._contract, names, first, at)

    def _read(self, function: str, *arguments: Any) -> Any:
        return self._connection.call(self._contract, function, *arguments)

    def _write(self, function: str, *arguments: Any, **options: Any) -> Transaction:
        return self._connection.transact(self._contract, function, *arguments, **options)
