"""A role by itself: turn after turn, until there is nothing left to do."""

from __future__ import annotations

import time
from collections.abc import Callable

from bcfl.chain.chain import Chain
from bcfl.core.errors import NodeUnreachable
from bcfl.market.roles.turn import Role, Turn

POLL_S = 2.0


def run_role(
    role: Role,
    chain: Chain,
    tell: Callable[[str], None],
    *,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
) -> None:
    """Let ``role`` take turns until it has finished.

    A node that went away is waited for: who gives up loses its bond, or its stake.

    Parameters
    ----------
    chain : Chain
        Is made to move on where a deadline has passed and nobody else sends transactions.
    tell : callable
        Given a line for every action, and for every trouble that was not there a turn ago.
    pause, clock : callable
        Seconds to wait, and the seconds since 1970; exchanged in tests.

    Raises
    ------
    BcflError
        A turn failed. Playing again goes on from what the chain says.
    """
    known: tuple[str, ...] = ()
    while True:
        due = False
        try:
            turn = role.turn()
            over = turn.finished
            if not over and not turn.actions and turn.wake is not None and clock() >= turn.wake:
                chain.wait_until(turn.wake)
                due = not turn.troubles  # else it may stay due: a busy loop
        except NodeUnreachable as error:
            turn, over = Turn(troubles=(f"{error} Trying again.",)), False
        for line in (*turn.actions, *(each for each in turn.troubles if each not in known)):
            tell(line)
        known = turn.troubles
        if over:
            return
        if not turn.actions and not due:
            pause(POLL_S)
