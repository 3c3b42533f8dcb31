"""Several models of one network as one batch, each to the bits that it has alone.

Every layer is a batched matrix product, or works on each image by itself: a convolution is the
product of its windows with its weights. A row of such a batch does not depend on the others, which
``torch.nn.functional.conv2d`` in groups does not promise; and on small images it is quicker.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn import functional

#: By name: one model's parameters, or several models' with these in front, shape (models, …).
Tensors: TypeAlias = dict[str, torch.Tensor]


def parameters_of(module: nn.Module) -> Tensors:
    """A batch of one model: what changes it changes the module."""
    return {name: each.detach()[None] for name, each in module.named_parameters()}


def logits(module: nn.Module, parameters: Tensors, images: torch.Tensor) -> torch.Tensor:
    """What each model makes of its own images.

    Parameters
    ----------
    module : torch.nn.Sequential
        The network, of ``build_model``; its own values are not read.
    parameters : dict of str to Tensor
        Shape (models, …).
    images : float32, (models, batch, channels, height, width)

    Returns
    -------
    float32, (models, batch, classes)
    """
    x = images.permute(0, 3, 1, 4, 2)  # rows first, channels last: what is multiplied is contiguous
    for name, layer in module.named_children():
        own = [parameters[at] for at in (f"{name}.weight", f"{name}.bias") if at in parameters]
        match layer:
            case nn.Conv2d():
                x = _Convolution.apply(x, *own, layer.padding[0])
            case nn.GroupNorm():
                x = _normed(x, layer, *own)
            case nn.MaxPool2d():
                x = _pooled(x, layer)
            case nn.Flatten():
                x = x.permute(0, 2, 4, 1, 3).flatten(2)
            case nn.Linear():
                weight, bias = own
                x = torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))
            case _:
                x = layer(x)
    return x


class _Convolution(torch.autograd.Function):
    """Stride 1, as many rows and columns as before; x of shape (models, height, batch, width, …).

    One matrix product for each row of the kernel.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, padding: int
    ) -> torch.Tensor:
        height, width, channels = x.shape[1], *x.shape[3:]
        padded = functional.pad(x, (0, 0, padding, padding, 0, 0, padding, padding)).contiguous()
        side = 2 * padding + 1
        # of each row that a window covers, what is in it is contiguous
        shape, strides = (*padded.shape[:3], width, side * channels), padded.stride()
        windows = padded.as_strided(shape, (*strides[:4], 1)).contiguous()
        ctx.save_for_backward(windows, weight)
        ctx.padding = padding
        found = bias[:, None]
        for rows, matrix in zip(_rows(windows, height), _matrices(weight), strict=True):
            found = torch.baddbmm(found, rows, matrix)
        return found.view(*x.shape[:4], -1)

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> Any:
        windows, weight = ctx.saved_tensors
        padding, (models, height, batch, width, out) = ctx.padding, slope.shape
        channels, side = weight.shape[2], weight.shape[4]
        flat = slope.reshape(models, -1, out)
        of_weight = torch.stack(
            [torch.bmm(rows.transpose(1, 2), flat) for rows in _rows(windows, height)], dim=1
        )
        of_weight = of_weight.view(models, side, side, channels, out).permute(0, 4, 3, 1, 2)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_windows = torch.zeros_like(windows)
            for rows, matrix in zip(_rows(of_windows, height), _matrices(weight), strict=True):
                rows.baddbmm_(flat, matrix.transpose(1, 2))
            of_x = slope.new_zeros(models, height, batch, width + 2 * padding, channels)
            inner = of_windows[:, padding : padding + height]
            for column in range(side):
                of_x[:, :, :, column : column + width] += inner[
                    ..., column * channels : (column + 1) * channels
                ]
            of_x = of_x[:, :, :, padding : padding + width]
        return of_x, of_weight, flat.sum(1), None


def _rows(windows: torch.Tensor, height: int) -> list[torch.Tensor]:
    """For each row of the kernel what it is multiplied with, (models, pixels, side·channels)."""
    side = windows.shape[1] - height + 1
    return [windows[:, row : row + height].flatten(1, 3) for row in range(side)]


def _matrices(weight: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """For each row of the kernel its weights, (models, side·channels, out)."""
    return weight.permute(3, 0, 4, 2, 1).flatten(2, 3).unbind()


def _pooled(x: torch.Tensor, layer: nn.MaxPool2d) -> torch.Tensor:
    models, _, batch, width, channels = x.shape
    side = layer.kernel_size
    assert isinstance(side, int)
    x = x[:, :, :, : width - width % side]
    # all images of a row are one: no window reaches from one into the next
    wide = x.flatten(2, 3).permute(0, 3, 1, 2)
    largest = functional.max_pool2d(wide, side, layer.stride).permute(0, 2, 3, 1)
    return largest.reshape(models, -1, batch, width // side, channels)


def _normed(
    x: torch.Tensor, layer: nn.GroupNorm, weight: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    images = x.permute(0, 2, 4, 1, 3)
    normed = functional.group_norm(images.flatten(0, 1), layer.num_groups, eps=layer.eps)
    rows = normed.view(images.shape).permute(0, 3, 1, 4, 2).reshape(len(x), -1, x.shape[-1])
    return torch.addcmul(bias[:, None], rows, weight[:, None]).view(x.shape)
