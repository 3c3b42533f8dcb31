"""What a task's contract says of itself, however its rounds are settled."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

from bcfl.chain.ledger import ContractLedger
from bcfl.consensus.spec.contract import Terms
from bcfl.consensus.spec.domain import TypedDataDomain


class TaskLedger(ContractLedger):
    """One task's contract, seen from one account."""

    #: what the contract calls its terms, in the order of those of ``Terms`` that it has
    names_of_terms: ClassVar[tuple[str, ...]] = (
        "kappa_ppm",
        "quorum",
        "commit_window_s",
        "ballot_window_s",
    )

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

    @cached_property
    def terms(self) -> Terms:
        """By which numbers rounds are decided."""
        return Terms(*(self._read(name) for name in self.names_of_terms))

    def members(self) -> tuple[str, ...]:
        """Who has each index, or had it last; ``words.seats`` says who had it in a past round."""
        return tuple(self._read("members"))
