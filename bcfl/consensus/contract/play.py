"""What is played off chain: the contract's reference on a chain in memory, at the chain's times."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bcfl.chain.contract import Contract
from bcfl.consensus.contract.memory import MemoryChain, MemoryConnection
from bcfl.consensus.contract.reference import PeerConsensusReference
from bcfl.consensus.spec.contract import ContractModel


class _PlayedModel(ContractModel):
    """A round that is played is decided when it is settled."""

    __slots__ = ()

    def after_ballots(self, now: int, seed: bytes) -> None:
        """Nothing: more may come past the server."""


class PlayedReference(PeerConsensusReference):
    """The contract's reference; it is told of cheats, whose proofs the chain has checked."""

    def _begin(self, *terms: Any) -> ContractModel:
        return _PlayedModel(*terms)

    def equivocated(self, member: int, round: int, digest: bytes, other: bytes) -> None:
        """A member is one from now on no more."""
        self._expect(self._model.prove(member, round, True))
        self._log("Equivocated", round=round, member=member, digest_a=digest, digest_b=other)

    def go_on_from(self, round: int, active: Iterable[int]) -> None:
        """So many rounds have been, and these are members now."""
        self._model.round, self._model.active = round, {*active}


class Play(MemoryChain):
    """What is played off chain: the blocks are of this process, their times are the chain's."""

    def __init__(self, clock: Callable[[], int]) -> None:
        super().__init__()
        self.clock = clock
        self.number = ""  # of the transaction that comes next
        self.seed = bytes(32)

    def number_of(self, sender: str) -> tuple[str, str]:
        """As it was set."""
        return self.number, ""

    def seed_of(self, contract: str) -> bytes:
        """As it was set."""
        return self.seed


class PlayConnection(MemoryConnection):
    """What a ledger asks of a play."""

    def __init__(self, play: Play, chain_id: int, coordinator: str) -> None:
        super().__init__(play, None)
        self.chain_id, self.play = chain_id, play
        self._coordinator = coordinator

    @property
    def address(self) -> str:
        """All is played as if the coordinator did it."""
        return self._coordinator

    def now(self) -> int:
        """The chain's time."""
        return self.play.clock()

    def events_of(self, contract: Contract, transaction: str, *, expected: bool = False) -> Any:
        """A round's calls of one kind have one number."""
        self.receipt(transaction)
        return [log for log in self.events(contract) if log.transaction == transaction]
