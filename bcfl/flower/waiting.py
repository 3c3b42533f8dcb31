"""Waiting for Flower's nodes: until they have come, and until they have answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from logging import INFO
from typing import TypeVar

from flwr.app import Message, RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid

from bcfl.core.errors import ProtocolError

_LOOK_AGAIN_S = 0.05
_LONGEST_REASON = 500  # characters: a node's own words
_Reply = TypeVar("_Reply")


def wait_for_nodes(grid: Grid, least: int) -> list[int]:
    """Wait until at least ``least`` nodes are connected and no more come; their ids.

    Flower samples before it waits, and nodes connect one by one: the first ``least`` of them
    would be chosen by chance.
    """
    seen: list[int] = []
    while len(found := list(grid.get_node_ids())) < least or len(found) != len(seen):
        if len(found) < least and len(found) != len(seen):
            log(INFO, "%s of at least %s nodes are connected", len(found), least)
        seen = found
        time.sleep(_LOOK_AGAIN_S)
    return found


def read_replies(
    replies: Iterable[Message], nodes: Iterable[int], read: Callable[[RecordDict], _Reply]
) -> tuple[dict[int, _Reply], dict[int, str]]:
    """What ``nodes`` answered, and why some did not; both by node id, in the order of ``nodes``.

    Parameters
    ----------
    replies : iterable of Message
        In any order; those of other nodes are passed over, and so are second ones of a node.
    nodes : iterable of int
        The ids of those that were asked.
    read : callable
        Makes of a reply's content what is wanted; raises ProtocolError where it is none.
    """
    answers: dict[int, _Reply] = {}
    heard: set[int] = set()
    failures = dict.fromkeys(nodes, "no reply in time")
    for reply in replies:
        node = reply.metadata.src_node_id
        if node not in failures or node in heard:
            continue
        heard.add(node)
        if reply.has_error():
            reason = reply.error.reason or f"error {reply.error.code}"
            failures[node] = " ".join(reason.split())[:_LONGEST_REASON]  # a traceback, in one line
            continue
        try:
            answers[node] = read(reply.content)
        except ProtocolError as error:
            failures[node] = str(error)
    return (
        {node: answers[node] for node in failures if node in answers},
        {node: reason for node, reason in failures.items() if node not in answers},
    )
