"""What a member sends of its training, and all that depends on it: S2, and S4's combination.

There are two kinds. A ``delta`` is the largest changes of a vector of floats: clipped, added up,
scaled by η. A ``whole`` update is the reply as it is, for models that have no differences. Members,
server and audit know this interface alone, and never ask which of the two it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from bcfl.consensus.spec.aggregation import Combine, aggregate_sets
from bcfl.consensus.spec.candidates import Candidates
from bcfl.consensus.spec.clipping import clip
from bcfl.consensus.spec.codec import Heading, blob_size, decode_delta, encode_delta
from bcfl.consensus.spec.delta import Delta, Part, apply_delta, expect_parts, finite, top_parts
from bcfl.consensus.spec.rules import Rules
from bcfl.consensus.spec.whole import MOST_BYTES, bagged, decode_whole, encode_whole
from bcfl.core.arrays import describe, expect_carried
from bcfl.core.errors import ConfigurationError, NobodyLeft
from bcfl.core.model import Arrays, ModelSpec

_U = TypeVar("_U")


class Updates(ABC, Generic[_U]):
    """The updates of a task of given rules and model. ``round`` is the contract's, from 1."""

    @property
    def untrained(self) -> Sequence[str]:
        """Of the model: arrays that no round changes, as "name (dtype)"."""
        return ()

    @abstractmethod
    def conform(self, arrays: Arrays, base: Arrays) -> Arrays:
        """What somebody computed from θ_g, ``base``, in the form in which the task has a model.

        Raises
        ------
        ModelError
            It cannot be brought into that.
        """

    @abstractmethod
    def of(self, trained: Arrays, base: Arrays, round: int) -> _U:
        """S2: the update that a training came to. Raises ModelError where there is none."""

    @abstractmethod
    def encode(self, update: _U, heading: Heading) -> bytes:
        """The canonical bytes. Raises CodecError, or ModelError, where there are none."""

    @abstractmethod
    def most_bytes(self, round: int) -> int:
        """Of one encoded update."""

    @abstractmethod
    def decode(self, blob: bytes, heading: Heading) -> _U:
        """Invert :meth:`encode`. Raises CodecError for all that is not the one encoding."""

    @abstractmethod
    def limited(self, updates: Mapping[int, _U]) -> dict[int, _U]:
        """All of a round, by member, as every reviewer bounds them."""

    @abstractmethod
    def replies(self, base: Arrays) -> Callable[[_U], Arrays]:
        """What turns an update to ``base`` into a reply of train, as far as it was committed."""

    def candidates(self, base: Arrays) -> Callable[[_U], Arrays]:
        """What turns an update into what is rated: the model that it alone would make.

        The next one may take its place in memory.
        """
        return self.replies(base)

    @abstractmethod
    def combined(self, base: Arrays, sets: Sequence[Mapping[int, _U]]) -> Arrays:
        """S4: the next θ_g, of the sets that won, each by member, the best first.

        Raises
        ------
        ModelError, NobodyLeft
            They make none.
        """

    def sets(self, base: Arrays, updates: Mapping[int, _U]) -> Candidates:
        """Where members propose: what may be made of limited updates, as vectors."""
        raise ConfigurationError("sets of members are made of deltas; these are whole models")

    def model(self, vector: NDArray[Any], base: Arrays) -> Arrays:
        """A vector of :meth:`sets` as a model."""
        raise ConfigurationError("sets of members are made of deltas; these are whole models")

    @abstractmethod
    def size_bytes(self, most: int) -> int:
        """Of the largest model of this task; ``most`` where nothing else bounds it."""


