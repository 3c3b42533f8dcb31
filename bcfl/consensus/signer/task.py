"""The one task of a signer, as the owner's own node tells it."""

from __future__ import annotations

from typing import Any, Final

from bcfl.chain.connection import Connection
from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.contract.settlement import SettlementLedger, Standing
from bcfl.consensus.signer.messages import MemberMessage
from bcfl.consensus.spec.domain import Phase, RoundState, TypedDataDomain
from bcfl.contracts import artifact
from bcfl.core.errors import (
    AccountError,
    ArtifactError,
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


class SignerTask:
    """One contract, through the owner's node.

    Parameters
    ----------
    connection : Connection
        See :func:`connect`.
    contract : str
        Checksummed address.

    Raises
    ------
    ArtifactError
        The contract is not bcfl's.
    NodeUnreachable
        The node does not answer.
    """

    def __init__(self, connection: Connection, contract: str) -> None:
        self.domain = TypedDataDomain(connection.chain_id, contract)
        self._connection = connection
        try:
            self._ledger: Ledger | SettlementLedger = Ledger.attach(connection, contract)
        except ArtifactError:
            self._ledger = SettlementLedger.attach(connection, contract)
        self._contract = connection.contract(contract, artifact(self._ledger.name).abi)

    def expect_member(self, address: str) -> None:
        """Raise SignerRefused unless the account is one of the task's members."""
        if address not in self._ledger.members():
            raise SignerRefused(f"{address} is not a member of {self.domain.contract}")

    def state(self) -> RoundState | Standing:
        """The current round, as far as the chain knows it."""
        return self._ledger.state() if isinstance(self._ledger, Ledger) else self._ledger.standing()

    def model(self) -> bytes:
        """Digest of the model that the current round trains from."""
        return self.state().model

    def stake(self) -> int:
        """What a member deposits, wei."""
        return self._ledger.stake if isinstance(self._ledger, Ledger) else 0

    def bond(self) -> int:
        """What a challenge costs until it is answered, wei; 0 where there are none."""
        return 0 if isinstance(self._ledger, Ledger) else self._ledger.bond

    def expect_open(self, message: MemberMessage) -> None:
        """The chain takes this message now, for this round and from this model.

        Raises
        ------
        RoundNotOpen
            It does not.
        LedgerError
            The node cannot be asked.
        """
        if message.round is None:
            return
        state, values = self.state(), message.values
        if isinstance(state, Standing):
            assert isinstance(self._ledger, SettlementLedger)
            _expect_within(state, self._ledger.terms.commit_window_s, message)
            return
        if message.round != state.round:
            raise RoundNotOpen(
                f"a {message.kind} for round {message.round}; the contract is in {state.round}"
            )
        phases = (_PHASES[message.kind],) if message.binds else _SALT_PHASES
        if state.phase not in phases:
            raise RoundNotOpen(
                f"round {state.round} takes no {message.kind} now: its phase is {state.phase.name}"
            )
        if values.get("base", state.model) != state.model:
            raise RoundNotOpen(f"round {state.round} trains from {state.model.hex()}, no other")
        if not state.opened_at <= values.get("timestamp", state.opened_at) <= state.commit_deadline:
            raise RoundNotOpen(
                f"a timestamp of round {state.round} lies in [{state.opened_at}, "
                f"{state.commit_deadline}]; found {values['timestamp']}"
            )

    def encode(self, function: str, *arguments: Any) -> bytes:
        """The calldata of a call."""
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


def _expect_within(standing: Standing, commit_window_s: int, message: MemberMessage) -> None:
    """Of a round that is settled optimistically the chain knows the number, the model, the time."""
    values = message.values
    if not standing.open or message.round != standing.round:
        raise RoundNotOpen(
            f"a {message.kind} for round {message.round}; the contract is in {standing.round}"
        )
    if message.kind not in ("Commitment", "Ballot"):
        raise RoundNotOpen(f"a task that is settled optimistically takes no {message.kind}")
    if values.get("base", standing.model) != standing.model:
        raise RoundNotOpen(f"round {standing.round} trains from {standing.model.hex()}, no other")
    first, last = standing.time, standing.time + commit_window_s
    if not first <= values.get("timestamp", first) <= last:
        raise RoundNotOpen(
            f"a timestamp of round {standing.round} lies in [{first}, {last}]; found "
            f"{values['timestamp']}"
        )
