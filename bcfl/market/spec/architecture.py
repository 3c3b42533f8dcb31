"""A model's architecture as data: a chain of layers, checked before anything is allocated.

Heterogeneous models travel as weights plus this description. Whoever receives one infers
every shape and adds up every cost in Python integers, and refuses what is beyond the task's
limits, long before a tensor exists. Canonical JSON: sorted keys, no blanks, ASCII, whole
numbers only, every setting spelt out; one architecture, one text.
PROTOCOL, System B, computing contributor.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields

from bcfl.core.errors import ArchitectureError
from bcfl.core.strict_json import load_strict_json
from bcfl.market.spec.layer_kinds import KINDS, Linear
from bcfl.market.spec.layers import MAX_SIZE, Layer, Shape, brief, read_whole_number


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a task takes; an initiator may set others.

    At the defaults a blob stays below 20 MB, and a verifier spends at most minutes on one
    core to pass 2,000 samples through a model in double precision.
    """

    description_bytes: int = 16_384  #: of the JSON text
    layers: int = 64
    parameters: int = 5_000_000  #: numbers in the weights; 4 bytes each in a blob
    activations: int = 2_000_000  #: numbers kept for one sample, see :class:`Cost`
    multiply_adds: int = 100_000_000  #: for one sample
    features: int = 4_096  #: what the layer before the output layer puts out


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Cost:
    """What a model costs, the four numbers that :class:`Limits` bounds."""

    parameters: int
    activations: int  #: all layers' outputs, and the widest convolution's unfolded input
    multiply_adds: int
    features: int


@dataclass(frozen=True, slots=True)
class ArraySlot:
    """One array of the weights: the layer it belongs to, its name there, its shape."""

    layer: int
    name: str
    shape: Shape

    @property
    def key(self) -> str:
        """As in a ``torch.nn.Sequential``'s state dict: ``"3.weight"``."""
        return f"{self.layer}.{self.name}"


