"""What the strategy and the mod say to each other: one ``ConfigRecord`` in each message.

Orders go from server to client, replies back. A message without such a record is none of
ours and passes through the mod untouched.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from flwr.app import RecordDict
from pydantic import AfterValidator, Field

from bcfl.consensus.spec.domain import DIGEST_BYTES, MAX_MEMBERS, SIGNATURE_BYTES
from bcfl.core.errors import ProtocolError
from bcfl.flower.record import Address, Count, Digest, Int64, Text, TypedRecord, config_in

RECORD_KEY = "bcfl"

LONGEST_REASON = 500  #: characters
_MOST_ENTRIES_BYTES = 5 * MAX_MEMBERS + 32
#: Of one delta as it travels: a protobuf message ends at 2 GiB, and has some more in it.
MOST_BLOB_BYTES = 2**31 - 2**20


def _sized(*sizes: int) -> AfterValidator:
    def expect(value: bytes) -> bytes:
        if len(value) not in sizes:
            raise ValueError(f"expected {' or '.join(map(str, sizes))} bytes, not {len(value)}")
        return value

    return AfterValidator(expect)


_Reason = Annotated[str, Field(strict=True, max_length=LONGEST_REASON)]
_Transaction = Annotated[str, Field(strict=True, pattern=r"^(0x[0-9a-fA-F]{64})?$")]
_Flag = Annotated[bool, Field(strict=True)]
_Partition = Annotated[int, Field(strict=True, ge=-1, lt=2**31)]
_Member = Annotated[int, Field(strict=True, ge=0, lt=MAX_MEMBERS)]
_Blob = Annotated[bytes, Field(strict=True, max_length=MOST_BLOB_BYTES)]
_Entries = Annotated[bytes, Field(strict=True, max_length=_MOST_ENTRIES_BYTES)]
_Key = Annotated[bytes, Field(strict=True, min_length=33, max_length=65)]
_Word = Annotated[bytes, Field(strict=True), _sized(0, DIGEST_BYTES)]
_Set = Annotated[bytes, Field(strict=True), _sized(MAX_MEMBERS // 8)]
_Signed = Annotated[bytes, Field(strict=True), _sized(SIGNATURE_BYTES)]
_Signature = Annotated[bytes, Field(strict=True), _sized(0, SIGNATURE_BYTES)]
_Each = Field(strict=True, max_length=MAX_MEMBERS)
_Members = Annotated[list[_Member], _Each]
_Transactions = Annotated[list[_Transaction], _Each]
_Texts = Annotated[list[Text], _Each]
_Reasons = Annotated[list[_Reason], _Each]
_Blobs = Annotated[list[_Blob], _Each]
_Keys = Annotated[list[_Key], Field(strict=True, max_length=MAX_MEMBERS + 1)]


class _Record(TypedRecord):
    key = RECORD_KEY
    absent = "Does the client app have mods=[peer_consensus_mod]?"


@dataclass(frozen=True, slots=True)
class JoinOrder(_Record):
    """Who are you? Sign this."""

    kind: ClassVar[str] = "join"
    challenge: Digest
    chain_id: Count
    seed: Int64
    task: _Word = b""  #: drawn for a task that begins; empty where one is gone on with


@dataclass(frozen=True, slots=True)
class JoinReply(_Record):
    """An address, and the proof that its key is here."""

    kind: ClassVar[str] = "joined"
    address: Address
    signature: _Signed
    partition: _Partition  #: the node's partition-id, or −1: orders members in simulations
    fetches: _Flag = False  #: it has a store of its own: send it locators, not blobs


@dataclass(frozen=True, slots=True)
class RoundOrder(_Record):
    """Train, commit. Where the chain is, which contract, round and rules."""

    kind: ClassVar[str] = "round"
    rpc_url: Text
    contract: Text
    round: Count
    rules: Text  #: ``Rules.to_json`` as JSON
    seed: Int64  #: of the development keys of simulations
    direct: _Flag  #: send your own transactions
    publish: _Flag = False  #: put your delta into your store, if you have one; send the locator
    readers: _Keys = field(default_factory=list)  #: seal it to these keys; none: do not
    receipt: _Signature = b""  #: for this member's ballot of round ``receipt_round``; or empty
    receipt_round: Count = 0
    block: Count = 0  #: read the chain at or after this block,
    block_hash: Text = ""  #: which has this hash, 0x…; empty: as it is
    off_chain: _Blob = b""  #: what was signed and is not on the chain: see ``OffChain``


@dataclass(frozen=True, slots=True)
class TrainReply(_Record):
    """A signed commitment, and the delta itself."""

    kind: ClassVar[str] = "trained"
    digest: Digest
    timestamp: Count
    signature: _Signed
    transaction: _Transaction = ""  #: of a direct commitment, else empty
    blob: _Blob = b""  #: sealed where readers were named; empty where it was published
    locator: Text = ""  #: leads to a published blob; may be empty even so


@dataclass(frozen=True, slots=True)
class ReviewOrder(_Record):
    """Check and rate these. The lists run in parallel, one entry a commitment.

    They only deliver: who has committed, and whether sealing has ended, the chain says.
    """

    kind: ClassVar[str] = "review"
    apart: ClassVar[str] = "blobs"
    rpc_url: Text
    contract: Text
    round: Count
    rules: Text
    seed: Int64
    direct: _Flag
    members: _Members = field(default_factory=list)
    transactions: _Transactions = field(default_factory=list)  #: to look up on the chain
    blobs: _Blobs = field(default_factory=list)
    #: empty where they are to be fetched; sealed where ``sealed``
    receipt: _Signature = b""  #: the coordinator has this member's commitment; or empty
    seal_receipt: _Signature = b""  #: it has the seal of this member's ballot; or empty
    proposal_receipt: _Signature = b""  #: it has this member's proposal; or empty
    reference: _Blob = b""  #: the reference set of the rules, where they have one
    locators: _Texts = field(default_factory=list)  #: lead to blobs that are to be fetched
    sealed: _Flag = False  #: the blobs are sealed to the members: open them with your key
    opening_block: Count = 0  #: where the round's events begin; the member checks that
    block: Count = 0  #: read the chain at or after this block,
    block_hash: Text = ""  #: which has this hash, 0x…; empty: as it is
    off_chain: _Blob = b""  #: what was signed and is not on the chain: see ``OffChain``


@dataclass(frozen=True, slots=True)
class ProposalReply(_Record):
    """A signed proposal: the reply to a review that comes before ballots are taken."""

    kind: ClassVar[str] = "proposed"
    members: _Set  #: ``Proposal.encode``
    signature: _Signed
    transaction: _Transaction = ""


@dataclass(frozen=True, slots=True)
class ReviewReply(_Record):
    """A signed ballot, or its seal, and why some members are not rated on it."""

    kind: ClassVar[str] = "reviewed"
    entries: _Entries = b""  #: ``Ballot.encode``; empty while sealed
    salt: _Word = b""  #: of a revealed ballot, else empty
    seal: _Word = b""  #: keccak256(entries ‖ salt) while sealed, else empty
    signature: _Signature = b""  #: of the open ballot, or of the seal; empty when revealing
    rejected: _Members = field(default_factory=list)  #: whose delta is missing or invalid
    reasons: _Reasons = field(default_factory=list)  #: why, in the same order
    transaction: _Transaction = ""


@dataclass(frozen=True, slots=True)
class ReceiptOrder(_Record):
    """The coordinator's word that it has the ballot of a round after which none follows."""

    kind: ClassVar[str] = "receipt"
    contract: Text
    round: Count
    receipt: _Signed


