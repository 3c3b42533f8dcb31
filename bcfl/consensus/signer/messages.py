"""Which messages a member signs, and how one is read from what a stranger sent.

Nothing that was sent is signed as it came. Its values are read into the protocol's own types,
the message is built anew by ``bcfl.consensus.spec.messages``, and the two must be equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from bcfl.consensus.spec.domain import Ballot, Commitment, Proposal, TypedDataDomain
from bcfl.consensus.spec.messages import (
    ballot_message,
    commitment_message,
    join_message,
    proposal_message,
    seal_message,
)
from bcfl.core.errors import ProtocolError, SignerRefused
from bcfl.keys.signer_wire import data_of, hex_of

#: A field that contradicts nothing: of a commitment, only another digest is an equivocation.
_WHEN: Final = "timestamp"
#: The seal that no ballot has: members derive the salt of their ballots from its signature.
NO_PROMISE: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class MemberMessage:
    """A message that a member may sign."""

    kind: str  #: the EIP-712 primary type
    full_message: dict[str, Any]

    @property
    def round(self) -> int | None:
        """The round that it is for; None where it is for none."""
        found = self.values.get("round")
        return None if found is None else int(found)

    @property
    def values(self) -> dict[str, Any]:
        """The fields' values."""
        values: dict[str, Any] = self.full_message["message"]
        return values

    @property
    def contract(self) -> str:
        """The contract that it is for; empty where it is for none."""
        return str(self.full_message["domain"].get("verifyingContract", ""))

    @property
    def binds(self) -> bool:
        """Whether a second one for the same round would contradict it."""
        return self.round is not None and self.values.get("seal") != NO_PROMISE


def contradict(values: dict[str, Any], others: dict[str, Any]) -> bool:
    """Whether two messages of one kind for one round say different things.

    A commitment to the same delta may be dated anew: where the chain forgot the opening of a
    round, it opens later, and takes no commitment that is older.
    """
    names = (values.keys() | others.keys()) - {_WHEN}
    return any(values.get(name) != others.get(name) for name in names)


def _commitment(domain: TypedDataDomain, values: dict[str, Any]) -> dict[str, Any]:
    return commitment_message(domain, Commitment(**values))


def _proposal(domain: TypedDataDomain, values: dict[str, Any]) -> dict[str, Any]:
    return proposal_message(domain, Proposal(**values))


def _ballot(domain: TypedDataDomain, values: dict[str, Any]) -> dict[str, Any]:
    return ballot_message(domain, Ballot.decode(values["round"], values["entries"]))


def _seal(domain: TypedDataDomain, values: dict[str, Any]) -> dict[str, Any]:
    return seal_message(domain, **values)


def _join(domain: TypedDataDomain, values: dict[str, Any]) -> dict[str, Any]:
    return join_message(domain.chain_id, **values)


#: Receipts are the coordinator's to sign, and not among them.
KINDS: Final[dict[str, Callable[[TypedDataDomain, dict[str, Any]], dict[str, Any]]]] = {
    "Commitment": _commitment,
    "Proposal": _proposal,
    "Ballot": _ballot,
    "Seal": _seal,
    "Join": _join,
}


def read_message(domain: TypedDataDomain, sent: dict[str, Any]) -> MemberMessage:
    """The message of this task that ``sent`` (bytes in hexadecimal) says.

    Raises
    ------
    SignerRefused
        It is none that a member signs; it is of another chain or contract; or its types or
        values are not the protocol's.
    """
    kind = sent.get("primaryType")
    if not isinstance(kind, str) or kind not in KINDS:
        raise SignerRefused(f"a member signs {', '.join(KINDS)}; found {kind!r:.60}")
    try:
        fields = {field["name"]: field["type"] for field in sent["types"][kind]}
        values = {name: _value(fields[name], value) for name, value in sent["message"].items()}
        message = KINDS[kind](domain, values)
    except (ProtocolError, KeyError, TypeError, AttributeError) as error:
        raise SignerRefused(f"this is no {kind} of the protocol: {error}") from None
    if sent.get("domain") != message["domain"]:
        raise SignerRefused(
            f"expected a {kind} of contract {domain.contract} on chain {domain.chain_id}, which "
            f"this signer is for; found the domain {sent.get('domain')!r:.200}"
        )
    if sent != hex_of(message):
        raise SignerRefused(f"this {kind} has not the fields of the protocol's: same version?")
    return MemberMessage(kind, message)


def _value(kind: object, value: object) -> int | bytes:
    if isinstance(kind, str) and kind.startswith("bytes"):
        return data_of(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**256:
        return value
    raise SignerRefused(f"expected a number for {kind!r:.20}; found {value!r:.60}")
