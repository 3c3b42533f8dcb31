"""One of Flower's server rounds: a round of the contract, and another while that one is void."""

from __future__ import annotations

from collections.abc import Callable
from logging import WARNING

from flwr.app import Message
from flwr.common.logger import log

from bcfl.consensus.server.conversation import Conversation
from bcfl.consensus.server.coordinator import Coordinator
from bcfl.consensus.server.round import Configs, ConsensusRound
from bcfl.consensus.server.round_log import RoundLog
from bcfl.consensus.spec.record import RoundRecord
from bcfl.core.errors import NobodyLeft, ProtocolError, RoundVoid
from bcfl.core.model import Arrays

__all__ = ["RepeatedRound"]


class RepeatedRound:
    """Plays a round until it is closed, or the attempts are used up.

    Parameters
    ----------
    coordinator : Coordinator
    conversation : Conversation
    configs : Configs
    number : int
        Flower's server round.
    arrays : mapping of str to ndarray
        θ_g.
    combine : callable
        Gives the next θ_g once the winners stand.
    sample : callable
        Gives the members that are asked to train, by index.
    on_phase, on_round : callable
        Told (round, phase) when a phase begins, and the record of every attempt.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        conversation: Conversation,
        configs: Configs,
        number: int,
        arrays: Arrays,
        *,
        combine: Callable[[Arrays], Arrays],
        sample: Callable[[int], list[int]],
        on_phase: Callable[[int, str], None],
        on_round: Callable[[RoundRecord], None],
    ) -> None:
        self._coordinator = coordinator
        self._conversation = conversation
        self._configs = configs
        self._number = number
        self._arrays = arrays
        self._combine = combine
        self._sample = sample
        self._on_phase = on_phase
        self._on_round = on_round

    def open(self) -> list[Message]:
        """Begin an attempt; the messages that ask the sampled members to train (S1, S2)."""
        self._log = RoundLog(self._number, self._on_phase)
        self._round = ConsensusRound(
            self._coordinator,
            self._conversation,
            self._log,
            self._configs,
            self._arrays,
            self._combine,
        )
        return self._round.open(self._sample(self._number))

    def finish(self, replies: list[Message], most: int) -> Arrays:
        """Everything after training (S3, S4), in ``most`` attempts: θ_g of the next round.

        Raises
        ------
        NobodyLeft, RoundVoid
            All of them came to nothing.
        """
        for left in reversed(range(most)):
            arrays = self._round.finish(replies)
            record = self._log.record(self._coordinator)
            self._on_round(record)
            if arrays is not None:
                return arrays
            if left:
                log(WARNING, "round %s is void; once more: %s", self._number, record.left_out)
                replies = self._conversation.send(self.open())
        raise self._came_to_nothing(record, most)

    def _came_to_nothing(self, record: RoundRecord, attempts: int) -> ProtocolError:
        tries = f"round {self._number} came to nothing {attempts} times"
        if not record.committed:
            return NobodyLeft(f"{tries}: nobody committed: {record.left_out}")
        return RoundVoid(
            f"{tries}: expected {self._coordinator.rules.quorum} commitments and ballots; found "
            f"{len(record.committed)} and {len(record.voted)}: {record.left_out}"
        )
