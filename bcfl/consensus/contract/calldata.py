"""What was sent to the contract: signatures and seals stand there, not in its events.

An event says that the contract accepted something; the transaction that it came from says who
signed what. Whoever does not want to take the contract's word decodes the one beside the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import collapse_if_tuple

from bcfl.chain.calldata import Selectors, Sent, decode_input, read_sent, selectors_of
from bcfl.chain.connection import Connection
from bcfl.consensus.contract.batches import ballots_in, commitments_in
from bcfl.consensus.contract.words import CONTRACTS
from bcfl.consensus.spec.rules import Rule
from bcfl.consensus.spec.settlement import Record
from bcfl.contracts import artifact
from bcfl.keys.accounts import checksummed

_LOW_255_BITS: Final = 2**255 - 1
#: The contract of a task that is settled optimistically.
SETTLEMENT: Final = "PeerSettlement"


@dataclass(frozen=True, slots=True)
class SentCommitment:
    """A commitment as it was sent. A direct one has no signature: its sender is its author."""

    member: int | None  #: None: the sender
    digest: bytes
    timestamp: int
    signature: bytes  #: r ‖ s ‖ v; empty where it was sent directly
    base: bytes = b""  #: only in a proof of equivocation; else the round's


@dataclass(frozen=True, slots=True)
class SentProposal:
    """A proposal as it was sent. A direct one has no signature."""

    member: int | None
    members: int  #: bit field
    signature: bytes


@dataclass(frozen=True, slots=True)
class SentSeal:
    """The hash of a ballot as it was sent."""

    member: int | None
    seal: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class SentBallot:
    """A ballot as it was sent: signed, or opening a seal."""

    member: int | None
    entries: bytes
    signature: bytes  #: meaningless where ballots are sealed
    salt: bytes  #: meaningless where they are open


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the contract was deployed with: the arguments of its constructor."""

    members: tuple[str, ...]  #: checksummed
    genesis: bytes
    rules: bytes
    kappa_ppm: int
    quorum: int
    commit_window_s: int
    ballot_window_s: int
    sealed: bool
    stake: int
    rule: Rule = "borda"  #: whose contract it is


@dataclass(frozen=True, slots=True)
class Call:
    """One transaction, as far as it was a call of the contract's.

    A transaction that reached the contract through another one has no ``function``.
    """

    sender: str  #: checksummed
    function: str = ""
    round: int = 0
    commitments: tuple[SentCommitment, ...] = ()
    proposals: tuple[SentProposal, ...] = ()
    seals: tuple[SentSeal, ...] = ()
    ballots: tuple[SentBallot, ...] = ()
    deployment: Deployment | None = None
    record: Record | None = None  #: the round that is challenged


class PeerCalldata:
    """The transactions of one task's contract, decoded, by number.

    Parameters
    ----------
    connection : Connection
    contract : str
        Checksummed address.
    """

    def __init__(self, connection: Connection, contract: str) -> None:
        self._connection = connection
        self._contract = contract

    def calls(self, transactions: Sequence[str]) -> dict[str, Call | None]:
        """The calls in these, by number, in few requests; None where the chain has none.

        Raises
        ------
        LedgerError
            They cannot be read.
        """
        sent = read_sent(self._connection, transactions)
        return {number: each if each is None else self._read(each) for number, each in sent.items()}

    def _read(self, sent: Sent) -> Call:
        if not sent.to:
            return decode_deployment(sent.sender, sent.data)
        if sent.to.lower() != self._contract.lower():
            return Call(sent.sender)
        return decode_call(sent.sender, sent.data)


def decode_call(sender: str, data: bytes) -> Call:
    """Decode a call of the contract; one that is none has no ``function``."""
    name, arguments = decode_input(_selectors(), data)
    read = _READERS.get(name)
    try:
        return Call(sender, name) if read is None else read(sender, name, *arguments)
    except ValueError:  # a batch that no contract takes
        return Call(sender)


def decode_deployment(sender: str, data: bytes) -> Call:
    """Decode a deployment of the contract; of other code than the shipped one it says nothing."""
    for name in (*CONTRACTS.values(), SETTLEMENT):
        compiled = artifact(name)
        if not data.startswith(compiled.bytecode):
            continue
        (constructor,) = (entry for entry in compiled.abi if entry["type"] == "constructor")
        types = [collapse_if_tuple(argument) for argument in constructor["inputs"]]
        try:
            members, *terms = decode(types, data[len(compiled.bytecode) :])
        except (DecodingError, ValueError, OverflowError):
            break
        accounts = tuple(checksummed(member) for member in members)
        if name == SETTLEMENT:  # what follows the windows is about challenges
            deployment = Deployment(accounts, *(*terms[:6], False, 0))
        else:
            rule = next(rule for rule, contract in CONTRACTS.items() if contract == name)
            deployment = replace(Deployment(accounts, *terms), rule=rule)
        return Call(sender, "__init__", deployment=deployment)
    return Call(sender)


