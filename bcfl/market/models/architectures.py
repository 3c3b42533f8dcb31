"""The architectures that bcfl ships: a contributor takes one, or describes its own.

Each is a function of the input's shape and the number of classes, under its name in
``ARCHITECTURES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bcfl.core.errors import ConfigurationError
from bcfl.market.spec.architecture import Architecture
from bcfl.market.spec.layer_kinds import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    LayerNorm,
    Linear,
    MaxPool2d,
    Relu,
    Tanh,
)
from bcfl.market.spec.layers import Layer, Shape


def cnn(input_shape: Shape, classes: int) -> Architecture:
    """The article's three-layer CNN: two convolutions and a fully connected layer.

    **[reading]** the three layers are the hidden ones: conv 5×5 with 8 channels, conv 5×5 with
    16, 64 units, and the output layer on top, which fusion removes. The article does not say
    what they are; the alternative counts the output layer among the three, and would leave
    fusion with the 784 numbers behind the second convolution.
    """
    layers = (
        *(Conv2d(8, kernel=5, padding=2), Relu(), MaxPool2d(2, 2)),
        *(Conv2d(16, kernel=5, padding=2), Relu(), MaxPool2d(2, 2)),
        *(Flatten(), Linear(64), Relu()),
    )
    return Architecture(input_shape, (*layers, Linear(classes)))


def mlp(input_shape: Shape, classes: int) -> Architecture:
    """A multilayer perceptron: 128 and 64 units. Takes vectors as well as images."""
    layers: tuple[Layer, ...] = (
        *(Linear(128), LayerNorm(), Relu(), Dropout(percent=20)),
        *(Linear(64), Tanh()),
    )
    if len(input_shape) > 1:
        layers = (Flatten(), *layers)
    return Architecture(input_shape, (*layers, Linear(classes)))


def deep_cnn(input_shape: Shape, classes: int) -> Architecture:
    """A deeper and wider CNN: four 3×3 convolutions, batch normalisation, 96 units."""
    layers = (
        *(Conv2d(12, kernel=3, padding=1), BatchNorm2d(), Relu()),
        *(Conv2d(12, kernel=3, stride=2, padding=1), BatchNorm2d(), Relu()),
        *(Conv2d(24, kernel=3, padding=1), BatchNorm2d(), Relu()),
        *(Conv2d(32, kernel=3, stride=2, padding=1), BatchNorm2d(), Relu()),
        *(Flatten(), Linear(96), Relu()),
    )
    return Architecture(input_shape, (*layers, Linear(classes)))


#: The shipped architectures by name.
ARCHITECTURES: Mapping[str, Callable[[Shape, int], Architecture]] = {
    "cnn": cnn,
    "deep_cnn": deep_cnn,
    "mlp": mlp,
}


def shipped_architecture(name: str, input_shape: Shape, classes: int) -> Architecture:
    """The architecture of that name, for such inputs and so many classes.

    Raises
    ------
    ArchitectureError
        It does not fit the input: a convolution needs (channels, height, width).
    ConfigurationError
        There is none of that name.
    """
    if name not in ARCHITECTURES:
        raise ConfigurationError(
            f"architecture: expected one of {', '.join(ARCHITECTURES)}; found {name!r}. "
            "One of your own is read from a file: see Architecture.from_mapping"
        )
    return ARCHITECTURES[name](input_shape, classes)
