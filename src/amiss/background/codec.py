"""An encoder that squeezes an image into a code, and a decoder that rebuilds the image from it."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from amiss.core.errors import InputError
from amiss.statistics.reduce import resized

FIELD = 8
"""Side of the map that a bottleneck turns into numbers; maps of other sizes are brought to it."""


def _channels(width: int, levels: int) -> list[int]:
    """Channels after each halving: twice as many, up to four times the first."""
    return [width * min(2**level, 4) for level in range(levels)]


def whole_halvings(batch: Tensor, levels: int) -> Tensor:
    """Images (N, C, H, W), with their last row and column repeated until both sides can be halved so many times.

    Raises:
        InputError: Images of which no pixel is left after so many halvings.

    Example:
        >>> import torch
        >>> tuple(whole_halvings(torch.zeros(1, 3, 21, 32), 3).shape)
        (1, 3, 24, 32)
    """
    least = 2**levels
    height, width = batch.shape[2], batch.shape[3]
    if min(height, width) < least:
        raise InputError(
            f"an image must have at least {least} x {least} pixels to be halved {levels} times, got {height} x {width}"
        )
    return F.pad(batch, (0, -width % least, 0, -height % least), mode="replicate")


class Encoder(nn.Module):
    """An image to its code: each level halves it by a strided convolution and looks around by another.

    Args:
        width: Channels of the first level.
        levels: How often the image is halved.
        code: Numbers per place of the code.
        bottleneck: Squeeze the whole image into one place; else a place per ``2^levels`` pixels.

    Example:
        >>> import torch
        >>> encoder = Encoder(8, levels=3, code=5, bottleneck=False)
        >>> tuple(encoder(torch.zeros(2, 3, 64, 50)).shape)
        (2, 5, 8, 7)
    """

    def __init__(self, width: int, *, levels: int, code: int, bottleneck: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise([3, *_channels(width, levels)]):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(after)]
            layers += [nn.LeakyReLU(0.2), nn.Conv2d(after, after, 3, padding=1), nn.LeakyReLU(0.2)]
        self.levels, self.bottleneck = levels, bottleneck
        self.down = nn.Sequential(*layers)
        self.out = nn.Conv2d(_channels(width, levels)[-1], code, FIELD if bottleneck else 1)

    def forward(self, batch: Tensor) -> Tensor:
        """The code (N, code, h, w) of images (N, 3, H, W); h = w = 1 with a bottleneck.

        Raises:
            InputError: Images of which no pixel is left after so many halvings.
        """
        map_ = self.down(whole_halvings(batch, self.levels))
        code: Tensor = self.out(resized(map_, (FIELD, FIELD)) if self.bottleneck else map_)
        return code


class Decoder(nn.Module):
    """A code to an image in [0, 1], as the mirror of `Encoder`.

    Args:
        width: See `Encoder`.
        levels: See `Encoder`.
        code: See `Encoder`.
        bottleneck: See `Encoder`.
        channels: Channels of the image.

    Example:
        >>> import torch
        >>> decoder = Decoder(8, levels=3, code=5, bottleneck=True)
        >>> tuple(decoder(torch.zeros(2, 5, 1, 1), (64, 50)).shape)
        (2, 3, 64, 50)
    """

    def __init__(self, width: int, *, levels: int, code: int, bottleneck: bool, channels: int = 3) -> None:
        super().__init__()
        sides = _channels(width, levels)[::-1]
        self.levels, self.bottleneck = levels, bottleneck
        start = nn.ConvTranspose2d(code, sides[0], FIELD) if bottleneck else nn.Conv2d(code, sides[0], 1)
        self.start = nn.Sequential(start, nn.LeakyReLU(0.2))
        layers: list[nn.Module] = []
        for before, after in pairwise([*sides, sides[-1]]):
            layers += [nn.Conv2d(before, before, 3, padding=1, bias=False), nn.BatchNorm2d(before), nn.LeakyReLU(0.2)]
            layers += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.up = nn.Sequential(*layers)
        self.out = nn.Conv2d(sides[-1], channels, 3, padding=1)

    def forward(self, code: Tensor, size: tuple[int, int]) -> Tensor:
        """Images (N, channels, H, W) in [0, 1] of codes (N, code, h, w); `size` is (H, W)."""
        map_ = self.start(code)
        if self.bottleneck:
            step = 2**self.levels
            map_ = resized(map_, (-(-size[0] // step), -(-size[1] // step)))
        image: Tensor = self.out(self.up(map_)).sigmoid()
        return image[:, :, : size[0], : size[1]]
