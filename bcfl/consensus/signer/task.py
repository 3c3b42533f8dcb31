"""The one task of a signer, as the owner's own node tells it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final

from bcfl.chain.connection import Connection
from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.contract.settlement import SettlementLedger
from bcfl.consensus.contract.task_ledger import TaskLedger
from bcfl.consensus.signer.messages import MemberMessage
from bcfl.consensus.spec.domain import Phase
from bcfl.contracts import artifact
from bcfl.core.errors import (
    AccountError,
    ArtifactError,
    BeyondAllowance,
    RoundNotOpen,
    SignerRefused,
    TransactionUnknown,
)

#: When the contract takes each.
_PHASES: Final = {
    "Commitment": Phase.COMMIT,
    "Proposal": Phase.PROPOSE,
    "Seal": Phase.SEAL,
    "Ballot": Phase.BALLOT,
}
#: A salt can be needed from the ballot's first to its last sight.
_SALT_PHASES: Final = (Phase.SEAL, Phase.BALLOT)


def connect(rpc_url: str, chain_id: int) -> Connection:
    """The owner's node. Every question to it takes so long at most, and then is an error.

    Raises
    ------
    AccountError
        It is of another chain.
    NodeUnreachable
        Nobody answers there.
    """
    connection = Connection(rpc_url, timeout_s=5.0, retry_s=15.0)
    if (found := connection.chain_id) != chain_id:
        raise AccountError(
            f"expected the node of chain {chain_id} at {rpc_url}; found chain {found}"
        )
    return connection


class SignerTask(ABC):
    """One contract, through the owner's node. Found by :func:`find_task`."""

    def __init__(self, connection: Connection, ledger: TaskLedger) -> None:
        self.domain = ledger.domain
        self._connection, self._members = connection, ledger.members
        self._contract = connection.contract(ledger.address, artifact(ledger.name).abi)

    @abstractmethod
    def model(self) -> bytes:
        """Digest of the model that the current round trains from."""

    @abstractmethod
    def price(self) -> int:
        """What goes with the call that pays for more than gas, a stake or a bond; wei."""

    @abstractmethod
    def expect_open(self, message: MemberMessage) -> None:
        """The chain takes this message now, for this round and from this model.

        Raises
        ------
        RoundNotOpen
            It does not.
        LedgerError
            The node cannot be asked.
        """

    def expect_member(self, address: str) -> None:
        """Raise SignerRefused unless the account is one of the task's members."""
        if address not in self._members():
            raise SignerRefused(f"{address} is not a member of {self.domain.contract}")

    def encode(self, function: str, *arguments: Any) -> bytes:
        """The calldata of a call; raises BeyondAllowance where there is no such function."""
        if function not in self._contract.functions:
            raise BeyondAllowance(f"the task's contract has no {function}")
        return self._contract.encode(function, arguments)

    def expect_next(self, address: str, nonce: int) -> None:
        """``nonce`` can be mined next, and is none to be kept for later.

        Raises
        ------
        SignerRefused
            It is used up, or is a later one.
        """
        used, pending = self._count(address, "latest"), self._count(address, "pending")
        if not used <= nonce <= max(used, pending):
            raise SignerRefused(
                f"the next nonce of {address} is {pending}, {used} are used; found {nonce}"
            )

    def came_to_nothing(self, address: str, nonce: int, transaction: str) -> bool:
        """Whether it is known that a transaction paid no value, and never will."""
        if self._count(address, "latest") <= nonce:
            return False
        try:
            self._connection.receipt(transaction)
        except TransactionUnknown:
            return True
        return False

    def _count(self, address: str, block: str) -> int:
        count = self._connection.request("eth_getTransactionCount", address, block)
        try:
            return int(str(count), 16)
        except ValueError:
            raise SignerRefused(f"the node's transaction count is none: {count!r:.60}") from None


class FullTask(SignerTask):
    """A task whose every word is on the chain, which knows the phase of its round."""

    def __init__(self, connection: Connection, ledger: Ledger) -> None:
        super().__init__(connection, ledger)
        self._ledger = ledger

    def model(self) -> bytes:
        """See ``SignerTask``."""
        return self._ledger.state().model

    def price(self) -> int:
        """See ``SignerTask``."""
        return self._ledger.stake

    def expect_open(self, message: MemberMessage) -> None:
        """See ``SignerTask``."""
        if message.round is None:
            return
        state = self._ledger.state()
        _expect_round(message, state.round)
        phases = (_PHASES[message.kind],) if message.binds else _SALT_PHASES
        if state.phase not in phases:
            raise RoundNotOpen(
                f"round {state.round} takes no {message.kind} now: its phase is {state.phase.name}"
            )
        _expect_within(message, state.model, state.opened_at, state.commit_deadline)


class SettledTask(SignerTask):
    """A task settled optimistically: of its round the chain knows number, model and time."""

    def __init__(self, connection: Connection, ledger: SettlementLedger) -> None:
        super().__init__(connection, ledger)
        self._ledger = ledger

    def model(self) -> bytes:
        """See ``SignerTask``."""
        return self._ledger.standing().model

    def price(self) -> int:
        """See ``SignerTask``."""
        return self._ledger.bond

    def expect_open(self, message: MemberMessage) -> None:
        """See ``SignerTask``."""
        if message.round is None:
            return
        standing = self._ledger.standing()
        _expect_round(message, standing.round if standing.open else 0)
        if message.kind not in ("Commitment", "Ballot"):
            raise RoundNotOpen(f"a task that is settled optimistically takes no {message.kind}")
        end = standing.time + self._ledger.terms.commit_window_s
        _expect_within(message, standing.model, standing.time, end)


def find_task(connection: Connection, contract: str) -> SignerTask:
    """The task at this address (checksummed).

    Raises
    ------
    ArtifactError
        The contract is not bcfl's.
    NodeUnreachable
        The node does not answer.
    """
    try:
        return FullTask(connection, Ledger.attach(connection, contract))
    except ArtifactError:
        return SettledTask(connection, SettlementLedger.attach(connection, contract))


def _expect_round(message: MemberMessage, open_: int) -> None:
    if message.round != open_:
        raise RoundNotOpen(
            f"a {message.kind} for round {message.round}; the contract is in {open_}"
        )


def _expect_within(message: MemberMessage, model: bytes, first: int, last: int) -> None:
    """It is of this model, and from this time, if it is of any."""
    values = message.values
    if values.get("base", model) != model:
        raise RoundNotOpen(f"round {message.round} trains from {model.hex()}, no other")
    if not first <= values.get("timestamp", first) <= last:
        raise RoundNotOpen(
            f"a timestamp of round {message.round} lies in [{first}, {last}]; found "
            f"{values['timestamp']}"
        )
