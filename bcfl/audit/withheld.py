"""Whose deltas did not reach the reviewers: what ballots and abstentions say, by name.

PROTOCOL, System A, *What a ballot says*. A reviewer's word alone proves nothing: its node may
have failed, or it lies. Where most reviewers have not seen a delta that the server was given,
and that is in the store as it was committed, the server kept it from them: it delivers, and a
delta that most have not seen cannot win. Only a majority of lying reviewers could say so of an
honest server; a majority of lying reviewers decides every round anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

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
        if round_.outcome is not None and not evidence.terms.proposes:
            yield from _kept_from_most(round_, views, models, evidence, note)


@dataclass(frozen=True, slots=True)
class _View:
    """What one reviewer says that it did not see; sets of members are bit fields."""

    missing: int
    invalid: int
    silent: int  #: of whom its ballot says nothing
    abstained: bool

    @property
    def unseen(self) -> int:
        return self.missing | self.invalid | self.silent

    def words(self, round_: Round) -> str:
        parts = []
        for members, what in (
            (self.missing, "said that the deltas of {} never reached it"),
            (self.invalid, "said that what it got of {} is not what they committed"),
            (self.silent, "said nothing of the deltas of {}"),
        ):
            if members:
                parts.append(what.format(_names(members, round_)))
        if self.abstained:
            parts.append("did not vote, as it missed more than a quarter")
        return "; ".join(parts)


def _views(round_: Round, evidence: Evidence) -> Iterator[tuple[int, _View]]:
    for member, event in sorted(round_.spoken.items()):
        others = bits(round_.rated_by(member, evidence.terms.rule))
        told = event.missing if isinstance(event, Abstained) else 0
        view = _View(told, 0, 0, isinstance(event, Abstained))
        entries = entries_of(event, round_, evidence)
        if entries is not None:
            try:
                ballot = Ballot.decode(round_.chain_round, entries)
            except ProtocolError:
                continue  # found as a ballot that does not hold
            silent = others & ~(ballot.rated | ballot.missing | ballot.invalid)
            view = _View(ballot.missing, ballot.invalid, silent, view.abstained)
        yield member, view


def _kept_from_most(
    round_: Round, views: Mapping[int, _View], models: Models, evidence: Evidence, note: Note
) -> Iterator[Finding]:
    readable = models.readable.get(round_.chain_round, frozenset())
    for member, event in sorted(round_.commitments.items()):
        reviewers = views.keys() - {member}
        without = {reviewer for reviewer in reviewers if views[reviewer].unseen >> member & 1}
        # one who says so alone may as well have lost it, be there ever so few others
        if len(without) < 2 or 2 * len(without) <= len(reviewers):
            continue
        place = f"chain round {round_.chain_round}: the delta of {round_.name(member)}"
        if member not in readable:
            note(f"{place} did not reach most reviewers, and whether it ever was there is not seen")
        elif not given_to_server(event, evidence):
            note(f"{place}, committed directly, is there now; whether it was in time is not seen")
        else:
            expected = (
                f"the delta of {round_.name(member)}, which is in the store as it was committed, "
                "to be delivered to the reviewers"
            )
            found = f"{len(without)} of {len(reviewers)} who have not seen it: "
            found += _names(bits(without), round_)
            yield Finding("withheld", SERVER, round_.chain_round, expected, found)


def _names(members: int, round_: Round) -> str:
    """``member 1 (0x…)``; of several ``members 1 (0x…), 2 (0x…)``."""
    names = [round_.name(member) for member in members_in(members)]
    if len(names) == 1:
        return names[0]
    return "members " + ", ".join(name.removeprefix("member ") for name in names)
