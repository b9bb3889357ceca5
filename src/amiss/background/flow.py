"""Normalising flows: an invertible network that turns normal features into white noise, and so gives their density.

A flow maps x to z, channel by channel and position by position, so that the density of x is

    log p(x) = log N(z; 0, I) + log |det dz/dx|.

Everything here takes vectors (N, C) and feature maps (N, C, h, w) alike: the channels are axis 1. A log-determinant
comes as the sum over the channels at each position, (N,) or (N, h, w); that of the whole map is the sum over h and w.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from amiss.core.checks import check_count
from amiss.core.errors import InputError

Net = Callable[[int, int], nn.Module]
"""``net(entering, leaving)``: a network between so many channels, of any inner shape."""


def perceptron(hidden: float = 2.0) -> Net:
    """Networks for vectors: one hidden layer of `hidden` times the entering width.

    The last layer begins at zero, so that a flow begins as a mere permutation.
    """

    def net(entering: int, leaving: int) -> nn.Module:
        inner = max(1, round(hidden * entering))
        return nn.Sequential(nn.Linear(entering, inner), nn.ReLU(), _zero(nn.Linear(inner, leaving)))

    return net


def convolutions(kernel: int, hidden: float = 1.0) -> Net:
    """Networks for feature maps: two convolutions with `hidden` times the entering channels between them.

    Both are `kernel` wide (odd) and see zeros outside of the map. The last one begins at zero.
    """
    if check_count("kernel", kernel) % 2 == 0:
        raise InputError(f"kernel must be an odd number such as 3, got {kernel}")

    def net(entering: int, leaving: int) -> nn.Module:
        inner, padding = max(1, round(hidden * entering)), kernel // 2
        first = nn.Conv2d(entering, inner, kernel, padding=padding)
        return nn.Sequential(first, nn.ReLU(), _zero(nn.Conv2d(inner, leaving, kernel, padding=padding)))

    return net


def _zero(layer: nn.Linear | nn.Conv2d) -> nn.Module:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Coupling(nn.Module):
    """Affine coupling: some channels stay, the others are scaled and shifted as a network reads off those that stay.

    The logarithm of the scale is ``clamp * tanh(a / clamp)`` of the network's output a: about a near zero, and never
    beyond +-clamp, so that no exponential overflows. Then the channels are permuted, once and for all.

    Args:
        channels: C; half of them stay, the smaller half when C is odd.
        net: Makes the network; see `Net`.
        order: Where each leaving channel comes from, a permutation of 0 ... C - 1.
        clamp: Largest absolute logarithm of a scale.
        conditions: Channels of the condition, which the network reads too; 0 for none.
        volume_preserving: Subtract the mean over the channels from the log scales: the log-determinant is then 0 at
            every position (volume normalisation over the channels).
        affine: Then scale and shift each channel by learned numbers of its own, the same at all positions; they begin
            at 1 and 0. Not with `volume_preserving`.

    Raises:
        InputError: Nothing for the network to read: a single channel without a condition.
    """

    order: Tensor
    restore: Tensor

    def __init__(
        self,
        channels: int,
        net: Net,
        order: Tensor,
        *,
        clamp: float = 2.0,
        conditions: int = 0,
        volume_preserving: bool = False,
        affine: bool = False,
    ) -> None:
        super().__init__()
        if channels + conditions < 2:
            raise InputError(f"a coupling must have a condition or at least 2 channels, got {channels}")
        self.stay, self.clamp, self.volume_preserving = channels // 2, clamp, volume_preserving
        self.net = net(self.stay + conditions, 2 * (channels - self.stay))
        self.register_buffer("order", order.clone())
        self.register_buffer("restore", order.argsort())
        self.stretch = nn.Parameter(torch.zeros(channels)) if affine else None  # logarithm of the scale
        self.offset = nn.Parameter(torch.zeros(channels)) if affine else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (N, C, ...) and condition (N, K, ...) to z (N, C, ...) and log-determinant (N, ...)."""
        stay, move = x[:, : self.stay], x[:, self.stay :]
        log_scale, shift = self._read(stay, condition)
        z, total = torch.cat([stay, move * log_scale.exp() + shift], dim=1), log_scale.sum(dim=1)
        if self.stretch is not None and self.offset is not None:
            shape = (-1, *(1,) * (z.ndim - 2))
            z, total = z * self.stretch.exp().view(shape) + self.offset.view(shape), total + self.stretch.sum()
        return z.index_select(1, self.order), total

    def inverse(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The x that `forward` takes to z."""
        z = z.index_select(1, self.restore)
        if self.stretch is not None and self.offset is not None:
            shape = (-1, *(1,) * (z.ndim - 2))
            z = (z - self.offset.view(shape)) * (-self.stretch).exp().view(shape)
        stay, moved = z[:, : self.stay], z[:, self.stay :]
        log_scale, shift = self._read(stay, condition)
        return torch.cat([stay, (moved - shift) * (-log_scale).exp()], dim=1)

    def _read(self, stay: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        seen = stay if condition is None else torch.cat([stay, condition], dim=1)
        raw, shift = self.net(seen).chunk(2, dim=1)
        log_scale = self.clamp * torch.tanh(raw / self.clamp)
        if self.volume_preserving:
            log_scale = log_scale - log_scale.mean(dim=1, keepdim=True)
        return log_scale, shift


class Flow(nn.Module):
    """Couplings one after the other.

    Every second permutation swaps the halves, so that two couplings in a row reach all channels; the others are drawn
    from torch's global random state and kept in the state.

    Args:
        channels: C.
        nets: One a coupling.
        clamp: See `Coupling`.
        conditions: See `Coupling`.
        volume_preserving: See `Coupling`.
        affine: See `Coupling`.

    Raises:
        InputError: See `Coupling`.

    Example:
        >>> flow = Flow(3, [perceptron()] * 4)
        >>> x = torch.randn(5, 3)
        >>> z, log_determinant = flow(x)
        >>> bool((flow.inverse(z) - x).abs().max() < 1e-5), tuple(log_determinant.shape)
        (True, (5,))
    """

    def __init__(
        self,
        channels: int,
        nets: Sequence[Net],
        *,
        clamp: float = 2.0,
        conditions: int = 0,
        volume_preserving: bool = False,
        affine: bool = False,
    ) -> None:
        super().__init__()
        swap = torch.arange(channels).roll(channels - channels // 2)
        self.couplings = nn.ModuleList(
            Coupling(
                channels,
                net,
                torch.randperm(channels) if number % 2 else swap,
                clamp=clamp,
                conditions=conditions,
                volume_preserving=volume_preserving,
                affine=affine,
            )
            for number, net in enumerate(nets)
        )

    def forward(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (N, C, ...) and condition (N, K, ...) to z (N, C, ...) and log-determinant (N, ...)."""
        total = torch.zeros_like(x[:, 0])
        for coupling in self.couplings:
            x, part = coupling(x, condition)
            total = total + part
        return x, total

    def inverse(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The x that `forward` takes to z."""
        for coupling in reversed(self.couplings):
            z = cast(Coupling, coupling).inverse(z, condition)
        return z


def surprise(z: Tensor, log_determinant: Tensor) -> Tensor:
    """Minus the log density of what a flow turned into z, in nats per channel.

    White noise that the flow left as it was scores ``(1 + log(2 pi)) / 2`` = 1.42 on average. Of a map, this is the
    share of each position: times C and summed over the positions it is minus the log density of the map.

    Args:
        z: (N, C, ...).
        log_determinant: (N, ...).

    Returns:
        (N, ...).
    """
    return 0.5 * z.square().mean(dim=1) + 0.5 * math.log(2 * math.pi) - log_determinant / z.shape[1]
