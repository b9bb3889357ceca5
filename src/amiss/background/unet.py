"""A U-Net: from an image to an image, by way of coarser maps, with a bridge on every level."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from amiss.background.codec import whole_halvings


class UNet(nn.Module):
    """Convolutions on each of several levels, down and up again; the way up also sees the way down.

    Args:
        inputs: Channels that come in.
        outputs: Channels that leave, without an activation.
        width: Channels of the finest level; twice as many on each coarser one, up to eight times.
        levels: How often the image is halved.

    Raises:
        InputError: From `forward`, for images of which no pixel is left after so many halvings.

    Cost:
        About 165 `width`^2 multiply-adds per pixel with 4 levels.

    Example:
        >>> tuple(UNet(3, 2, width=8, levels=2)(torch.zeros(1, 3, 21, 30)).shape)
        (1, 2, 21, 30)
    """

    def __init__(self, inputs: int, outputs: int, *, width: int, levels: int) -> None:
        super().__init__()
        channels = [width * min(2**level, 8) for level in range(levels + 1)]
        self.levels = levels
        self.first = _twice(inputs, channels[0])
        self.down = nn.ModuleList(_twice(a, b) for a, b in pairwise(channels))
        self.narrow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(channels))
        self.up = nn.ModuleList(_twice(2 * channel, channel) for channel in channels[:-1])
        self.out = nn.Conv2d(channels[0], outputs, 1)

    def forward(self, batch: Tensor) -> Tensor:
        """(N, outputs, H, W) of a batch (N, inputs, H, W)."""
        maps = [self.first(whole_halvings(batch, self.levels))]
        for level in self.down:
            maps.append(level(F.max_pool2d(maps[-1], 2)))
        found = maps.pop()
        for narrow, level in zip(reversed(self.narrow), reversed(self.up), strict=True):
            found = F.interpolate(narrow(found), scale_factor=2.0, mode="nearest")
            found = level(torch.cat([maps.pop(), found], dim=1))
        result: Tensor = self.out(found)
        return result[:, :, : batch.shape[2], : batch.shape[3]]


def _twice(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before in (inputs, outputs):
        layers += [nn.Conv2d(before, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)