@dataclass(frozen=True, slots=True)
class Noted(_Record):
    """The reply to a receipt."""

    kind: ClassVar[str] = "noted"


@dataclass(frozen=True, slots=True)
class EnrolOrder(_Record):
    """Become a member of this task, by your own deposit, if you want to."""

    kind: ClassVar[str] = "enrol"
    rpc_url: Text
    contract: Text
    rules: Text
    seed: Int64
    block: Count = 0  #: read the chain at or after this block,
    block_hash: Text = ""  #: which has this hash, 0x…; empty: as it is


@dataclass(frozen=True, slots=True)
class EnrolReply(_Record):
    """Whether the node is a member now."""

    kind: ClassVar[str] = "enrolled"
    transaction: _Transaction = ""  #: that deposited the stake; empty where there was none
    reason: _Reason = ""  #: why it did not join; empty where it is a member


Order = JoinOrder | EnrolOrder | RoundOrder | ReviewOrder | ReceiptOrder


def apps_own(content: RecordDict) -> RecordDict:
    """A message's records but for ours."""
    return RecordDict({k: v for k, v in content.items() if not k.startswith(RECORD_KEY)})


def order_in(content: RecordDict) -> Order | None:
    """The order that a message carries, or None where it is not one of ours."""
    record = config_in(content, RECORD_KEY)
    if record is None:
        return None
    for kind in (JoinOrder, EnrolOrder, RoundOrder, ReviewOrder, ReceiptOrder):
        if record.get("kind") == kind.kind:
            return kind.read(content)
    raise ProtocolError(f"expected an order; found kind {record.get('kind')!r:.40}")