def _commit(
    sender: str, name: str, round_: int, batch: bytes, signatures: Sequence[tuple[int, int]]
) -> Call:
    sent = tuple(
        SentCommitment(member, digest, timestamp, expanded(r, vs))
        for (member, timestamp, digest), (r, vs) in zip(
            commitments_in(batch), signatures, strict=True
        )
    )
    return Call(sender, name, round_, commitments=sent)


def _commit_direct(sender: str, name: str, round_: int, digest: bytes, timestamp: int) -> Call:
    return Call(sender, name, round_, commitments=(SentCommitment(None, digest, timestamp, b""),))


def _propose(sender: str, name: str, round_: int, batch: Sequence[Any]) -> Call:
    sent = tuple(SentProposal(member, members, expanded(r, vs)) for member, members, r, vs in batch)
    return Call(sender, name, round_, proposals=sent)


def _propose_direct(sender: str, name: str, round_: int, members: int) -> Call:
    return Call(sender, name, round_, proposals=(SentProposal(None, members, b""),))


def _seal(sender: str, name: str, round_: int, batch: Sequence[Any]) -> Call:
    sent = tuple(SentSeal(member, seal, expanded(r, vs)) for member, seal, r, vs in batch)
    return Call(sender, name, round_, seals=sent)


def _seal_direct(sender: str, name: str, round_: int, seal: bytes) -> Call:
    return Call(sender, name, round_, seals=(SentSeal(None, seal, b""),))


def _cast(
    sender: str, name: str, round_: int, batch: bytes, proofs: Sequence[tuple[int, int]]
) -> Call:
    sent = tuple(
        _ballot(member, word, vs, entries)
        for (member, entries), (word, vs) in zip(ballots_in(batch), proofs, strict=True)
    )
    return Call(sender, name, round_, ballots=sent)


def _cast_direct(sender: str, name: str, round_: int, entries: bytes, salt: bytes) -> Call:
    return Call(sender, name, round_, ballots=(SentBallot(None, entries, b"", salt),))


def _prove(sender: str, name: str, member: int, round_: int, *claims: Sequence[Any]) -> Call:
    sent = tuple(
        SentCommitment(member, digest, timestamp, expanded(r, vs), base)
        for base, digest, timestamp, r, vs in claims
    )
    return Call(sender, name, round_, commitments=sent)


def _show_commitment(sender: str, name: str, round_: int, one: Sequence[Any]) -> Call:
    member, timestamp, digest, r, vs = one
    sent = SentCommitment(member, digest, timestamp, expanded(r, vs))
    return Call(sender, name, round_, commitments=(sent,))


def _show_ballot(sender: str, name: str, round_: int, *one: Any) -> Call:
    return Call(sender, name, round_, ballots=(_ballot(*one),))


def _ballot(member: int, word: int, vs: int, entries: bytes) -> SentBallot:
    return SentBallot(member, entries, expanded(word, vs), word.to_bytes(32, "big"))


def _challenge(sender: str, name: str, record: Sequence[Any]) -> Call:
    found = Record(*record)
    return Call(sender, name, found.round, record=found)


_READERS: Final[Mapping[str, Callable[..., Call]]] = {
    "commit": _commit,
    "commit_direct": _commit_direct,
    "propose": _propose,
    "propose_direct": _propose_direct,
    "seal": _seal,
    "seal_direct": _seal_direct,
    "cast_ballots": _cast,
    "cast_ballot_direct": _cast_direct,
    "prove_equivocation": _prove,
    "show_commitment": _show_commitment,
    "show_ballot": _show_ballot,
    "challenge": _challenge,
}


@cache
def _selectors() -> Selectors:
    return selectors_of(*map(artifact, (*CONTRACTS.values(), SETTLEMENT)))


def expanded(r: int, vs: int) -> bytes:
    """The 65 bytes r ‖ s ‖ v of the two words of EIP-2098."""
    s, v = vs & _LOW_255_BITS, 27 + (vs >> 255)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v])
