"""What the strategy and the mod say to each other: one ``ConfigRecord`` in each message.

Orders go from server to client, replies back. A message without such a record is none of
ours and passes through the mod untouched.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import ClassVar, TypeVar

from flwr.app import ConfigRecord, RecordDict

from bcfl.core.errors import ProtocolError

__all__ = [
    "RECORD_KEY",
    "EnrolOrder",
    "EnrolReply",
    "JoinOrder",
    "JoinReply",
    "Order",
    "ReviewOrder",
    "ReviewReply",
    "RoundOrder",
    "TrainReply",
    "order_in",
]

RECORD_KEY = "bcfl"
_Reply = TypeVar("_Reply", bound="_Record")
_EMPTY: tuple[str, bytes, list[int]] = ("", b"", [])


class _Record:
    """A frozen dataclass that travels as a ConfigRecord under ``RECORD_KEY``."""

    kind: ClassVar[str]

    def to_record(self) -> ConfigRecord:
        """The record, its kind included. What is empty is left out: Flower cannot size it."""
        found = {name: getattr(self, name) for name in _kinds(type(self))}
        values = {name: value for name, value in found.items() if value not in _EMPTY}
        return ConfigRecord({"kind": self.kind, **values})

    @classmethod
    def read(cls: type[_Reply], content: RecordDict) -> _Reply:
        """The record in ``content``.

        Raises
        ------
        ProtocolError
            There is none, it is of another kind, or its fields are not this kind's.
        """
        record = content.config_records.get(RECORD_KEY)
        if record is None:
            raise ProtocolError(
                f"expected a {cls.kind!r} record; found none. Does the client app have "
                "mods=[peer_consensus_mod]?"
            )
        values = dict(record)
        if (kind := values.pop("kind", None)) != cls.kind:
            raise ProtocolError(f"expected a {cls.kind!r} record; found {kind!r}")
        wanted = _kinds(cls)
        left_out = {name: _empty(wanted[name]) for name in wanted.keys() - values.keys()}
        values |= {name: value for name, value in left_out.items() if value is not None}
        found = {name: _kind_of(value) for name, value in values.items()}
        if found.keys() != wanted.keys() or not all(
            _fits(found[name], wanted[name]) for name in wanted
        ):
            raise ProtocolError(f"expected a {cls.kind!r} record with {wanted}; found {found}")
        return cls(**values)


@dataclass(frozen=True, slots=True)
class JoinOrder(_Record):
    """Who are you? Sign this."""

    kind: ClassVar[str] = "join"
    challenge: bytes
    chain_id: int
    seed: int


@dataclass(frozen=True, slots=True)
class JoinReply(_Record):
    """An address, and the proof that its key is here."""

    kind: ClassVar[str] = "joined"
    address: str
    signature: bytes
    partition: int  #: the node's partition-id, or −1: orders members in simulations
    fetches: bool = False  #: it has a store of its own: send it locators, not blobs


@dataclass(frozen=True, slots=True)
class RoundOrder(_Record):
    """Train, commit. Where the chain is, which contract, round and rules."""

    kind: ClassVar[str] = "round"
    rpc_url: str
    contract: str
    round: int
    rules: str  #: ``Rules.to_json`` as JSON
    seed: int  #: of the development keys of simulations
    direct: bool  #: send your own transactions
    publish: bool = False  #: put your delta into your store, if you have one; send the locator
    readers: list[bytes] = field(default_factory=list)  #: seal it to these keys; none: do not


@dataclass(frozen=True, slots=True)
class TrainReply(_Record):
    """A signed commitment, and the delta itself."""

    kind: ClassVar[str] = "trained"
    digest: bytes
    timestamp: int
    signature: bytes
    transaction: str  #: of a direct commitment, else empty
    blob: bytes  #: sealed where readers were named; empty where it was published
    locator: str = ""  #: leads to a published blob; may be empty even so


@dataclass(frozen=True, slots=True)
class ReviewOrder(_Record):
    """Check and rate these. The lists run in parallel, one entry a commitment."""

    kind: ClassVar[str] = "review"
    rpc_url: str
    contract: str
    round: int
    rules: str
    seed: int
    direct: bool
    members: list[int]
    transactions: list[str]  #: numbers to look up on the chain
    blobs: list[bytes]  #: empty where they are to be fetched; sealed where ``sealed``
    reveal: bool  #: sealed ballots only: show now what was sealed
    receipt: bytes  #: the coordinator's word that it has this member's commitment; or empty
    locators: list[str] = field(default_factory=list)  #: lead to blobs that are to be fetched
    sealed: bool = False  #: the blobs are sealed to the members: open them with your key


@dataclass(frozen=True, slots=True)
class ReviewReply(_Record):
    """A signed ballot, or its seal, and why some members are not on it."""

    kind: ClassVar[str] = "reviewed"
    entries: bytes  #: ``Ballot.encode``; empty while sealed
    salt: bytes  #: of a revealed ballot, else empty
    seal: bytes  #: keccak256(entries ‖ salt) while sealed, else empty
    signature: bytes  #: of the open ballot, or of the seal; empty when revealing
    rejected: list[int]  #: members whose delta failed a check
    reasons: list[str]  #: why, in the same order
    transaction: str


@dataclass(frozen=True, slots=True)
class EnrolOrder(_Record):
    """Become a member of this task, by your own deposit, if you want to."""

    kind: ClassVar[str] = "enrol"
    rpc_url: str
    contract: str
    rules: str
    seed: int


@dataclass(frozen=True, slots=True)
class EnrolReply(_Record):
    """Whether the node is a member now."""

    kind: ClassVar[str] = "enrolled"
    transaction: str  #: that deposited the stake; empty where there was none
    reason: str  #: why it did not join; empty where it is a member


Order = JoinOrder | EnrolOrder | RoundOrder | ReviewOrder


def order_in(content: RecordDict) -> Order | None:
    """The order that a message carries, or None where it is not one of ours."""
    record = content.config_records.get(RECORD_KEY)
    if record is None:
        return None
    for kind in (JoinOrder, EnrolOrder, RoundOrder, ReviewOrder):
        if record.get("kind") == kind.kind:
            return kind.read(content)
    raise ProtocolError(f"expected an order; found kind {record.get('kind')!r}")


def _kinds(record: type[_Record]) -> dict[str, str]:
    return {field.name: str(field.type) for field in fields(record)}  # type: ignore[arg-type]


def _empty(wanted: str) -> str | bytes | list[int] | None:
    """What a field of this kind is where it was left out; None where it cannot be."""
    return next((empty for empty in _EMPTY if _fits(_kind_of(empty), wanted)), None)


def _kind_of(value: object) -> str:
    if isinstance(value, list):
        return f"list[{type(value[0]).__name__}]" if value else "list"
    return type(value).__name__


def _fits(found: str, wanted: str) -> bool:
    return found == wanted or (found == "list" and wanted.startswith("list["))
