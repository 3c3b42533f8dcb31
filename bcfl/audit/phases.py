"""In which phase a round was at a time: the contract's rule, once more.

PROTOCOL, System A; ``contracts/PeerConsensus.vy``, ``_phase``. The clock and the sets decide;
no transaction is needed to change the phase.
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

    def deadlines(self, terms: Terms) -> tuple[int, int, int]:
        """The last seconds for commitments, seals and ballots."""
        commit = self.opened_at + terms.commit_window_s
        seal = commit + terms.ballot_window_s if terms.sealed else commit
        return commit, seal, seal + terms.ballot_window_s


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
    if terms.sealed:
        everybody = progress.sealed == voters
        if not everybody and timestamp <= for_seals and voters.bit_count() >= terms.quorum:
            return Phase.SEAL
        voters = progress.sealed
    if voters.bit_count() < terms.quorum or timestamp > for_ballots:
        return Phase.SELECT
    # The contract asks who is missing only once somebody has voted: without a ballot, all are.
    return Phase.BALLOT if voters & ~progress.voted else Phase.SELECT