@dataclass(frozen=True)
class DeltaUpdates(Updates[Delta]):
    """Sparse changes of the flat vector of a model of floats."""

    rules: Rules
    spec: ModelSpec

    @property
    def untrained(self) -> Sequence[str]:
        """Arrays that no delta changes."""
        spec = self.spec
        return [f"{a.key} ({a.dtype})" for a in spec.arrays if a.key not in spec.carried]

    def conform(self, arrays: Arrays, base: Arrays) -> Arrays:
        """In the model's order and dtypes; its integers as they were."""
        return self.spec.conform(arrays, base)

    def of(self, trained: Arrays, base: Arrays, round: int) -> Delta:
        """The ⌈γ·n⌉ largest changes, of the model or of each array."""
        return top_parts(finite(self.spec.change(trained, base)), self._parts(round))

    def encode(self, update: Delta, heading: Heading) -> bytes:
        """See ``encode_delta``."""
        return encode_delta(update, heading, self.rules.values)

    def most_bytes(self, round: int) -> int:
        """Of every delta of the round."""
        spec, values = self.spec, self.rules.values
        return blob_size(spec.n, self._kept(round), spec.dtype, values)

    def decode(self, blob: bytes, heading: Heading) -> Delta:
        """See ``decode_delta``."""
        spec, kept = self.spec, self._kept(heading.round)
        delta = decode_delta(blob, spec.n, kept, spec.dtype, heading, self.rules.values)
        expect_parts(delta, self._parts(heading.round))
        return delta

    def limited(self, updates: Mapping[int, Delta]) -> dict[int, Delta]:
        """Clipped."""
        return clip(updates, self.rules.clip)

    def replies(self, base: Arrays) -> Callable[[Delta], Arrays]:
        """θ_g + Δθ."""
        vector = self.spec.flatten(base)
        return lambda update: self.model(apply_delta(vector, update), base)

    def candidates(self, base: Arrays) -> Callable[[Delta], Arrays]:
        """θ_g + Δθ, one after the other."""
        vector = self.spec.flatten(base)
        moved = np.empty_like(vector)
        return lambda update: self.model(apply_delta(vector, update, moved), base)

    def combined(self, base: Arrays, sets: Sequence[Mapping[int, Delta]]) -> Arrays:
        """θ_g + η·(the mean of combine(set)), whatever the order."""
        rate, combine = self.rules.server_learning_rate, cast(Combine, self.rules.combination)
        vector = aggregate_sets(self.spec.flatten(base), sets, combine, rate)
        return self.model(vector, base)

    def sets(self, base: Arrays, updates: Mapping[int, Delta]) -> Candidates:
        """Steps by pair()."""
        return Candidates(self.spec.flatten(base), updates, self.rules.server_learning_rate)

    def model(self, vector: NDArray[Any], base: Arrays) -> Arrays:
        """Arrays again."""
        return self.spec.unflatten(vector, base)

    def size_bytes(self, most: int) -> int:
        """Every model has the same."""
        return self.spec.size_bytes

    def _parts(self, round: int) -> list[Part]:
        return self.rules.parts(self.spec.sizes, round)

    def _kept(self, round: int) -> int:
        return sum(kept for _, kept in self._parts(round))


@dataclass(frozen=True)
class WholeUpdates(Updates[Arrays]):
    """Replies as they are. γ, clipping and η have nothing to work on."""

    rules: Rules

    def conform(self, arrays: Arrays, base: Arrays) -> Arrays:
        """As they are, if they have canonical bytes."""
        expect_carried(describe(arrays))
        return arrays

    def of(self, trained: Arrays, base: Arrays, round: int) -> Arrays:
        """The reply."""
        return trained

    def encode(self, update: Arrays, heading: Heading) -> bytes:
        """See ``encode_whole``."""
        return encode_whole(update, heading)

    def most_bytes(self, round: int) -> int:
        """What anybody takes."""
        return MOST_BYTES

    def decode(self, blob: bytes, heading: Heading) -> Arrays:
        """See ``decode_whole``."""
        return decode_whole(blob, heading)

    def limited(self, updates: Mapping[int, Arrays]) -> dict[int, Arrays]:
        """As they are."""
        return dict(updates)

    def replies(self, base: Arrays) -> Callable[[Arrays], Arrays]:
        """The reply."""
        return lambda update: update

    def candidates(self, base: Arrays) -> Callable[[Arrays], Arrays]:
        """The reply; of new trees, θ_g and them: alone they only correct what θ_g says."""
        return lambda update: self.combined(base, [{0: update}])

    def combined(self, base: Arrays, sets: Sequence[Mapping[int, Arrays]]) -> Arrays:
        """The best one as it is, or θ_g and the trees of all, in the order of their indices."""
        winners = next(iter(sets), {})
        if not winners:
            raise NobodyLeft("expected at least one winner to make a model of; found none")
        if self.rules.combination == "best":
            return next(iter(winners.values()))
        return bagged(base, [winners[member] for member in sorted(winners)])

    def size_bytes(self, most: int) -> int:
        """Any."""
        return most


def updates_of(rules: Rules, model: Arrays) -> Updates[Any]:
    """The updates of a task whose first model, or any, is ``model``.

    Raises
    ------
    ModelError
        The rules take no such model.
    """
    if rules.update == "whole":
        expect_carried(describe(model))
        return WholeUpdates(rules)
    return DeltaUpdates(rules, ModelSpec.of(model, rules.integer_arrays, rules.shared))
