"""A member in a task that is settled optimistically: what it plays, and what it doubts.

It holds what was settled against what it was given. Where the node's owner allows it,
``--node-config 'bcfl-challenge=true'``, a doubt goes to the contract: it costs gas, and the bond
until it is answered.
"""

from __future__ import annotations

from functools import lru_cache

from bcfl.chain.connection import Connection
from bcfl.consensus.contract.bundle import fault_of
from bcfl.consensus.contract.ledger import Ledger, View
from bcfl.consensus.contract.off_chain import OffChain
from bcfl.consensus.contract.played import PlayedLedger
from bcfl.consensus.contract.settlement import SettlementLedger
from bcfl.consensus.records import EnrolOrder, ReviewOrder, RoundOrder
from bcfl.core.errors import ContractReverted, ProtocolError


@lru_cache(maxsize=64)
def find_settlements(connection: Connection, contract: str) -> SettlementLedger:
    """The task's contract. Raises ArtifactError where it is another, or none."""
    return SettlementLedger.attach(connection, contract)


def play(
    chain: SettlementLedger, order: EnrolOrder | RoundOrder | ReviewOrder, *, may_challenge: bool
) -> tuple[Ledger, View]:
    """The round that is open, once the one before is found to be as it was signed.

    Raises
    ------
    ProtocolError
        It is not; or the order is none that such a task has.
    """
    if isinstance(order, EnrolOrder):
        raise ProtocolError("a task that is settled optimistically takes no deposits")
    shown = OffChain.decode(order.off_chain)
    found = PlayedLedger.of_member(chain, shown, order.block, order.block_hash)
    if isinstance(order, RoundOrder):
        look_back(chain, shown, order.round - 1, may_challenge=may_challenge)
    return found


def look_back(
    chain: SettlementLedger, shown: OffChain, round_: int, *, may_challenge: bool
) -> None:
    """Check the round that was settled last.

    Parameters
    ----------
    shown : OffChain
        All that was signed in it, and in which block it was settled, as the server says.
    round_ : int
        The contract's; 0 where none was settled yet.

    Raises
    ------
    ProtocolError
        It was not settled as it was signed: whoever goes on trains on a model that will be void.
    """
    if not round_:
        return
    settled = {event.round: event.record for event in chain.settled(shown.since)}
    if (record := settled.get(round_)) is None:
        raise ProtocolError(
            f"the contract has not settled round {round_} in block {shown.since} or after it"
        )
    fault = fault_of(shown.settled, record, chain.terms, chain.domain, chain.members())
    if not fault:
        return
    said = "it is not challenged, as this node may not: its owner can say bcfl-challenge=true"
    if may_challenge:
        try:
            said = f"challenged in {chain.challenge(record).hash}"
        except ContractReverted as error:
            said = f"its challenge was refused: {error}"
    raise ProtocolError(f"round {round_} was not settled as it was signed: {fault}; {said}")
