"""Slopes through a frozen network, written as tensor operations: what an exported graph can hold, unlike autograd's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def forward_kept(layers: nn.Sequential, batch: Tensor) -> tuple[Tensor, list[Tensor]]:
    """What a network answers, and what each of its layers was given."""
    given = []
    for layer in layers:
        given.append(batch)
        batch = layer(batch)
    return batch, given


def pull_back(layers: nn.Sequential, given: Sequence[Tensor], slope: Tensor) -> Tensor:
    """From the slope with respect to what a network answered to that with respect to what it was given.

    Args:
        layers: Convolutions, transposed convolutions, batch normalisation in evaluation mode, ReLU and leaky ReLU.
        given: See `forward_kept`.
        slope: (N, C, H, W), of the shape of the answer.

    Raises:
        TypeError: Another kind of layer.

    Example:
        >>> layers = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU())
        >>> image = torch.rand(1, 1, 4, 4, requires_grad=True)
        >>> answer, given = forward_kept(layers, image)
        >>> (wanted,) = torch.autograd.grad(answer.sum(), image)
        >>> torch.allclose(pull_back(layers, given, torch.ones_like(answer)), wanted)
        True
    """
    for layer, batch in zip(reversed(layers), reversed(given), strict=True):
        if isinstance(layer, nn.Conv2d):
            slope = _against_convolution(layer, batch, slope)
        elif isinstance(layer, nn.ConvTranspose2d):
            slope = F.conv2d(slope, layer.weight, stride=_pair(layer.stride), padding=_pair(layer.padding))
        elif isinstance(layer, nn.BatchNorm2d):
            slope = slope * _scale(layer)[:, None, None]
        elif isinstance(layer, nn.ReLU | nn.LeakyReLU):
            below = layer.negative_slope if isinstance(layer, nn.LeakyReLU) else 0.0
            slope = torch.where(batch > 0, slope, below * slope)
        else:
            raise TypeError(f"layers must be convolutions, batch normalisation or ReLU, got {type(layer).__name__}")
    return slope


def _against_convolution(layer: nn.Conv2d, batch: Tensor, slope: Tensor) -> Tensor:
    """A convolution's slope is the transposed convolution; what the stride left over at the end is added again."""
    stride, padding, kernel = _pair(layer.stride), _pair(layer.padding), _pair(layer.kernel_size)
    left = tuple(
        batch.shape[2 + axis] - ((slope.shape[2 + axis] - 1) * stride[axis] - 2 * padding[axis] + kernel[axis])
        for axis in (0, 1)
    )
    return F.conv_transpose2d(slope, layer.weight, stride=stride, padding=padding, output_padding=_pair(left))


def _scale(layer: nn.BatchNorm2d) -> Tensor:
    """By what a batch normalisation in evaluation mode multiplies each channel."""
    variance = cast(Tensor, layer.running_var)
    return layer.weight * (variance + layer.eps).rsqrt()


def _pair(numbers: Sequence[int | str] | str) -> tuple[int, int]:
    down, across = (int(one) for one in numbers)
    return down, across
