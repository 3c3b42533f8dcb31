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
from bcfl.consensus.spec.settlement import LOOKED_BACK, Record
from bcfl.core.errors import ContractReverted, ProtocolError


@lru_cache(maxsize=64)
def find_settlements(connection: Connection, contract: str) -> SettlementLedger:
    """The task's contract. Raises ArtifactError where it is another, or none."""
    return SettlementLedger.attach(connection, contract)


def play(
    chain: SettlementLedger,
    order: EnrolOrder | RoundOrder | ReviewOrder,
    met: int,
    *,
    may_challenge: bool,
) -> tuple[Ledger, View]:
    """The round that is open, once those before are found to be as they were signed.

    Parameters
    ----------
    met : int
        In which round the node was asked last; 0 before any.

    Raises
    ------
    ProtocolError
        They are not; or the order is none that such a task has.
    """
    if isinstance(order, EnrolOrder):
        raise ProtocolError("a task that is settled optimistically takes no deposits")
    shown = OffChain.decode(order.off_chain)
    ledger, view = PlayedLedger.of_member(chain, shown, order.block, order.block_hash)
    if isinstance(order, RoundOrder):
        last = view.state.round - 1
        look_back(chain, shown, last, met or last, may_challenge=may_challenge)
    return ledger, view


def look_back(
    chain: SettlementLedger, shown: OffChain, last: int, met: int, *, may_challenge: bool
) -> None:
    """Check the round that was settled last, and those since the member was asked.

    Parameters
    ----------
    shown : OffChain
        All that was signed in them, and a block before they were settled, as the server says.
    last, met : int
        The contract's; ``last`` is 0 where none was settled yet.

    Raises
    ------
    ProtocolError
        One was not settled as it was signed: whoever goes on trains on a model that will be void.
    """
    settled = {event.round: event.record for event in chain.settled(shown.since)}
    for round_ in range(max(min(met, last), last - LOOKED_BACK + 1, 1), last + 1):
        if (record := settled.get(round_)) is None:
            raise ProtocolError(
                f"the contract has not settled round {round_} in block {shown.since} or after it"
            )
        bundle = shown.settled.get(round_)
        fault = fault_of(bundle, record, chain.terms, chain.domain, chain.members())
        if fault:
            said = _doubted(chain, record, may_challenge=may_challenge)
            raise ProtocolError(f"round {round_} was not settled as it was signed: {fault}; {said}")


def _doubted(chain: SettlementLedger, record: Record, *, may_challenge: bool) -> str:
    if not may_challenge:
        return "it is not challenged, as this node may not: its owner can say bcfl-challenge=true"
    try:
        return f"challenged in {chain.challenge(record).hash}"
    except ContractReverted as error:
        return f"its challenge was refused: {error}"
