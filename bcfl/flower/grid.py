"""A Flower grid without processes: every node is a function call away.

The same strategy, mod and app run on it as on Flower's engines, in milliseconds a round.
Replies come back in a shuffled order, and a node that raises answers with an error, as on
the real ones. ``InProcessGrid.deliver`` is the place to lose or bend messages in a test.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

_FIRST_NODE_ID = 1000


class InProcessGrid(Grid):
    """Runs ``client_app`` for each of ``num_nodes`` nodes, in this process.

    Parameters
    ----------
    client_app : callable
        Flower's ``ClientApp``, or anything that maps (Message, Context) to Message.
    num_nodes : int
        Nodes have ``partition-id`` 0 to ``num_nodes`` − 1 in their ``node_config``.
    node_config : mapping, optional
        More entries for every node's ``node_config``.
    run_config : mapping, optional
        Every node's ``run_config``.
    seed : int
        Of the order in which replies arrive, and of the node ids.
    """

    def __init__(
        self,
        client_app: Callable[[Message, Context], Message],
        num_nodes: int,
        *,
        node_config: Mapping[str, Any] | None = None,
        run_config: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        # Flower's engines tell each process who it is; messages carry it.
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 0
        self._client_app = client_app
        self._random = random.Random(seed)
        self._run: Run | None = None
        self._replies: dict[str, Message] = {}
        self._sent = 0
        ids = self._random.sample(range(_FIRST_NODE_ID, 2**62), num_nodes)
        self.contexts = {
            node_id: Context(
                run_id=1,
                node_id=node_id,
                node_config={
                    "partition-id": partition,
                    "num-partitions": num_nodes,
                    **(node_config or {}),
                },
                state=RecordDict(),
                run_config=dict(run_config or {}),
            )
            for partition, node_id in enumerate(ids)
        }

    def set_run(self, run: Run) -> None:
        """Flower's engines call this; here nothing depends on it."""
        self._run = run

    @property
    def run(self) -> Run:
        """What ``set_run`` was given."""
        if self._run is None:
            raise RuntimeError("expected set_run to have been called")
        return self._run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """A message to one node."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Sequence[int]:
        """The ids of all nodes that are connected."""
        return list(self.contexts)

    def deliver(self, message: Message, context: Context) -> Message | None:
        """Let the node handle ``message``; None where its reply never comes."""
        try:
            return self._client_app(message, context)
        except Exception as error:  # noqa: BLE001 - as Flower's engines do
            reason = f"{type(error).__name__}: {error}"
            code = ErrorCode.CLIENT_APP_RAISED_EXCEPTION
            return Message(Error(code, reason), reply_to=message)

    def push_messages(self, messages: Iterable[Message]) -> Sequence[str]:
        """Deliver at once; the replies wait to be pulled."""
        ids = []
        for message in messages:
            self._sent += 1
            ids.append(str(self._sent))
            context = self.contexts.get(message.metadata.dst_node_id)
            if context is None:
                continue
            # A copy, as after a wire: what a node does to its message is its own affair.
            reply = self.deliver(copy.deepcopy(message), context)
            if reply is not None:
                self._replies[ids[-1]] = copy.deepcopy(reply)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Sequence[Message]:
        """The replies to these messages that have arrived, in no particular order."""
        replies = [self._replies.pop(i) for i in message_ids if i in self._replies]
        self._random.shuffle(replies)
        return replies

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Sequence[Message]:
        """Push, then pull. Lost replies are lost at once: ``timeout`` is not waited for."""
        return self.pull_messages(self.push_messages(messages))
