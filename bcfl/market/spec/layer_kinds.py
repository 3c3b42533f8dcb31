"""The fixed list of layer kinds that a model of the marketplace may be made of.

PROTOCOL, System B: a contributor trains "a model of its own choice". A model here is a chain
of these layers: no branches, so that shapes and costs follow from one pass over the list.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bcfl.core.errors import ArchitectureError
from bcfl.market.spec.layers import MAX_SIZE, Layer, Shape, setting


@dataclass(frozen=True, slots=True)
class Conv2d(Layer):
    """2-d convolution with bias; square kernel; the same stride and zero padding both ways."""

    kind = "conv2d"
    out_channels: int = setting(1, MAX_SIZE)
    kernel: int = setting(1, MAX_SIZE)
    stride: int = setting(1, MAX_SIZE, 1)
    padding: int = setting(0, MAX_SIZE, 0)

    def output_shape(self, shape: Shape) -> Shape:
        """(out_channels, windows down, windows across)."""
        _, height, width = _image(shape)
        if self.padding >= self.kernel:
            raise ArchitectureError(f"padding below the kernel, {self.kernel}", str(self.padding))
        return (
            self.out_channels,
            _windows(height + 2 * self.padding, self.kernel, self.stride),
            _windows(width + 2 * self.padding, self.kernel, self.stride),
        )

    def arrays(self, shape: Shape) -> Iterator[tuple[str, Shape]]:
        """Weight (out, in, kernel, kernel) and bias (out,)."""
        yield "weight", (self.out_channels, shape[0], self.kernel, self.kernel)
        yield "bias", (self.out_channels,)

    def multiply_adds(self, shape: Shape) -> int:
        """One multiplication for each column entry and channel that comes out."""
        return self.out_channels * self.workspace(shape)

    def workspace(self, shape: Shape) -> int:
        """The input unfolded, one column a window, as torch does it in double precision."""
        _, height, width = self.output_shape(shape)
        return shape[0] * self.kernel**2 * height * width


@dataclass(frozen=True, slots=True)
class Linear(Layer):
    """Fully connected layer with bias."""

    kind = "linear"
    units: int = setting(1, MAX_SIZE)

    def output_shape(self, shape: Shape) -> Shape:
        """(units,)."""
        if len(shape) != 1:
            raise ArchitectureError("an input (features,): put a flatten before it", str(shape))
        return (self.units,)

    def arrays(self, shape: Shape) -> Iterator[tuple[str, Shape]]:
        """Weight (units, features) and bias (units,)."""
        yield "weight", (self.units, shape[0])
        yield "bias", (self.units,)

    def multiply_adds(self, shape: Shape) -> int:
        """The size of the weight."""
        return self.units * shape[0]


@dataclass(frozen=True, slots=True)
class Relu(Layer):
    """max(x, 0)."""

    kind = "relu"


@dataclass(frozen=True, slots=True)
class Tanh(Layer):
    """Hyperbolic tangent."""

    kind = "tanh"


@dataclass(frozen=True, slots=True)
class Gelu(Layer):
    """x·Φ(x), with the exact Φ."""

    kind = "gelu"


@dataclass(frozen=True, slots=True)
class Pool2d(Layer):
    """Abstract: a window slides over each channel by itself; an unfilled last one is dropped."""

    kernel: int = setting(1, MAX_SIZE)
    stride: int = setting(1, MAX_SIZE)

    def output_shape(self, shape: Shape) -> Shape:
        """(channels, windows down, windows across)."""
        channels, height, width = _image(shape)
        return (
            channels,
            _windows(height, self.kernel, self.stride),
            _windows(width, self.kernel, self.stride),
        )

    def multiply_adds(self, shape: Shape) -> int:
        """One for each value of each window."""
        return math.prod(self.output_shape(shape)) * self.kernel**2


@dataclass(frozen=True, slots=True)
class MaxPool2d(Pool2d):
    """The largest value of each window."""

    kind = "max_pool2d"


@dataclass(frozen=True, slots=True)
class AvgPool2d(Pool2d):
    """The mean of each window."""

    kind = "avg_pool2d"


@dataclass(frozen=True, slots=True)
class AdaptiveAvgPool2d(Layer):
    """Means over a grid of size × size that covers each channel; never finer than its input."""

    kind = "adaptive_avg_pool2d"
    size: int = setting(1, MAX_SIZE)

    def output_shape(self, shape: Shape) -> Shape:
        """(channels, size, size)."""
        channels, height, width = _image(shape)
        if self.size > min(height, width):
            raise ArchitectureError(f"a grid no finer than the input {shape}", f"size {self.size}")
        return channels, self.size, self.size

    def multiply_adds(self, shape: Shape) -> int:
        """Cells may overlap by a row and a column: at most four times the input."""
        return 4 * math.prod(shape)


@dataclass(frozen=True, slots=True)
class Flatten(Layer):
    """(channels, height, width) to one vector, the last index fastest."""

    kind = "flatten"

    def output_shape(self, shape: Shape) -> Shape:
        """(channels · height · width,)."""
        return (math.prod(shape),)


@dataclass(frozen=True, slots=True)
class Dropout(Layer):
    """Drops values while training; passes everything on when the model is judged."""

    kind = "dropout"
    percent: int = setting(0, 95)


@dataclass(frozen=True, slots=True)
class BatchNorm2d(Layer):
    """Normalises each channel; when judged, with the statistics that training left behind."""

    kind = "batch_norm2d"

    def output_shape(self, shape: Shape) -> Shape:
        """As it came."""
        return _image(shape)

    def arrays(self, shape: Shape) -> Iterator[tuple[str, Shape]]:
        """Weight, bias, running mean and running variance, (channels,) each."""
        for name in ("weight", "bias", "running_mean", "running_var"):
            yield name, (shape[0],)


@dataclass(frozen=True, slots=True)
class LayerNorm(Layer):
    """Normalises each sample over its whole shape."""

    kind = "layer_norm"

    def arrays(self, shape: Shape) -> Iterator[tuple[str, Shape]]:
        """Weight and bias, each of the input's shape."""
        yield "weight", shape
        yield "bias", shape


#: Every kind of layer there is, by name.
KINDS: Mapping[str, type[Layer]] = {
    kind.kind: kind
    for kind in (
        AdaptiveAvgPool2d,
        AvgPool2d,
        BatchNorm2d,
        Conv2d,
        Dropout,
        Flatten,
        Gelu,
        LayerNorm,
        Linear,
        MaxPool2d,
        Relu,
        Tanh,
    )
}


def _image(shape: Shape) -> Shape:
    if len(shape) != 3:
        raise ArchitectureError("an input (channels, height, width)", str(shape))
    return shape


def _windows(size: int, kernel: int, stride: int) -> int:
    if kernel > size:
        raise ArchitectureError(f"a kernel of at most {size}, the padded input", f"kernel {kernel}")
    return (size - kernel) // stride + 1
