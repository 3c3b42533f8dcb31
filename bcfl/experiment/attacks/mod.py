"""Where an attack meets a Flower client: after its training, before anything is committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from flwr.app import Context, Message, MessageType
from flwr.clientapp.typing import ClientAppCallable

from bcfl.consensus.member.mod import PeerConsensusMod
from bcfl.consensus.member.rating import ReferenceLoss, Vary
from bcfl.consensus.member.task import last_round
from bcfl.consensus.spec.delta import Part, difference, top_parts
from bcfl.consensus.spec.rules import Rules
from bcfl.core.model import Arrays, ModelSpec
from bcfl.experiment.attacks.attack import Attack, Vectors
from bcfl.experiment.attacks.coalition import Coalition
from bcfl.flower.handlers import to_array_record, to_arrays

if TYPE_CHECKING:
    from bcfl.experiment.clients.client_app import Client


class AttackMod:
    """A Flower mod that poisons the updates of malicious clients.

    It stands inside ``peer_consensus_mod`` (after it in the list of mods), so that what gets
    committed is poisoned; under any other strategy it poisons what is sent. What accomplices
    know of the honest, they know by training as these do, from their data: this is a simulation.

    Parameters
    ----------
    attack : Attack
    malicious : frozenset of int
        The partitions that attack.
    client : Client
        Which all clients are, and which knows their data.
    rounds : int
        How many there will be.
    rules : Rules
        How much of a change a client sends.
    """

    def __init__(
        self,
        attack: Attack,
        malicious: frozenset[int],
        client: Client,
        rounds: int,
        rules: Rules,
    ) -> None:
        self._attack, self._malicious = attack, malicious
        self._client, self._rules = client, rules
        self._coalition = Coalition(attack, client.seed, rounds)
        self._sent: tuple[int, dict[int, Vectors]] = 0, {}  # in which round, and by whom

    def __call__(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        """Pass everything through but a malicious client's answer to a message to train."""
        partition = int(context.node_config["partition-id"])
        trains = message.metadata.message_type == MessageType.TRAIN
        if partition not in self._malicious or not trains or not self._coalition.crafts:
            return call_next(message, context)
        before = to_arrays(next(iter(message.content.array_records.values())))
        round_ = int(str(next(iter(message.content.config_records.values()))["server-round"]))
        reply = call_next(message, context)
        if reply.has_error():
            return reply
        key, record = next(iter(reply.content.array_records.items()))
        spec = ModelSpec.of(before, self._rules.integer_arrays)
        base = spec.flatten(before)
        with np.errstate(over="ignore", invalid="ignore"):
            own = spec.flatten(spec.conform(to_arrays(record), before)) - base
            change = self._change(round_, partition, own, spec, before)
            reply.content[key] = to_array_record(spec.unflatten(base + change, before))
        return reply

    def _change(
        self, round_: int, partition: int, own: Vectors, spec: ModelSpec, before: Arrays
    ) -> Vectors:
        """What this accomplice sends, which the coalition has agreed on when asked first."""
        known = {partition} if self._attack.alone else self._malicious
        if self._attack.alone or self._sent[0] != round_:
            record, base = to_array_record(before), spec.flatten(before)
            parts = self._rules.parts(spec.sizes, round_)
            kept = sum(each for _, each in parts)

            def changes(partitions: frozenset[int] | set[int]) -> dict[int, Vectors]:
                trained = {p: self._client.trained(record, p, round_)[0] for p in partitions}
                return {p: spec.flatten(to_arrays(t)) - base for p, t in trained.items()}

            def honest() -> list[Vectors]:
                others = frozenset(range(self._client.clients)) - self._malicious
                return [sparse(each, parts) for _, each in sorted(changes(others).items())]

            def losses(models: Vectors) -> list[float]:
                others = frozenset(range(self._client.clients)) - self._malicious
                records = [to_array_record(spec.unflatten(model, before)) for model in models]
                found = [[self._client.measured(r, p)[0] for p in sorted(others)] for r in records]
                return [float(np.mean(each)) for each in found]

            owns = {partition: own} | changes(known - {partition})
            self._sent = round_, self._coalition.send(round_, base, owns, honest, kept, losses)
        return self._sent[1][partition]


def sparse(change: Vectors, parts: Sequence[Part]) -> Vectors:
    """The change with zeros where it is not sent, shape (n,)."""
    delta = top_parts(difference(change, np.zeros_like(change)), parts)
    found = np.zeros_like(change)
    found[delta.indices] = delta.values
    return found


class AttackingMember(PeerConsensusMod):
    """A member's mod whose malicious members lie in their ballots, as the attack says.

    In a simulation, where every node is there from the start, member indices are partition
    ids; that is how the attackers know each other.

    Parameters
    ----------
    attack : Attack
    malicious : frozenset of int
        The partitions that attack.
    rounds : int
        How many there will be.
    reference, vary : callable, optional
        See ``PeerConsensusMod``.
    """

    def __init__(
        self,
        attack: Attack,
        malicious: frozenset[int],
        rounds: int,
        reference: ReferenceLoss | None = None,
        vary: Vary | None = None,
    ) -> None:
        super().__init__(reference=reference, vary=vary)
        self._attack = attack
        self._malicious = malicious
        self._rounds = rounds

    def rate(self, qualities: dict[int, float], context: Context) -> Mapping[int, float]:
        """What the honest measured; what the attack makes of it in a malicious client."""
        if context.node_config["partition-id"] not in self._malicious:
            return qualities
        if not self._attack.awake(last_round(context), self._rounds):
            return qualities
        return self._attack.ratings(qualities, self._malicious)
