"""The words of ``ModelMarketplace.vy``: what its views and events say, as the market's values.

Whatever a node makes up that is no such value raises ReplyMalformed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from bcfl.chain.contract import Log
from bcfl.chain.event import Event
from bcfl.core.errors import BcflError, ReplyMalformed
from bcfl.market.contract import events as market_events
from bcfl.market.spec.report import Reason
from bcfl.market.spec.terms import (
    Conditions,
    MarketAccount,
    MarketPhase,
    PoolPlace,
    Submission,
    Task,
    TaskRules,
)

_NOBODY: Final = "0x" + 40 * "0"

_KINDS: Final[Mapping[str, Callable[..., Event]]] = {
    name: getattr(market_events, name) for name in market_events.__all__
}
#: How a field becomes ours, where the contract knows numbers only.
_MEANINGS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "cause": MarketPhase,
    "reason": Reason,
    "rules": lambda row: TaskRules(*_row(row)),
    "conditions": lambda row: Conditions(*_row(row)),
}

#: The names of the contract's events.
EVENTS: Final = tuple(_KINDS)


def words(values: TaskRules | Conditions) -> tuple[Any, ...]:
    """As the contract takes them: the fields in their order."""
    return tuple(getattr(values, field.name) for field in dataclasses.fields(values))


def event_of(log: Log) -> Event:
    """The market's event of that name."""
    with _believing(log.name):
        fields = {
            name: _MEANINGS[name](value) if name in _MEANINGS else value
            for name, value in log.arguments.items()
        }
        return _KINDS[log.name](log.transaction, log.block, log.log_index, log.timestamp, **fields)


def task_of(said: Any) -> Task | None:
    """What the view ``task`` says."""
    with _believing("task"):
        initiator, description, rules, conditions, *counts = _row(said)
        if initiator == _NOBODY:
            return None
        terms = TaskRules(*_row(rules)), Conditions(*_row(conditions))
        return Task(initiator, description, *terms, *counts)


def submission_of(said: Any) -> Submission | None:
    """What the view ``submission`` says."""
    with _believing("submission"):
        contributor, commitment, panel, reserved, state = _row(said)
        task, _, phase, cause, redraws, short, *rest = _row(state)
        if contributor == _NOBODY:
            return None
        return Submission(
            task,
            contributor,
            commitment,
            tuple(None if seat == _NOBODY else seat for seat in panel),
            reserved,
            MarketPhase(phase),
            MarketPhase(cause),
            redraws,
            bool(short),
            *rest,
        )


def account_of(said: Any) -> MarketAccount:
    """What the view ``account`` says."""
    with _believing("account"):
        return MarketAccount(*_row(said))


def place_of(said: Any) -> PoolPlace:
    """What the view ``place`` says."""
    with _believing("place"):
        return PoolPlace(*_row(said))


def _row(struct: Any) -> Sequence[Any]:
    """A struct's fields in order; web3 gives a mapping in events and a tuple elsewhere."""
    return tuple(struct.values()) if isinstance(struct, Mapping) else tuple(struct)


@contextmanager
def _believing(what: str) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError, KeyError, BcflError) as error:
        raise ReplyMalformed(f"{what}: no marketplace says what the node sent ({error})") from error
