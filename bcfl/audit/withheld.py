"""Whose deltas did not reach the reviewers: what ballots and abstentions say, by name.

PROTOCOL, System A, *What a ballot says*. A reviewer's word alone proves nothing: its node may
have failed, or it lies. Where most reviewers have not seen a delta that the server was given,
and that is in the store as it was committed, the server kept it from them: it delivers, and a
delta that most have not seen cannot win. Only a majority of lying reviewers could say so of an
honest server; a majority of lying reviewers decides every round anyway.

Where members propose, a ballot says of a proposal that it holds a delta that is missing. Which one
it is, the other ratings of the same ballot narrow down: whoever rates a proposal had all that it
holds. What a reviewer calls invalid had the digest on chain, so that no server has spoilt it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_

from bcfl.audit.deltas import given_to_server
from bcfl.audit.evidence import Evidence
from bcfl.audit.findings import SERVER, Finding
from bcfl.audit.history import History, Round
from bcfl.audit.models import Models
from bcfl.audit.reported_rounds import Note
from bcfl.audit.signatures import entries_of
from bcfl.consensus.contract.events import Abstained
from bcfl.consensus.spec.domain import Ballot, bits, members_in
from bcfl.core.errors import ProtocolError


def check_withheld(
    history: History, models: Models, evidence: Evidence, note: Note
) -> Iterator[Finding]:
    """Note what each reviewer did not see; find what was kept from most of them."""
    for round_ in history.rounds:
        views = dict(_views(round_, evidence))
        for reviewer, view in views.items():
            if words := view.words(round_):
                note(f"chain round {round_.chain_round}: {round_.name(reviewer)} {words}")
        if round_.outcome is not None:
            yield from _kept_from_most(round_, views, models, evidence, note)


@dataclass(frozen=True, slots=True)
class _View:
    """What one reviewer says that it did not see; sets of members are bit fields.

    It speaks of candidates: of deltas by author, or of proposals by proposer.
    """

    reviewer: int
    holds: Mapping[int, int]  #: by candidate that it may rate: whose deltas that is made of
    missing: int
    invalid: int = 0
    silent: int = 0  #: of which its ballot says nothing
    rated: int = 0
    abstained: bool = False

    @property
    def unseen(self) -> int:
        """The candidates that it could not look at."""
        return self.missing | self.silent

    def lacked(self, candidates: int) -> int:
        """Whose deltas it may have lacked: of these candidates, and of none that it has rated."""
        return self._members_of(candidates) & ~self._members_of(self.rated) & ~(1 << self.reviewer)

    def words(self, round_: Round) -> str:
        what = "proposals" if round_.proposals else "deltas"
        parts = []
        if self.missing and round_.proposals:
            whose = _names(self.missing, round_)
            parts.append(f"could not rate the proposals of {whose}, as {self._why(round_)}")
        elif self.missing:
            parts.append(f"said that {_deltas(self.missing, round_)} never reached it")
        if self.invalid:
            parts.append(f"said that the {what} of {_names(self.invalid, round_)} are no good ones")
        if self.silent:
            parts.append(f"said nothing of the {what} of {_names(self.silent, round_)}")
        if self.abstained:
            parts.append("did not vote, as it missed more than a quarter")
        return "; ".join(parts)

    def _why(self, round_: Round) -> str:
        if not (lacked := self.lacked(self.missing)):
            return "it said; but it has rated others that hold the same deltas"
        one_of = "one of " if lacked.bit_count() > 1 else ""
        return f"{one_of}{_deltas(lacked, round_)} never reached it"

    def _members_of(self, candidates: int) -> int:
        sets = (members for j, members in self.holds.items() if candidates >> j & 1)
        return reduce(or_, sets, 0)


def _views(round_: Round, evidence: Evidence) -> Iterator[tuple[int, _View]]:
    proposes, committed = evidence.terms.proposes, bits(round_.commitments)
    for member, event in sorted(round_.spoken.items()):
        candidates = sorted(round_.rated_by(member, evidence.terms.rule))
        holds = {
            j: round_.proposals[j].members & committed if proposes else 1 << j for j in candidates
        }
        entries = entries_of(event, round_, evidence)
        if isinstance(event, Abstained) and entries is None:  # sent through another contract
            yield member, _View(member, holds, event.missing, abstained=True)
            continue
        try:
            ballot = Ballot.decode(round_.chain_round, entries or b"")
        except ProtocolError:
            continue  # found as a ballot that does not hold
        silent = bits(holds) & ~(ballot.rated | ballot.missing | ballot.invalid)
        said = ballot.missing, ballot.invalid, silent, ballot.rated
        yield member, _View(member, holds, *said, isinstance(event, Abstained))


def _kept_from_most(
    round_: Round, views: Mapping[int, _View], models: Models, evidence: Evidence, note: Note
) -> Iterator[Finding]:
    """Each set of deltas once, with the reviewers who may have lacked one of it."""
    readable = models.readable.get(round_.chain_round, frozenset())
    named: dict[int, tuple[set[int], set[int]]] = {}
    for candidate in sorted(round_.proposals if evidence.terms.proposes else round_.commitments):
        reviewers = {one for one, view in views.items() if candidate in view.holds}
        bit = 1 << candidate
        without = {one for one in reviewers if views[one].unseen & bit and views[one].lacked(bit)}
        # one who says so alone may as well have lost it, be there ever so few others
        if len(without) < 2 or 2 * len(without) <= len(reviewers):
            continue
        lacked = reduce(or_, (views[one].lacked(bit) for one in without))
        before = named.setdefault(lacked, (set(), set()))
        before[0].update(without)
        before[1].update(reviewers)
    for lacked, (without, reviewers) in named.items():
        events = [round_.commitments[member] for member in members_in(lacked)]
        deltas = f"{'one of ' if len(events) > 1 else ''}{_deltas(lacked, round_)}"
        place = f"chain round {round_.chain_round}: {deltas}"
        if not {event.member for event in events} <= readable:
            note(f"{place} did not reach most reviewers, and whether it ever was there is not seen")
        elif not all(given_to_server(event, evidence) for event in events):
            note(f"{place}, committed directly, is there now; whether it was in time is not seen")
        else:
            expected = f"{deltas}, in the store as committed, to be delivered to the reviewers"
            found = f"{len(without)} of {len(reviewers)} who have not seen it: "
            found += _names(bits(without), round_)
            yield Finding("withheld", SERVER, round_.chain_round, expected, found)


def _deltas(members: int, round_: Round) -> str:
    return f"the delta{'s' * (members.bit_count() > 1)} of {_names(members, round_)}"


def _names(members: int, round_: Round) -> str:
    """``member 1 (0x…)``; of several ``members 1 (0x…), 2 (0x…)``."""
    names = [round_.name(member) for member in members_in(members)]
    if len(names) == 1:
        return names[0]
    return "members " + ", ".join(name.removeprefix("member ") for name in names)
