"""The metrics that members report, parsed once: finite numbers, or lists of them, by short names.

Nobody can check them, and nothing of the protocol rests on them. Flower averages them, and gives
up on a round in which two replies have different names or a weight is no positive number: so
whoever's are not like most members' is left out of the average, by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from logging import WARNING
from typing import Annotated, Final

from flwr.app import Message, MetricRecord, RecordDict
from flwr.common.logger import log
from pydantic import Field, TypeAdapter, ValidationError

Metrics = dict[str, int | float | list[int | float]]

_MOST: Final = 100  # names
_MOST_NUMBERS: Final = 1_000  # in all
_LARGEST: Final = 2**53  # whole numbers that a double holds, and more than any loss is
_Name = Annotated[str, Field(strict=True, min_length=1, max_length=100)]
_Int = Annotated[int, Field(strict=True, ge=-_LARGEST, le=_LARGEST)]
_Float = Annotated[float, Field(strict=True, ge=-_LARGEST, le=_LARGEST, allow_inf_nan=False)]
_List = Annotated[list[_Int | _Float], Field(strict=True, min_length=1, max_length=_MOST_NUMBERS)]
_ENTRY: Final = TypeAdapter(tuple[_Name, _Int | _Float | _List])


def read_metrics(content: RecordDict) -> Metrics:
    """The numbers of the one MetricRecord of a reply; none where there are several, or none.

    What is not finite or beyond 2**53, long names, and more than 100, or than 1,000 numbers in
    all, are passed over.
    """
    records = list(content.metric_records.values())
    found: Metrics = {}
    numbers = 0
    for entry in records[0].items() if len(records) == 1 else ():
        try:
            name, value = _ENTRY.validate_python(entry)
        except ValidationError:
            continue
        size = len(value) if isinstance(value, list) else 1
        if len(found) < _MOST and numbers + size <= _MOST_NUMBERS:
            found[name] = value
            numbers += size
    return found


def agreeing(reported: Mapping[int, Metrics], weighted_by: str) -> dict[int, Metrics]:
    """Those with a positive weight and the names that most of these report, by member.

    A list is another name than one of another length. Where two sets of names are as frequent,
    the one that the lowest index reports.
    """
    weighted = {
        m: metrics for m, metrics in sorted(reported.items()) if _weight(metrics, weighted_by)
    }
    if reported and not weighted:
        log(
            WARNING,
            "there is no average of what members report: expected a number under %r above 0, by "
            "which it is weighted; found %s",
            weighted_by,
            sorted({name for metrics in reported.values() for name in metrics}),
        )
        return {}
    names = Counter(frozenset(_names(metrics)) for metrics in weighted.values())
    usual = names.most_common(1)[0][0] if names else frozenset()
    kept = {member: metrics for member, metrics in weighted.items() if _names(metrics) == usual}
    for member in sorted(reported.keys() - kept.keys()):
        log(
            WARNING,
            "member %s's metrics are left out: expected numbers for %s, %r above 0; found %s",
            member,
            [name for name, _ in sorted(usual)],
            weighted_by,
            sorted(reported[member]),
        )
    return kept


def same_names(
    reported: Mapping[int, Metrics], winners: Sequence[int], weighted_by: str
) -> dict[int, Metrics]:
    """The metrics of the winners, whom nobody may leave out, under the names that all report.

    Where one reports no positive weight, all weigh 1.
    """
    metrics = {member: reported.get(member, {}) for member in winners}
    names = set.intersection(*map(_names, metrics.values())) if metrics else set()
    weighted = all(_weight(each, weighted_by) for each in metrics.values())
    if not weighted:
        log(WARNING, "a winner reports no positive %r: all winners weigh 1", weighted_by)
    return {
        member: {name: each[name] for name, _ in sorted(names)}
        | ({} if weighted else {weighted_by: 1})
        for member, each in metrics.items()
    }


def agreeing_replies(
    replies: Sequence[Message], members: Mapping[int, int], weighted_by: str
) -> list[Message]:
    """The replies to evaluate that Flower can average, in the order of the members.

    Parameters
    ----------
    replies : sequence of Message
        Errors stand last; second replies of a node are passed over.
    members : mapping of int to int
        Node id to member index. Of who is no member nothing is averaged.
    weighted_by : str
        The name of the weight.
    """
    first: dict[int, Message] = {}
    errors: list[Message] = []
    for reply in replies:
        member = members.get(reply.metadata.src_node_id)
        if reply.has_error():
            errors.append(reply)
        elif member is not None:
            first.setdefault(member, reply)
    found = agreeing({m: read_metrics(reply.content) for m, reply in first.items()}, weighted_by)
    usual = usual_key(first[member].content for member in found)
    for member, metrics in found.items():
        content = first[member].content
        (key,) = content.metric_records
        del content[key]
        content[usual] = MetricRecord({**metrics})
    return [first[member] for member in found] + errors


def usual_key(contents: Iterable[RecordDict]) -> str:
    """Under which most have their MetricRecord: Flower gives up where two have other ones."""
    keys = Counter(next(iter(content.metric_records), "metrics") for content in contents)
    return keys.most_common(1)[0][0] if keys else "metrics"


def _names(metrics: Metrics) -> set[tuple[str, int]]:
    """The names, each with the length of its list, or 0."""
    return {(name, len(v) if isinstance(v, list) else 0) for name, v in metrics.items()}


def _weight(metrics: Metrics, weighted_by: str) -> bool:
    weight = metrics.get(weighted_by, 0)
    return not isinstance(weight, list) and weight > 0
