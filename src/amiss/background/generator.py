"""A network that makes small square images out of random numbers, and images brought to its size."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from amiss.statistics.reduce import resized

START = 4
"""Side of the first map of a generator, in pixels."""


class Generator(nn.Module):
    """Random numbers to an image in [0, 1], by strided transposed convolutions.

    Args:
        latent: Random numbers per image.
        width: Channels of the last level; up to four times as many at the beginning.
        levels: How often the first map of 4 x 4 pixels is doubled.

    Example:
        >>> import torch
        >>> tuple(Generator(16, width=8, levels=3)(torch.zeros(2, 16)).shape)
        (2, 3, 32, 32)
    """

    def __init__(self, latent: int, *, width: int, levels: int) -> None:
        super().__init__()
        channels = [width * min(2**level, 4) for level in reversed(range(levels))]
        layers: list[nn.Module] = [nn.ConvTranspose2d(latent, channels[0], START)]
        for before, after in pairwise([*channels, channels[-1]]):
            layers += [nn.BatchNorm2d(before), nn.ReLU(), nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)]
        layers += [nn.ReLU(), nn.Conv2d(channels[-1], 3, 3, padding=1)]
        self.body = nn.Sequential(*layers)

    def forward(self, code: Tensor) -> Tensor:
        """Images (N, 3, side, side) of codes (N, latent)."""
        image: Tensor = self.body(code[:, :, None, None]).sigmoid()
        return image


def squeezed(batch: Tensor, side: int) -> Tensor:
    """Images (N, 3, H, W) at (N, 3, side, side): each pixel the mean of those it stands for."""
    return F.adaptive_avg_pool2d(batch, (side, side)) if min(batch.shape[2:]) >= side else resized(batch, (side, side))