@dataclass(frozen=True, slots=True)
class Architecture:
    """A chain of layers that fit each other; the last one is the output layer.

    Parameters
    ----------
    input_shape : tuple of int
        (features,) or (channels, height, width), without the batch.
    layers : tuple of Layer
        The last is ``Linear``, one unit a class, and puts out logits. The layers before it
        are the feature extractor that fusion keeps.

    Raises
    ------
    ArchitectureError
        The layers do not fit; names the index of the first that does not.
    """

    input_shape: Shape
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if len(self.input_shape) not in (1, 3):
            raise ArchitectureError(
                "input_shape [features] or [channels, height, width]",
                f"{len(self.input_shape)} numbers",
            )
        for size in self.input_shape:
            read_whole_number("each size in input_shape", size, 1, MAX_SIZE)
        if not self.layers or not isinstance(self.layers[-1], Linear) or self.classes < 2:
            raise ArchitectureError(
                "an output layer at the end: linear, with one unit for each of 2 or more classes",
                brief(self.layers[-1].kind) if self.layers else "no layer",
            )
        self.shapes()

    @property
    def classes(self) -> int:
        """How many logits come out."""
        output = self.layers[-1]
        assert isinstance(output, Linear)
        return output.units

    def shapes(self) -> tuple[Shape, ...]:
        """The input's shape, then each layer's output; raises ArchitectureError."""
        shapes = [self.input_shape]
        for index, layer in enumerate(self.layers):
            try:
                shapes.append(layer.output_shape(shapes[-1]))
            except ArchitectureError as error:
                raise ArchitectureError(
                    f"{layer.kind} to have {error.expected}", error.found, index
                ) from error
        return tuple(shapes)

    def arrays(self) -> Iterator[ArraySlot]:
        """Every array of the weights, in the order in which a blob holds them."""
        for index, (layer, shape) in enumerate(zip(self.layers, self.shapes(), strict=False)):
            for name, array_shape in layer.arrays(shape):
                yield ArraySlot(index, name, array_shape)

    def check(self, limits: Limits = DEFAULT_LIMITS) -> Cost:
        """Add up the cost layer by layer; nothing is allocated.

        Raises
        ------
        ArchitectureError
            A limit is passed; names the layer at which that happens.
        """
        _within("layers", len(self.layers), limits.layers, None)
        parameters = activations = multiply_adds = workspace = 0
        shapes = self.shapes()
        for index, (layer, shape) in enumerate(zip(self.layers, shapes, strict=False)):
            parameters += sum(math.prod(size) for _, size in layer.arrays(shape))
            activations += math.prod(shapes[index + 1])
            workspace = max(workspace, layer.workspace(shape))
            multiply_adds += layer.multiply_adds(shape)
            _within("parameters", parameters, limits.parameters, index)
            _within("activations", activations + workspace, limits.activations, index)
            _within("multiply_adds", multiply_adds, limits.multiply_adds, index)
        _within("features", shapes[-2][0], limits.features, len(self.layers) - 1)
        return Cost(parameters, activations + workspace, multiply_adds, shapes[-2][0])

    def to_json(self) -> bytes:
        """The canonical text; inverted by :meth:`from_json`."""
        layers = [{"kind": layer.kind} | asdict(layer) for layer in self.layers]
        description = {"input_shape": self.input_shape, "layers": layers}
        return json.dumps(description, sort_keys=True, separators=(",", ":")).encode("ascii")

    @classmethod
    def from_json(cls, text: bytes, limits: Limits = DEFAULT_LIMITS) -> Architecture:
        """Read the canonical text, and check it against ``limits``.

        Raises
        ------
        ArchitectureError
            Not JSON, not canonical, of unknown kinds or settings, layers that do not fit,
            or beyond the limits.
        """
        # input_shape and layers are lists in the top object, and a layer is an object.
        data = load_strict_json(text, limits.description_bytes, depth=3)
        architecture = cls.from_mapping(data, limits)
        if architecture.to_json() != text:
            raise ArchitectureError(
                "canonical JSON (sorted keys, no blanks, every setting spelt out)",
                "another spelling of a valid architecture: encode it anew with to_json",
            )
        return architecture

    @classmethod
    def from_mapping(cls, data: object, limits: Limits = DEFAULT_LIMITS) -> Architecture:
        """Read what a person wrote, as parsed YAML or JSON: settings with defaults may lack.

        Raises
        ------
        ArchitectureError
            As for :meth:`from_json`, spelling aside.
        """
        if not isinstance(data, Mapping) or set(data) != {"input_shape", "layers"}:
            raise ArchitectureError("a mapping of input_shape and layers", brief(data))
        shape, layers = data["input_shape"], data["layers"]
        if not isinstance(shape, list | tuple) or not isinstance(layers, list | tuple):
            raise ArchitectureError("input_shape and layers to be lists", brief(shape))
        _within("layers", len(layers), limits.layers, None)
        architecture = cls(tuple(shape), tuple(_read_layer(i, x) for i, x in enumerate(layers)))
        architecture.check(limits)
        return architecture


def _read_layer(index: int, data: object) -> Layer:
    if not isinstance(data, Mapping) or not isinstance(data.get("kind"), str):
        raise ArchitectureError('a mapping with a "kind"', brief(data), index)
    kind = KINDS.get(data["kind"])
    if kind is None:
        raise ArchitectureError(f"a kind among {', '.join(KINDS)}", brief(data["kind"]), index)
    known = {each.name: each for each in fields(kind)}
    for name in data:
        if name != "kind" and name not in known:
            expected = f"only the settings {', '.join(known) or '(none)'} in {kind.kind}"
            raise ArchitectureError(expected, brief(name), index)
    for name, each in known.items():
        if each.default is MISSING and name not in data:
            raise ArchitectureError(f"{kind.kind} to have {name}", "nothing of that name", index)
    try:
        return kind(**{name: data[name] for name in known if name in data})
    except ArchitectureError as error:
        raise ArchitectureError(error.expected, error.found, index) from error


def _within(name: str, value: int, limit: int, layer: int | None) -> None:
    if value > limit:
        raise ArchitectureError(f"at most {limit:,} {name}", f"{value:,}", layer)
