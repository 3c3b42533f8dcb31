"""One submission, from the contributor's answer to its outcome: whose turn it is, and when.

PROTOCOL, System B, contract events 1 and 2.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from logging import WARNING

from flwr.app import ConfigRecord
from flwr.common.logger import log

from bcfl.chain.chain import Chain
from bcfl.market.contract.ledger import MarketLedger
from bcfl.market.federation.nodes import Federation, MarketOrder, troubles, wakes
from bcfl.market.roles.history import Story, read_history, state_of
from bcfl.market.roles.initiator import Initiator
from bcfl.market.roles.turn import Turn, earliest
from bcfl.market.spec.terms import MarketPhase, Submission

__all__ = ["MarketRound", "named_submission"]

#: What a person sees of a submission's phases.
_NAMES = {
    MarketPhase.DRAW: "draw",
    MarketPhase.GRANT: "grant",
    MarketPhase.SHARE: "share",
    MarketPhase.SEAL: "verify",
    MarketPhase.REVEAL: "report",
    MarketPhase.DISCLOSE: "pay",
}


@dataclass(slots=True)
class MarketRound:
    """Whoever may have something to do is asked to look, until there is an outcome.

    Parameters
    ----------
    chain : Chain
        Is waited for where nobody has anything to do before a deadline.
    ledger : MarketLedger
    initiator : Initiator
    federation : Federation
    order : MarketOrder
    on_phase : callable
        Told the phase's name when it begins.
    """

    chain: Chain
    ledger: MarketLedger
    initiator: Initiator
    federation: Federation
    order: MarketOrder
    on_phase: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=dict)  #: by phase

    def play(self, submission: bytes) -> Story:
        """See a submission through to its outcome; see :func:`named_submission`."""
        while True:
            began = time.monotonic()
            story = read_history(self.ledger).stories[submission]
            if story.outcome is not None:
                return story
            found = state_of(self.ledger, story)
            if found.phase.is_final:
                continue  # since the events were read
            name = self._look(story, found)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began

    def _look(self, story: Story, found: Submission) -> str:
        name = _NAMES[found.phase]
        self.on_phase(name)
        turn = self.initiator.turn()
        people = [story.contributor, *(seat for seat in found.panel if seat is not None)]
        replies = self.federation.order(people, self.order.content("turn"))
        self._warn(turn, replies)
        # whether something was done is the chain's to say: a node might say so for ever
        if state_of(self.ledger, story) == found:
            now = self.ledger.now()
            wake = earliest(turn.wake, min([found.deadline + 1, *wakes(replies)]))
            assert wake is not None
            self.chain.wait_until(max(now, wake))
        return name

    def _warn(self, turn: Turn, replies: Mapping[str, ConfigRecord]) -> None:
        said = {"the initiator": list(turn.troubles)} | troubles(replies)
        said |= {who: [why] for who, why in self.federation.failures.items()}
        for who, lines in said.items():
            for line in lines:
                log(WARNING, "%s: %s", who, line)


def named_submission(
    reply: ConfigRecord, ledger: MarketLedger, contributor: str, task: int
) -> tuple[bytes, str]:
    """The submission that a contributor's node names, or why it is none of its own to this task."""
    name = str(reply.get("submission", ""))
    try:
        submission = bytes.fromhex(name)
    except ValueError:
        submission = b""
    story = read_history(ledger).stories.get(submission)
    if story is None or (story.contributor, story.task) != (contributor, task):
        return b"", f"it named a submission that is not its own to this task: {name!r:.70}"
    return submission, ""
