"""A member holds what was settled against what it was given, and doubts what does not agree.

Where the node's owner allows it, ``--node-config 'bcfl-challenge=true'``, the doubt goes to the
contract: it costs gas, and the bond until it is answered.
"""

from __future__ import annotations

from typing import Final

from flwr.app import Context

from bcfl.consensus.contract.bundle import Bundle, fault_of
from bcfl.consensus.contract.settlement import SettlementLedger
from bcfl.core.errors import ContractReverted, ProtocolError

#: In a node's configuration: whether it may challenge, and pay for that.
CHALLENGE: Final = "bcfl-challenge"


def challenges(context: Context) -> bool:
    """Whether the owner lets the node challenge what was settled."""
    return bool(context.node_config.get(CHALLENGE, False))


def look_back(
    chain: SettlementLedger, shown: Bundle | None, round_: int, *, may_challenge: bool
) -> None:
    """Check the round that was settled last.

    Parameters
    ----------
    shown : Bundle, optional
        All that was signed in it, as the server gives it.
    round_ : int
        The contract's; 0 where none was settled yet.

    Raises
    ------
    ProtocolError
        It was not settled as it was signed: whoever goes on trains on a model that will be void.
    """
    settled = {event.round: event.record for event in chain.settled()}
    if not round_:
        return
    if (record := settled.get(round_)) is None:
        raise ProtocolError(f"the contract has not settled round {round_}")
    fault = fault_of(shown, record, chain.terms, chain.domain, chain.members())
    if not fault:
        return
    said = "it is not challenged, as this node may not: its owner can say bcfl-challenge=true"
    if may_challenge:
        try:
            said = f"challenged in {chain.challenge(record).hash}"
        except ContractReverted as error:
            said = f"its challenge was refused: {error}"
    raise ProtocolError(f"round {round_} was not settled as it was signed: {fault}; {said}")
