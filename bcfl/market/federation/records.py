"""What the server and the nodes of a market say to each other: one ``ConfigRecord`` a message.

Orders go to the nodes, replies come back. Neither models nor reports travel in a message: an
order says when to look at the chain, and a reply what came of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bcfl.flower.record import LONGEST_TEXT, Address, Count, Digest, Int64, Text, TypedRecord
from bcfl.market.roles.turn import Turn

MARKET_KEY = "bcfl-market"

_MOST = 1_000  #: entries of a list

Action = Literal["meet", "enter", "contribute", "turn", "leave"]
_Texts = Annotated[list[Text], Field(strict=True, max_length=_MOST)]
_Times = Annotated[list[Count], Field(strict=True, max_length=_MOST)]


class _Record(TypedRecord):
    key = MARKET_KEY
    absent = "Its app is not one of market_app's"


@dataclass(frozen=True, slots=True)
class Order(_Record):
    """Do this, at that market.

    ``store`` and ``folder`` are for simulations, where all nodes are on one machine; a node's
    own configuration goes before them.
    """

    kind: ClassVar[str] = "order"
    absent = "Which strategy does the server run? It should be bcfl.strategies.ModelFusion"
    rpc_url: Text
    chain_id: Int64
    market: Text
    seed: Int64  #: of the development keys of simulations
    store: Text = ""
    folder: Text = ""
    action: Action = "meet"
    task: Count = 0  #: which to enter, to contribute to, to leave

    def to(self, action: Action, task: int = 0) -> Order:
        """The same market, another action."""
        return replace(self, action=action, task=task)


@dataclass(frozen=True, slots=True)
class Introduction(_Record):
    """The reply to ``meet``."""

    kind: ClassVar[str] = "introduction"
    address: Address
    partition: Int64  #: the node's partition-id, or −1: orders nodes in simulations


@dataclass(frozen=True, slots=True)
class Contribution(_Record):
    """The reply to ``contribute``."""

    kind: ClassVar[str] = "contribution"
    submission: Digest


@dataclass(frozen=True, slots=True)
class TurnReply(_Record):
    """The reply to all other orders; lines for a person."""

    kind: ClassVar[str] = "turn"
    actions: _Texts = field(default_factory=list)
    troubles: _Texts = field(default_factory=list)
    wakes: _Times = field(default_factory=list)
    #: chain times at which the node has something to do again

    @classmethod
    def of(cls, *turns: Turn) -> TurnReply:
        """What became of these turns; what is too long for a message is cut."""
        return cls(
            [line[:LONGEST_TEXT] for turn in turns for line in turn.actions][:_MOST],
            [line[:LONGEST_TEXT] for turn in turns for line in turn.troubles][:_MOST],
            [turn.wake for turn in turns if turn.wake is not None],
        )
