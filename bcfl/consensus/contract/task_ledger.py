"""What a task's contract says of itself, however its rounds are settled."""

from __future__ import annotations

from functools import cached_property

from bcfl.chain.ledger import ContractLedger
from bcfl.consensus.spec.domain import TypedDataDomain


class TaskLedger(ContractLedger):
    """One task's contract, seen from one account."""

    @cached_property
    def domain(self) -> TypedDataDomain:
        """Chain id and contract."""
        return TypedDataDomain(self._connection.chain_id, self._contract.address)

    @cached_property
    def coordinator(self) -> str:
        """The account that deployed the contract."""
        return str(self._read("coordinator"))

    @cached_property
    def rules(self) -> bytes:
        """``Rules.digest`` of the rules that the task was deployed with."""
        return bytes(self._read("rules"))

    def members(self) -> tuple[str, ...]:
        """Who has each index, or had it last; ``words.seats`` says who had it in a past round."""
        return tuple(self._read("members"))
