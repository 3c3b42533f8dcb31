"""The malicious clients of one run, as one: what they know, and what each of them sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bcfl.experiment.attacks.attack import Attack, Known, Vectors
from bcfl.experiment.clients.client_data import ClientData
from bcfl.experiment.seeds import derive_seed


def poison(
    clients: Sequence[ClientData],
    attack: Attack,
    malicious: frozenset[int],
    classes: int,
    reference: ClientData | None = None,
) -> list[ClientData]:
    """The same shares, with the malicious clients' data as the attack wants them."""
    return [
        attack.data(data, classes, reference) if partition in malicious else data
        for partition, data in enumerate(clients)
    ]


class Coalition:
    """Remembers from round to round what the attack wants to know of earlier ones.

    Parameters
    ----------
    attack : Attack
    seed, rounds : int
        The run's.
    """

    def __init__(self, attack: Attack, seed: int, rounds: int) -> None:
        self._attack = attack
        self._seed = seed
        self._rounds = rounds
        self._memory: dict[str, Any] = {}
        self._before: Vectors | None = None  # θ_g of the round before
        self.crafts = type(attack).craft is not Attack.craft  #: whether any update is changed

    def send(
        self,
        round_: int,
        base: Vectors,
        own: Mapping[int, Vectors],
        honest: Callable[[], Sequence[Vectors]],
        kept: int,
        losses: Callable[[Vectors], Sequence[float]],
    ) -> dict[int, Vectors]:
        """What each accomplice sends: the change of θ_g, shape (n,), before the largest are kept.

        Parameters
        ----------
        round_ : int
            Flower's server round.
        base : ndarray, shape (n,)
            θ_g.
        own : mapping of partition to ndarray
            What the accomplices trained, as changes of it.
        honest : callable
            Gives what the others send; asked only by who wants to know.
        kept : int
            How many values of a change are sent.
        losses : callable
            See ``Known``.
        """
        last = np.zeros_like(base) if self._before is None else base - self._before
        self._before = base
        if not (self.crafts and self._attack.awake(round_, self._rounds)):
            return dict(own)
        partitions = sorted(own)
        groups = [[p] for p in partitions] if self._attack.alone else [partitions]
        others = np.zeros((0, len(base)), base.dtype)
        if not self._attack.alone:
            others = np.stack(honest())
        sent: dict[int, Vectors] = {}
        for group in groups:
            purpose = ("attack", *(group if self._attack.alone else ()), round_)
            known = Known(
                round=round_,
                base=base,
                own=np.stack([own[partition] for partition in group]),
                honest=others,
                last=last,
                kept=kept,
                losses=losses,
                rng=np.random.default_rng(derive_seed(self._seed, *purpose)),
                memory=self._memory,
            )
            with np.errstate(over="ignore", invalid="ignore"):  # whoever attacks may overflow
                rows = self._attack.craft(known).astype(base.dtype)
            sent |= dict(zip(group, rows, strict=True))
        return sent
