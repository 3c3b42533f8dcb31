"""Who takes part: nodes are met, become members, are given what they need, and are sampled."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from logging import WARNING
from typing import Literal, TypeAlias, get_args

from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from bcfl.chain.chain import Chain
from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.parcels import Parcels
from bcfl.consensus.records import EnrolOrder
from bcfl.consensus.server.conversation import Conversation
from bcfl.consensus.server.inner_strategy import Training
from bcfl.consensus.server.task import ConsensusTask
from bcfl.consensus.spec.domain import Phase
from bcfl.consensus.task_folder import TaskFolder
from bcfl.core.errors import ConfigurationError, NobodyLeft, expect
from bcfl.core.model import encode_model
from bcfl.flower.waiting import wait_for_nodes
from bcfl.keys.accounts import checksummed
from bcfl.keys.public_keys import PublicKeys
from bcfl.keys.signer import Reader
from bcfl.store.blob_store import BlobStore

Admit: TypeAlias = Literal["allow_list", "open"]


@dataclass(frozen=True, slots=True)
class Admission:
    """How a node becomes a member, and what ether it is given.

    Parameters
    ----------
    membership : {"allow_list", "open"}
        Allow list: the coordinator takes in whoever connects. Open: each joins by its own
        deposit, leaves when it likes, and forfeits the deposit by signing two deltas for one
        round.
    stake_wei : int
        The deposit; 0 with an allow list, above 0 without.
    allowance_wei : int
        Ether that the coordinator gives each node once, before it joins.
    allowed : tuple of str
        The addresses on the allow list; none: whoever connects is on it.

    Raises
    ------
    AccountError
        What is allowed is no address.
    ConfigurationError
        A value out of range, or two that contradict each other.
    """

    membership: Admit
    stake_wei: int
    allowance_wei: int
    allowed: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "allowed", tuple(map(checksummed, self.allowed)))
        membership, stake_wei = self.membership, self.stake_wei
        expect(
            membership in get_args(Admit),
            "membership",
            f"one of {get_args(Admit)}",
            repr(membership),
        )
        if membership == "open":
            expect(
                0 < stake_wei < 2**128, "stake_wei", "at least 1 where membership='open'", stake_wei
            )
            nobody = "none where membership='open': nobody can be kept out"
            expect(not self.allowed, "allowed", nobody, self.allowed)
        else:
            expect(not stake_wei, "stake_wei", "0, or membership='open'", stake_wei)
        expect(self.allowance_wei >= 0, "allowance_wei", "at least 0", self.allowance_wei)


class Members:
    """The nodes of one task, as its members.

    Parameters
    ----------
    conversation : Conversation
    chain : Chain
    admission : Admission
    fedavg : FedAvg
        Says how many are waited for, and how many are sampled.
    seed : int
        Of the sampling, and of the development keys in simulations.
    store : BlobStore
        Where the deltas are kept.
    folder : TaskFolder
    keys : PublicKeys, optional
        The same that ``conversation`` fills; what is kept is sealed to the members' among them.
        None: it is plain.

    Raises
    ------
    ConfigurationError
        There are keys, and the coordinator's account cannot open what is sealed to it.
    """

    def __init__(
        self,
        conversation: Conversation,
        chain: Chain,
        admission: Admission,
        fedavg: FedAvg,
        seed: int,
        store: BlobStore,
        folder: TaskFolder,
        keys: PublicKeys | None,
    ) -> None:
        self._conversation = conversation
        self._chain = chain
        self._admission = admission
        self.fedavg = fedavg
        self._seed = seed
        self._keys = keys
        self._readers: list[bytes] = []
        self._given: set[str] = set()
        self.refused: dict[str, str] = {}  #: by address: why it is no member
        self.parcels = Parcels(store)  #: open to the members of now, and the coordinator
        if keys is not None:
            reader = chain.coordinator
            if not isinstance(reader, Reader):
                raise ConfigurationError(
                    "encrypt=True needs a coordinator whose key is in a key file"
                )
            self.parcels = Parcels(store, reader, lambda: self._readers, folder.sealed_index)

    def gather(self, grid: Grid) -> list[str]:
        """Wait for enough nodes to train, at least two, and for those that come with them.

        Returns
        -------
        list of str
            The addresses of who may be a member, in a stable order.

        Raises
        ------
        NobodyLeft
            No node has the mod.
        """
        wait_for_nodes(grid, max(2, self.fedavg.min_available_nodes, self.fedavg.min_train_nodes))
        addresses = self._on_the_list(self._conversation.greet())
        if not addresses:
            raise NobodyLeft(_nobody_joined(self._conversation.refused or self.refused))
        if self._admission.membership == "allow_list":
            self._may_read(addresses)
        return addresses

    def welcome(self, task: ConsensusTask) -> None:
        """Between rounds, make members of the nodes that have come since.

        Raises
        ------
        NobodyLeft
            There are fewer than two members.
        """
        self._conversation.greet()
        ledger = task.ledger
        before = ledger.members()
        if ledger.state().phase == Phase.IDLE:
            strangers = [a for a in self._conversation.connected() if a not in before]
            if self._admission.membership == "open":
                self._enrol(strangers, task)
            else:
                for address in self._on_the_list(strangers):
                    ledger.add_member(address)
                    self.give_allowance([address])
        members, active = ledger.members(), ledger.active()
        if active.bit_count() < 2:
            raise NobodyLeft(
                f"expected at least 2 members; found {active.bit_count()}: {self.refused}"
            )
        self._may_read(member for i, member in enumerate(members) if active >> i & 1)
        if members != before and not ledger.state().round:
            # Who joins by itself joins a task that is there, and may read its first model, too.
            self.parcels.put(encode_model(task.arrays))

    def give_allowance(self, addresses: Iterable[str]) -> None:
        """Give each of these its ether, once."""
        for address in addresses if self._admission.allowance_wei else ():
            if address not in self._given:
                self._chain.fund(address, self._admission.allowance_wei)
                self._given.add(address)

    def nodes(self, ledger: Ledger) -> dict[int, int]:
        """Member index to node id, of the members that are connected, in their order."""
        active, present = ledger.active(), self._conversation.present(ledger.members())
        return {member: present[member] for member in sorted(present) if active >> member & 1}

    def sample(self, ledger: Ledger, number: int, training: Training) -> list[int]:
        """The members that are asked to train in round ``number``, by index.

        Those that the inner strategy asks, where there is one.

        Raises
        ------
        NobodyLeft
            None is connected.
        """
        nodes, fedavg = self.nodes(ledger), self.fedavg
        if training.asked is not None:
            return [member for member, node in nodes.items() if node in training.asked]
        members = list(nodes)
        wanted = max(int(len(members) * fedavg.fraction_train), fedavg.min_train_nodes)
        size = min(wanted, len(members))
        if size == 0:
            raise NobodyLeft(f"round {number}: no member is connected")
        return sorted(random.Random(f"{self._seed}/{number}").sample(members, size))

    def expected_next(self, ledger: Ledger, number: int, training: Training) -> list[int]:
        """As :meth:`sample`, before the round before has ended.

        Nobody, where that round is to end alone: as somebody has come who may become a member
        then, as members come and go by themselves, or as none is connected.
        """
        if self._admission.membership == "open" or self._conversation.newcomers():
            return []
        return self.sample(ledger, number, training) if self.nodes(ledger) else []

    def _on_the_list(self, addresses: list[str]) -> list[str]:
        allowed = self._admission.allowed or addresses
        kept_out = [address for address in addresses if address not in allowed]
        self.refused = dict.fromkeys(kept_out, "it is not on the coordinator's allow list")
        for address in kept_out:
            log(WARNING, "%s did not become a member: %s", address, self.refused[address])
        return [address for address in addresses if address in allowed]

    def _enrol(self, strangers: list[str], task: ConsensusTask) -> None:
        self.give_allowance(strangers)
        rules = json.dumps(task.rules.to_json())
        contract = task.ledger.domain.contract
        block, block_hash = task.ledger.anchor()
        order = EnrolOrder(
            self._chain.url, contract, rules, self._seed, block=block, block_hash=block_hash
        )
        self.refused = self._conversation.enrol(order, strangers)
        for address, reason in self.refused.items():
            log(WARNING, "%s did not become a member: %s", address, reason)

    def _may_read(self, addresses: Iterable[str]) -> None:
        if self._keys is not None:
            self._readers = self._keys.of(addresses)


def _nobody_joined(refused: Mapping[int, str] | Mapping[str, str]) -> str:
    """In one line, each reason once."""
    reasons = Counter(refused.values()).most_common(3)
    said = "; ".join(f"{count} × {reason}" for reason, count in reasons)
    hint = ". Every client app needs ClientApp(mods=[peer_consensus_mod, …]), before all other mods"
    if "No train function registered" in said:
        hint += ", and a function under @app.evaluate(), or under @app.train() without a name, by "
        hint += "which messages reach them"
    return f"none of {len(refused)} nodes joined: {said}{'' if 'mods=[' in said else hint}"
