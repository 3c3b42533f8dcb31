"""Grids around Flower's own: one that can be stopped, one that keeps the clients in order."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Event

from flwr.app import Message
from flwr.serverapp import Grid

from bcfl.core.errors import EngineFailed, NobodyLeft
from bcfl.experiment.clients.settings import SENDER_KEY
from bcfl.flower.grid_around import GridAround

_LOOK_AGAIN_S = 0.05


class StoppableGrid(GridAround):
    """A grid that stops waiting when its engine is gone.

    Flower's waits for replies until the timeout, an hour or so, in a thread that nothing else
    can end.

    Parameters
    ----------
    inner : Grid
    stopped : threading.Event
        Set when no reply will come any more.
    """

    def __init__(self, inner: Grid, stopped: Event) -> None:
        super().__init__(inner)
        self._stopped = stopped

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Sequence[Message]:
        """Push, and pull until all replies are there or ``timeout`` seconds have passed.

        Raises
        ------
        EngineFailed
            The engine is gone.
        """
        missing = set(self.push_messages(messages))
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        replies: list[Message] = []
        while missing and time.monotonic() < deadline:
            if self._stopped.wait(_LOOK_AGAIN_S):
                raise EngineFailed("the simulation engine stopped before the run had ended")
            found = list(self.pull_messages(missing))
            replies += found
            missing -= {reply.metadata.reply_to_message_id for reply in found}
        return replies


@dataclass(frozen=True, slots=True)
class Traffic:
    """What passed a grid. Bytes are those of arrays, without their envelopes."""

    up: int  #: bytes from the clients to the server
    down: int  #: bytes from the server to the clients
    failures: tuple[str, ...]  #: why clients failed


class OrderedGrid(GridAround):
    """A grid that hands replies on in the clients' order, and weighs what passes.

    Flower's node ids are random and its replies come as they come; its strategies add floating
    point numbers up in that order, so that no two runs would agree to the last bit.

    Parameters
    ----------
    inner : Grid
        Whose nodes run this experiment's ``Client``, which says who it is in every reply.
    """

    def __init__(self, inner: Grid) -> None:
        super().__init__(inner)
        self._up = self._down = 0
        self._failures: list[str] = []

    def take_traffic(self) -> Traffic:
        """What has passed since this was last asked."""
        traffic = Traffic(self._up, self._down, tuple(self._failures))
        self._up = self._down = 0
        self._failures = []
        return traffic

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Sequence[Message]:
        """As the inner grid, in order; replies that are errors come last.

        Raises
        ------
        NobodyLeft
            There were messages, and no client replied to any of them as it should.
        """
        sent = list(messages)
        self._down += sum(_array_bytes(message) for message in sent)
        replies = list(self._inner.send_and_receive(sent, timeout=timeout))
        good = [reply for reply in replies if not reply.has_error()]
        bad = [reply for reply in replies if reply.has_error()]
        self._failures += [reply.error.reason or "no reason given" for reply in bad]
        if sent and not good:
            raise NobodyLeft(
                f"none of {len(sent)} clients replied: {(self._failures or ['in time'])[-1]}"
            )
        self._up += sum(_array_bytes(reply) for reply in good)
        return sorted(good, key=_partition) + bad


def _array_bytes(message: Message) -> int:
    return sum(
        len(array.data)
        for record in message.content.array_records.values()
        for array in record.values()
    )


def _partition(reply: Message) -> int:
    return int(str(reply.content.config_records[SENDER_KEY]["partition-id"]))
