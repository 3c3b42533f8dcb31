"""A role by itself: turn after turn, until there is nothing left to do."""

from __future__ import annotations

import time
from collections.abc import Callable

from bcfl.apps.market.roles.turn import Role
from bcfl.ports.chain import Chain

__all__ = ["POLL_S", "play"]

POLL_S = 2.0


def play(
    role: Role,
    chain: Chain,
    tell: Callable[[str], None],
    *,
    enough: Callable[[], bool] = lambda: False,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
) -> None:
    """Let ``role`` take turns until it has finished.

    Parameters
    ----------
    role : Role
    chain : Chain
        Is made to move on where a deadline has passed and nobody else sends transactions.
    tell : callable
        Given a line for every deed.
    enough : callable
        Asked after a turn without a deed whether to stop; for roles that never finish.
    pause, clock : callable
        Seconds to wait, and the seconds since 1970; exchanged in tests.

    Raises
    ------
    BcflError
        A turn failed. Playing again goes on from what the chain says.
    """
    while True:
        turn = role.turn()
        for deed in turn.deeds:
            tell(deed)
        if turn.finished:
            return
        if turn.deeds:
            continue
        if enough():
            return
        if turn.wake is not None and clock() >= turn.wake:
            chain.wait_until(turn.wake)
        else:
            pause(POLL_S)
