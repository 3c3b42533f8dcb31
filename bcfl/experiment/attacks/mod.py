"""Where an attack meets a Flower client: after its training, before anything is committed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from flwr.app import Context, Message, MessageType
from flwr.clientapp.typing import ClientAppCallable

from bcfl.consensus.member.mod import PeerConsensusMod
from bcfl.experiment.attacks.attack import Attack
from bcfl.experiment.seeds import derive_seed
from bcfl.flower.handlers import to_array_record, to_arrays


@dataclass(frozen=True, slots=True)
class AttackMod:
    """A Flower mod that poisons the updates of malicious clients.

    It stands inside ``peer_consensus_mod`` (after it in the list of mods), so that what gets
    committed is poisoned; under any other strategy it poisons what is sent.

    Parameters
    ----------
    attack : Attack
    malicious : frozenset of int
        The partitions that attack.
    seed : int
        The run's.
    """

    attack: Attack
    malicious: frozenset[int]
    seed: int

    def __call__(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        """Pass everything through but a malicious client's answer to a message to train."""
        partition = int(context.node_config["partition-id"])
        if partition not in self.malicious or message.metadata.message_type != MessageType.TRAIN:
            return call_next(message, context)
        before = to_arrays(next(iter(message.content.array_records.values())))
        round_ = next(iter(message.content.config_records.values()))["server-round"]
        reply = call_next(message, context)
        if reply.has_error():
            return reply
        key, record = next(iter(reply.content.array_records.items()))
        rng = np.random.default_rng(derive_seed(self.seed, "attack", partition, str(round_)))
        with np.errstate(over="ignore", invalid="ignore"):  # whoever attacks may overflow
            poisoned = self.attack.update(before, to_arrays(record), rng)
        reply.content[key] = to_array_record(poisoned)
        return reply


class AttackingMember(PeerConsensusMod):
    """A member's mod whose malicious members lie in their ballots, as the attack says.

    In a simulation, where every node is there from the start, member indices are partition
    ids; that is how the attackers know each other.

    Parameters
    ----------
    attack : Attack
    malicious : frozenset of int
        The partitions that attack.
    """

    def __init__(self, attack: Attack, malicious: frozenset[int]) -> None:
        super().__init__()
        self._attack = attack
        self._malicious = malicious

    def rate(self, qualities: dict[int, float], context: Context) -> Mapping[int, float]:
        """What the honest measured; what the attack makes of it in a malicious client."""
        if context.node_config["partition-id"] not in self._malicious:
            return qualities
        return self._attack.ratings(qualities, self._malicious)
