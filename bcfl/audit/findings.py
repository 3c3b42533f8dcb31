"""What an audit finds: what was expected, what was found, and who is to blame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

Role: TypeAlias = Literal[
    "server", "member", "reviewer", "initiator", "contributor", "verifier",
    "store", "keeper", "chain",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Culprit:
    """Who did it, as far as the evidence reaches and no further.

    =========== ===========================================================================
    server      the coordinator: it alone signs receipts, opens rounds and closes them
    member      the author of a delta, by what it signed
    reviewer    the author of a ballot, by what it signed
    initiator   of a market's task: who launched it
    contributor of a market's task: who submitted a model
    verifier    of a market's task: who reported on a model
    store       whoever keeps the blobs
    keeper      whoever keeps the run's folder
    chain       whoever serves the chain: it says what the contract's code cannot have done
    =========== ===========================================================================
    """

    role: Role
    member: int | None = None  #: index, of members and reviewers
    address: str = ""  #: of those in a market

    def __str__(self) -> str:
        return self.role if self.member is None else f"{self.role} {self.member}"

    def words(self, addresses: Sequence[str] = ()) -> str:
        """Who it is, for people; ``addresses`` are the members' own, by index."""
        if self.address:
            return f"{self.role} {self.address}"
        if self.member is None:
            return _WORDS[self.role]
        known = self.member < len(addresses)
        return f"member {self.member}" + (f" ({addresses[self.member]})" if known else "")


_WORDS: Final = {
    "server": "the server",
    "store": "whoever keeps the blobs",
    "keeper": "whoever kept the folder",
    "chain": "whoever serves the chain",
}
SERVER: Final = Culprit("server")
STORE: Final = Culprit("store")
KEEPER: Final = Culprit("keeper")
CHAIN: Final = Culprit("chain")


def author(member: int) -> Culprit:
    """The member who committed a delta."""
    return Culprit("member", member)


def reviewer(member: int) -> Culprit:
    """The member who cast a ballot."""
    return Culprit("reviewer", member)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as the protocol wants it, and that can be shown to anybody.

    What may have an innocent explanation is no finding but a note.
    """

    kind: str  #: the check that failed, such as ``"model"`` or ``"blob"``
    culprit: Culprit
    round: int | None  #: the contract's; None where it is about the whole run
    expected: str
    found: str
    place: str = ""  #: what it is about, where that is no round: a market's submission

    @property
    def where(self) -> str:
        """What it is about, for people."""
        return self.place or ("run" if self.round is None else f"chain round {self.round}")

    def words(self, addresses: Sequence[str] = ()) -> str:
        """In one line, for people; ``addresses`` are the members' own, by index."""
        found = f"expected {self.expected}; found {self.found}"
        return f"{self.where}, {self.kind}: {self.culprit.words(addresses)}: {found}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "kind": self.kind,
            "culprit": self.culprit.role,
            "member": self.culprit.member,
            "round": self.round,
            "place": self.place,
            "expected": self.expected,
            "found": self.found,
        }
