"""The server's conversation with the members, in Flower's messages.

Flower's node ids are random and its replies come in any order; here everything goes by
member index. Whoever fails, is late, or says something else than was asked, is left out of
that step, and why is kept.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from logging import WARNING
from typing import Any, TypeVar

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid

from bcfl.consensus.records import (
    EnrolOrder,
    EnrolReply,
    JoinOrder,
    JoinReply,
    Order,
    ProposalReply,
    ReceiptOrder,
    ReviewOrder,
    ReviewReply,
    RoundOrder,
    TrainReply,
)
from bcfl.consensus.server.inner_strategy import Training
from bcfl.consensus.spec.messages import join_message
from bcfl.flower.waiting import read_replies
from bcfl.keys.accounts import DEVELOPMENT_CHAINS, recover_public_key, signed_by
from bcfl.keys.public_keys import PublicKeys

_NO_EVALUATE = "No evaluate function registered"  # Flower's words
_RECEIPTS_S = 30.0  # at the end of a run, for whoever is still there

_Reply = TypeVar("_Reply", JoinReply, EnrolReply, ProposalReply, ReviewReply)
_Found = TypeVar("_Found")


class Conversation:
    """Who is at which node, and what they answer.

    Parameters
    ----------
    grid : Grid
    chain_id, seed : int
        For the proof of an address, and the development keys of simulations.
    timeout_s : float
        How long to wait for the replies to one step.
    arrays_key, config_key : str
        Under which an app expects its ArrayRecord and its ConfigRecord.
    keys : PublicKeys, optional
        Learns the public key of everybody who is met.
    begins : bool
        Whether the task is a new one; else its members may remember what they have signed.
    """

    def __init__(
        self,
        grid: Grid,
        chain_id: int,
        seed: int,
        timeout_s: float,
        arrays_key: str,
        config_key: str,
        keys: PublicKeys | None = None,
        *,
        begins: bool = True,
    ) -> None:
        self._grid = grid
        self._chain_id = chain_id
        self._seed = seed
        self.timeout_s = timeout_s
        self._arrays_key = arrays_key
        self._config_key = config_key
        self._keys = keys
        self._task = secrets.token_bytes(32) if begins else b""
        self._addresses: dict[int, str] = {}  # by node id
        self._fetching: set[int] = set()  # node ids
        self._train_alone: set[int] = set()  # nodes whose app has a train, and no evaluate
        self.refused: dict[int, str] = {}  #: nodes that did not join, and why

    def newcomers(self) -> set[int]:
        """The nodes that nobody has greeted yet."""
        return {*self._grid.get_node_ids()} - self._addresses.keys() - self.refused.keys()

    def greet(self) -> list[str]:
        """Ask every node not met before for its address; the newly met, in a stable order.

        In simulations that is the order of the partitions, else that of the addresses. A node
        whose proof fails, or whose address another connected node has, is not met.
        """
        nodes = list(self._grid.get_node_ids())
        self._addresses = {n: a for n, a in self._addresses.items() if n in nodes}
        order = JoinOrder(secrets.token_bytes(32), self._chain_id, self._seed, self._task)
        strangers = [node for node in nodes if node not in self._addresses]
        self._train_alone -= set(strangers)
        replies, failures = self._ask(self._bare(order, strangers), JoinReply)
        if without := {node for node, reason in failures.items() if _NO_EVALUATE in reason}:
            self._train_alone |= without
            others, again = self._ask(self._bare(order, without), JoinReply)
            replies, failures = replies | others, failures | again
            failures = {node: why for node, why in failures.items() if node not in others}
        words = join_message(self._chain_id, order.challenge)
        met: list[tuple[int, str, int]] = []
        for node, reply in replies.items():
            if not signed_by(words, reply.signature, reply.address):
                failures[node] = f"its signature is not that of {reply.address}"
            else:
                met.append((reply.partition, reply.address, node))
                if self._keys is not None:
                    self._keys.add(recover_public_key(words, reply.signature))
                if reply.fetches:
                    self._fetching.add(node)
        newly: list[str] = []
        for _, address, node in sorted(met):
            if address in self._addresses.values():
                failures[node] = f"{address} is at another node already"
            else:
                self._addresses[node] = address
                newly.append(address)
        for node, reason in failures.items():
            log(WARNING, "node %s did not join: %s", node, reason)
        self.refused = failures
        return newly

    def connected(self) -> list[str]:
        """Everybody who has been met and is here, in the order of meeting."""
        return list(self._addresses.values())

    def enrol(self, order: EnrolOrder, addresses: Sequence[str]) -> dict[str, str]:
        """Ask these to join by their own deposit; by address, why some did not.

        On development chains one after the other: there, a seed decides who has which index.
        """
        one_by_one = self._chain_id in DEVELOPMENT_CHAINS
        nodes = [node for node, address in self._addresses.items() if address in addresses]
        reasons: dict[int, str] = {}
        for asked in ([node] for node in nodes) if one_by_one else [nodes]:
            replies, failures = self._ask(self._bare(order, asked), EnrolReply)
            refusals = {node: reply.reason for node, reply in replies.items() if reply.reason}
            reasons |= failures | refusals
        return {self._addresses[node]: reason for node, reason in reasons.items()}

    def present(self, members: tuple[str, ...]) -> dict[int, int]:
        """Member index to node id, of the members that are connected and have been met."""
        return {
            members.index(address): node
            for node, address in self._addresses.items()
            if address in members
        }

    def fetches(self, node: int) -> bool:
        """Whether this node has a store of its own."""
        return node in self._fetching

    def train(
        self,
        order: RoundOrder,
        nodes: Mapping[int, int],
        training: Training,
        receipts: Mapping[int, ReceiptOrder],
    ) -> list[Message]:
        """The messages that ask these members (index to node id) to train and commit.

        With them go the receipts, by member, for ballots of a round before.
        """
        messages = []
        for member, node in nodes.items():
            own = order
            if (owed := receipts.get(member)) is not None:
                own = replace(order, receipt=owed.receipt, receipt_round=owed.round)
            messages.append(training.message(node, own.content()))
        return messages

    def hand_out(self, receipts: Mapping[int, ReceiptOrder], nodes: Mapping[int, int]) -> None:
        """Give members (index to node id) their receipts, where no other message will."""
        owed = {nodes[m]: receipt for m, receipt in receipts.items() if m in nodes}
        messages = [
            self._to(node, content)
            for node, receipt in owed.items()
            for content in self._bare(receipt, [node]).values()
        ]
        if messages:
            timeout = min(self.timeout_s, _RECEIPTS_S)
            list(self._grid.send_and_receive(messages, timeout=timeout))

    def trained(
        self, replies: Iterable[Message], nodes: Mapping[int, int]
    ) -> tuple[dict[int, tuple[TrainReply, RecordDict]], dict[int, str]]:
        """What the members (index to node id) answered, and why the others are left out."""
        read, failures = read_replies(
            replies, nodes.values(), lambda content: (TrainReply.read(content), content)
        )
        return _by_member(read, nodes), _by_member(failures, nodes)

    def review(
        self,
        order: ReviewOrder,
        nodes: Mapping[int, int],
        arrays: ArrayRecord,
        config: ConfigRecord,
        receipts_of: Callable[[int], Mapping[str, bytes]],
        kind: type[ProposalReply] | type[ReviewReply],
    ) -> tuple[dict[int, ProposalReply | ReviewReply], dict[int, str]]:
        """Ask these members to review what ``order`` lists; locators go to who fetches.

        ``receipts_of`` gives a member's receipts, by the order's fields; ``kind`` is what the
        contract's phase takes.
        """
        without = replace(order, blobs=[]), replace(order, locators=[])
        contents = {}
        for member, node in nodes.items():
            fitting = without[0] if order.locators and self.fetches(node) else without[1]
            given: dict[str, Any] = {**receipts_of(member)}
            fitting = replace(fitting, **given)
            contents[node] = self._content(fitting, arrays, config)
        read: dict[int, ProposalReply] | dict[int, ReviewReply]
        if kind is ProposalReply:
            read, failures = self._ask(contents, ProposalReply)
        else:
            read, failures = self._ask(contents, ReviewReply)
        return _by_member(read, nodes), _by_member(failures, nodes)

    def send(self, messages: list[Message]) -> list[Message]:
        """Flower's ``send_and_receive``, with this conversation's timeout."""
        if not messages:
            return []
        return list(self._grid.send_and_receive(messages, timeout=self.timeout_s))

    def _ask(
        self, contents: Mapping[int, RecordDict], kind: type[_Reply]
    ) -> tuple[dict[int, _Reply], dict[int, str]]:
        messages = [self._to(node, content) for node, content in contents.items()]
        return read_replies(self.send(messages), contents, kind.read)

    def _to(self, node: int, content: RecordDict) -> Message:
        # A mod is called only for the messages for which the app has a handler.
        handler = MessageType.TRAIN if node in self._train_alone else MessageType.EVALUATE
        return Message(content, node, handler)

    def _bare(self, order: Order, nodes: Iterable[int]) -> dict[int, RecordDict]:
        """An order without a model; with the config that mods before ours may look for."""
        config = ConfigRecord({"server-round": 0})
        return {node: RecordDict({self._config_key: config, **order.content()}) for node in nodes}

    def _content(self, order: Order, arrays: ArrayRecord, config: ConfigRecord) -> RecordDict:
        return RecordDict(
            {self._arrays_key: arrays, self._config_key: config, **order.to_records()}
        )


def _by_member(found: Mapping[int, _Found], nodes: Mapping[int, int]) -> dict[int, _Found]:
    """What was found by node id, by member; ``nodes`` is member to node id."""
    return {member: found[node] for member, node in nodes.items() if node in found}
