"""The round that is open, of a task that is settled optimistically, as it is played.

A round is played from its beginning whenever more of it is known, so that what follows is the
same for whoever holds the same words, in whatever order they came.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

from eth_utils.crypto import keccak

from bcfl.chain.contract import Contract
from bcfl.chain.event import Transaction
from bcfl.consensus.contract.batches import pack_ballots, pack_commitments
from bcfl.consensus.contract.bundle import Bundle
from bcfl.consensus.contract.play import Play, PlayConnection, PlayedReference
from bcfl.consensus.contract.settlement import SettlementLedger
from bcfl.consensus.spec.domain import RoundState, members_in
from bcfl.consensus.spec.rules import LEAST_WINDOW_S
from bcfl.core.errors import ContractReverted, ProtocolError


@dataclass(frozen=True, slots=True)
class Opening:
    """How a round began."""

    round: int
    base: bytes  #: digest of θ_g
    expected: int  #: bit field: whom the coordinator waits for
    at: int  #: seconds
    transaction: str


class PlayedRound:
    """The contract's reference, and what was signed in the round that is open.

    Parameters
    ----------
    chain : SettlementLedger
    members : sequence of str
        The founders, by index.
    genesis : bytes
        Digest of the first θ_g.
    """

    def __init__(self, chain: SettlementLedger, members: Sequence[str], genesis: bytes) -> None:
        domain, self._terms = chain.domain, chain.terms
        self.contract = Contract(domain.contract, {}, {})
        self.play = Play(chain.now)
        self.play.contracts[domain.contract] = PlayedReference(
            domain, chain.coordinator, members, genesis, chain.rules, *astuple(chain.terms)
        )
        self.connection = PlayConnection(self.play, domain.chain_id, chain.coordinator)
        self.opening = Opening(0, genesis, 0, 0, "")
        self.signed = Bundle()
        self.unmined: set[str] = set()  #: numbers of what is on no chain
        self._before: tuple[int, PlayedReference] | None = None

    def go_on_from(self, round_: int, active: int) -> None:
        """So many rounds have been, and these are members now, as a bit field."""
        reference = self.play.contracts[self.contract.address]
        assert isinstance(reference, PlayedReference)
        reference.go_on_from(round_, members_in(active))

    def begin(self, base: bytes, expected: int, at: int, transaction: str) -> Transaction:
        """Another round; by a transaction that is on the chain, or, where empty, by none."""
        round_ = self._state().round + 1
        number = transaction or self.number("open_round", round_)
        self.opening = Opening(round_, base, expected, at, number)
        reference = self.play.contracts[self.contract.address]
        assert isinstance(reference, PlayedReference)
        self._before = len(self.play.blocks), copy.deepcopy(reference)
        self.bring(Bundle())
        return self.connection.receipt(number).transaction

    def bring(self, signed: Bundle, until: int | None = None) -> None:
        """Play the round from its beginning, with what was signed, where it is said, until then.

        Each at a time at which the contract would have taken it: ballots once all have committed
        who could.

        Raises
        ------
        ProtocolError
            No contract would have.
        """
        opening, times = self.opening, [one.timestamp for one in signed.commitments]
        if until is None:  # whatever a reorganisation has made of the time
            until = max([self.play.clock(), *times])
        assert self._before is not None
        blocks, reference = self._before
        del self.play.blocks[blocks:]
        self.play.contracts[self.contract.address] = copy.deepcopy(reference)
        self.signed, at = signed, opening.at
        try:
            begun = opening.base, opening.expected
            self.call("open_round", *begun, at=at, number=opening.transaction)
            at = max([at, *(time for time in times if time <= until)])
            if signed.commitments:
                batch = pack_commitments(signed.words()[0])
                self.call("commit", opening.round, *batch, at=at)
            committed = self._state().committed
            active = self.connection.call(self.contract, "active")
            if active & ~committed:
                least = not opening.expected & ~committed
                window = LEAST_WINDOW_S if least else self._terms.commit_window_s
                at = max(at, opening.at + window + 1)
            ballots = signed.by(committed).words()[1]
            if ballots and committed.bit_count() >= self._terms.quorum and at <= until:
                self.call("cast_ballots", opening.round, *pack_ballots(ballots), at=at)
        except ContractReverted as error:
            words = f"round {opening.round} cannot have been signed so: {error}"
            raise ProtocolError(words) from error

    def call(
        self, function: str, *arguments: Any, at: int | None = None, number: str = ""
    ) -> Transaction:
        """Play a call: at a time, if not now; as a transaction of the chain's, if not of none."""
        clock = self.play.clock
        if at is not None:
            self.play.clock = lambda: at - 1
        self.play.number = number or self.number(function, self.opening.round)
        try:
            return self.connection.transact(self.contract, function, *arguments)
        finally:
            self.play.clock = clock

    def number(self, function: str, round_: int) -> str:
        """Of what is on no chain: the same for whoever plays it."""
        words = f"{self.contract.address}/{round_}/{function}"
        number = "0x" + keccak(words.encode()).hex()
        self.unmined.add(number)
        return number

    def _state(self) -> RoundState:
        return RoundState(*self.connection.call(self.contract, "state"))
