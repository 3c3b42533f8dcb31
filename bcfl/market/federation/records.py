"""What the server and the nodes of a market say to each other: one ``ConfigRecord`` a message.

Orders go to the nodes, replies come back. Both are parsed once, where a message arrives; what
does not fit raises ``ProtocolError``. Neither models nor reports travel in a message: an order
says when to look at the chain, and a reply what came of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, ClassVar, Literal, Self

from flwr.app import ConfigRecord, RecordDict
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from bcfl.core.errors import AccountError, ProtocolError
from bcfl.keys.accounts import checksummed
from bcfl.market.roles.turn import Turn

__all__ = ["MARKET_KEY", "Action", "Contribution", "Introduction", "Order", "TurnReply"]

MARKET_KEY = "bcfl-market"

_LONGEST = 2_000  #: characters of a text
_MOST = 1_000  #: entries of a list

Action = Literal["meet", "enter", "contribute", "turn", "leave"]
_Text = Annotated[str, Field(strict=True, max_length=_LONGEST)]
_Texts = Annotated[list[_Text], Field(strict=True, max_length=_MOST)]
_Int64 = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)]
_Time = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
_Times = Annotated[list[_Time], Field(strict=True, max_length=_MOST)]
_Digest = Annotated[bytes, Field(strict=True, min_length=32, max_length=32)]
_Address = Annotated[_Text, AfterValidator(checksummed)]


class _Record:
    """A frozen dataclass that travels as a ConfigRecord under ``MARKET_KEY``."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    kind: ClassVar[str]
    absent: ClassVar[str] = "its app is not one of market_app's"

    def content(self) -> RecordDict:
        """A message's content. Empty fields are left out: Flower cannot size them."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]
        values: dict[str, Any] = {k: v for k, v in found.items() if v not in ("", [])}
        return RecordDict({MARKET_KEY: ConfigRecord({"kind": self.kind, **values})})

    @classmethod
    def read(cls, content: RecordDict) -> Self:
        """The record in a message's content.

        Raises
        ------
        ProtocolError
            There is no record, it is of another kind, or a field is not what it should be.
        """
        record = content.config_records.get(MARKET_KEY)
        if record is None:
            raise ProtocolError(cls.absent)
        values = dict(record)
        if (kind := values.pop("kind", None)) != cls.kind:
            raise ProtocolError(f"expected a record of kind {cls.kind!r}; found {kind!r:.40}")
        try:
            found: Self = TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ProtocolError(
                f"{cls.kind}.{where}: {first['msg']}; found {first['input']!r:.40}"
            ) from None
        except AccountError as error:
            raise ProtocolError(f"{cls.kind}: {error}") from None
        return found


@dataclass(frozen=True, slots=True)
class Order(_Record):
    """Do this, at that market.

    ``store`` and ``folder`` are for simulations, where all nodes are on one machine; a node's
    own configuration goes before them.
    """

    kind: ClassVar[str] = "order"
    absent: ClassVar[str] = (
        "expected an order of bcfl.strategies.ModelFusion; found another message: which "
        "strategy does the server run?"
    )

    rpc_url: _Text
    chain_id: _Int64
    market: _Text
    seed: _Int64  #: of the development keys of simulations
    store: _Text = ""
    folder: _Text = ""
    action: Action = "meet"
    task: _Time = 0  #: which to enter, to contribute to, to leave

    def to(self, action: Action, task: int = 0) -> Order:
        """The same market, another action."""
        return replace(self, action=action, task=task)


@dataclass(frozen=True, slots=True)
class Introduction(_Record):
    """The reply to ``meet``."""

    kind: ClassVar[str] = "introduction"
    address: _Address
    partition: _Int64  #: the node's partition-id, or −1: orders nodes in simulations


@dataclass(frozen=True, slots=True)
class Contribution(_Record):
    """The reply to ``contribute``."""

    kind: ClassVar[str] = "contribution"
    submission: _Digest


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
            [line[:_LONGEST] for turn in turns for line in turn.actions][:_MOST],
            [line[:_LONGEST] for turn in turns for line in turn.troubles][:_MOST],
            [turn.wake for turn in turns if turn.wake is not None],
        )
