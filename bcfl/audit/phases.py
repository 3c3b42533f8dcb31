"""In which phase a round was at a time: the contract's rule, once more.

PROTOCOL, System A; ``_phase`` in ``contracts/peer_round.vy`` and ``proposal_round.vy``. The clock
and the sets decide; no transaction is needed to change the phase.
"""

from __future__ import annotations

from dataclasses import dataclass

from bcfl.audit.evidence import Terms
from bcfl.consensus.spec.domain import Phase
from bcfl.consensus.spec.rules import LEAST_WINDOW_S


@dataclass(slots=True)
class Progress:
    """How far the round that is open has come; sets of members are bit fields."""

    opened_at: int  #: seconds, chain time
    expected: int
    committed: int = 0
    sealed: int = 0
    voted: int = 0  #: or abstained
    everybody: bool = False  #: all members have committed, not only those who were expected
    selected: bool = False
    ended: bool = False  #: closed, or void
    proposed: int = 0

    def deadlines(self, terms: Terms) -> tuple[int, int, int]:
        """The last seconds for commitments, seals and ballots."""
        commit = self.opened_at + terms.commit_window_s
        before = commit + terms.ballot_window_s if terms.proposes else commit
        seal = before + terms.ballot_window_s if terms.sealed else before
        return commit, seal, seal + terms.ballot_window_s

    def proposal_deadline(self, terms: Terms) -> int:
        """The last second for proposals."""
        return self.opened_at + terms.commit_window_s + terms.ballot_window_s


def phase_at(progress: Progress | None, timestamp: int, terms: Terms) -> Phase:
    """The phase that the contract is in for a transaction mined at ``timestamp``.

    Parameters
    ----------
    progress : Progress or None
        As it was before that transaction; None before the first round.
    """
    if progress is None or progress.ended:
        return Phase.IDLE
    if progress.selected:
        return Phase.SELECTED
    for_commitments, for_seals, for_ballots = progress.deadlines(terms)
    if not progress.expected & ~progress.committed:
        for_commitments = progress.opened_at + LEAST_WINDOW_S
    if not progress.everybody and timestamp <= for_commitments:
        return Phase.COMMIT
    voters = progress.committed
    if terms.proposes:
        if voters.bit_count() < terms.quorum:
            return Phase.SELECT
        everybody = progress.proposed == voters
        if not everybody and timestamp <= progress.proposal_deadline(terms):
            return Phase.PROPOSE
        proposals = progress.proposed.bit_count()
        if proposals < terms.quorum or 2 * proposals <= voters.bit_count():
            return Phase.SELECT
    if terms.sealed:
        everybody = progress.sealed == voters
        if not everybody and timestamp <= for_seals and voters.bit_count() >= terms.quorum:
            return Phase.SEAL
        voters = progress.sealed
    if voters.bit_count() < terms.quorum or timestamp > for_ballots:
        return Phase.SELECT
    # The contract asks who is missing only once somebody has voted: without a ballot, all are.
    return Phase.BALLOT if voters & ~progress.voted else Phase.SELECT
