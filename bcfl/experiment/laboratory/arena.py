"""One run in the laboratory: clients train, a coalition attacks, a rule decides, round by round.

The same seeds, training, attacks and protocol as ``bcfl run``, and so the same models; but
without Flower's messages, signatures and a chain.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256

import numpy as np

from bcfl.consensus.spec.delta import Delta, difference, top_parts
from bcfl.consensus.spec.referee import draw
from bcfl.core.errors import ModelError, NobodyLeft, ProtocolError
from bcfl.core.model import Arrays, model_digest
from bcfl.experiment.attacks.attack import Lie, Vectors
from bcfl.experiment.attacks.coalition import Coalition
from bcfl.experiment.attacks.mod import sparse
from bcfl.experiment.clients.client_data import ClientData
from bcfl.experiment.datasets.images import vary
from bcfl.experiment.laboratory.network import Network
from bcfl.experiment.laboratory.rules import NEED_ROOT, RULES, Play
from bcfl.experiment.scenario import Material, Plan
from bcfl.experiment.seeds import derive_seed

_LAST = 3  # rounds whose mean counts


@dataclass(frozen=True, slots=True)
class Cell:
    """Which run: one rule against one attack, on one split."""

    rule: str
    attack: str  #: a name in ``conf/attack``, and what is changed of it
    ballots: Lie
    partition: str
    seed: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run."""

    cell: Cell
    accuracy: float  #: on the central test part, mean of the last three rounds
    backdoor: float | None  #: its success rate, where one is set
    seats: float  #: share of those who counted that were malicious, mean over the rounds
    model: str  #: hex digest of the last
    seconds: float
    curve: list[float]  #: accuracy by round
    error: str = ""  #: why it ended early, where it did; all else is of the rounds before

    def to_json(self) -> dict[str, object]:
        """Plain JSON values."""
        return asdict(self)


class _Run:
    """One run as it goes on."""

    def __init__(self, cell: Cell, plan: Plan, material: Material, network: Network) -> None:
        self.plan, self.material, self.rule = plan, material, cell.rule
        self.network = network
        self.coalition = Coalition(plan.attack, plan.run.seed, plan.run.rounds)
        self.base = self.network.begin(derive_seed(plan.run.seed, "model"))
        self.honest = [m for m in range(plan.run.clients) if m not in plan.malicious]
        self.memory: dict[str, object] = {}  # the rule's

    def round(self, number: int) -> set[int]:
        """Train, attack, decide; whose deltas counted."""
        base, plan, network = self.base, self.plan, self.network
        parts = plan.rules.parts(network.spec.sizes, number)
        kept = sum(each for _, each in parts)
        trained = self._train(number)
        changes = dict(enumerate(trained[: plan.run.clients] - base))
        own = {member: changes[member] for member in plan.malicious}

        def honest() -> list[Vectors]:
            return [sparse(changes[member], parts) for member in self.honest]

        sent = self.coalition.send(number, base, own, honest, kept, self._losses)
        if not (finite := _finite(base, changes | sent)):
            raise NobodyLeft("nobody sends finite parameters")
        play = Play(
            number=number,
            base=base,
            changes=finite,
            deltas={},
            shares=self.material.shares,
            reference=self.material.reference,
            network=network,
            attack=plan.attack if plan.attack.awake(number, plan.run.rounds) else None,
            malicious=plan.malicious,
            root=trained[-1] - base,
            memory=self.memory,
        )
        play.deltas = {member: top_parts(change, parts) for member, change in play.changes.items()}
        if play.reference is not None and plan.reference.patched:
            play.reference = _patched(play.reference, play.deltas)
        # a step that is not finite is not made
        with np.errstate(over="ignore", invalid="ignore"), suppress(ModelError):
            self.base = RULES[self.rule](play)
        return play.winners

    def _train(self, number: int) -> Vectors:
        """What all clients make of θ_g, and last, where it is asked for, the reference set's."""
        shares = list(self.material.shares)
        if self.rule in NEED_ROOT and self.material.reference is not None:
            shares.append(self.material.reference)
        seeds = [derive_seed(self.plan.run.seed, "train", i, number) for i in range(len(shares))]
        return self.network.train(self.base, shares, self.plan.training, seeds)

    def _losses(self, models: Vectors) -> list[float]:
        theirs = [self.material.shares[member] for member in self.honest]
        return [float(np.mean(self.network.validate(model, theirs))) for model in models]

    def test(self) -> float:
        """Accuracy on the central test part."""
        images = self.material.images
        return self.network.test(self.base, images.test_images, images.test_labels)

    def backdoor(self) -> float | None:
        """The share of marked test images of other classes that become class 0."""
        images = self.material.images
        others = images.test_labels != 0
        if (marked := self.plan.attack.triggered(images.test_images[others])) is None:
            return None
        return self.network.test(self.base, marked, np.zeros(len(marked), np.int64))


def play(cell: Cell, plan: Plan, material: Material, network: Network) -> Outcome:
    """Play one run.

    Parameters
    ----------
    cell : Cell
    plan : Plan
        Its attack, its number of clients and rounds, its training.
    material : Material
        The shares, attacked ones poisoned, and the reference set.
    network : Network
        Of the material's model.
    """
    began, run, error = time.perf_counter(), _Run(cell, plan, material, network), ""
    curve, seats = [], []
    for number in range(1, plan.run.rounds + 1):
        try:
            winners = run.round(number)
        except ProtocolError as stop:
            error = f"round {number}: {type(stop).__name__}: {stop}"
            break
        if winners:
            seats.append(len(winners & plan.malicious) / len(winners))
        curve.append(round(run.test(), 4))
    return Outcome(
        cell,
        accuracy=float(np.mean(curve[-_LAST:] or [run.test()])),
        backdoor=run.backdoor(),
        seats=float(np.mean(seats)) if seats else 0.0,
        model=model_digest(run.network.arrays(run.base)).hex(),
        seconds=round(time.perf_counter() - began, 3),
        curve=curve,
        error=error,
    )


def _patched(reference: ClientData, deltas: Mapping[int, Delta]) -> ClientData:
    """The reference set as a round of these deltas rates on it; they stand for commitments."""
    digests = {member: sha256(delta.values.tobytes()).digest() for member, delta in deltas.items()}
    plain: Arrays = {"images": reference.train_images, "labels": reference.train_labels}
    x, y = vary(plain, draw(digests)).values()
    return ClientData(x, y, x, y)


def _finite(base: Vectors, changes: dict[int, Vectors]) -> dict[int, Vectors]:
    """As the protocol forms them, θ' − θ_g; without those that no member can commit to."""
    found = {}
    with np.errstate(over="ignore", invalid="ignore"):
        for member, change in sorted(changes.items()):
            try:
                found[member] = difference(base + change, base)
            except ModelError:
                continue
    return found
