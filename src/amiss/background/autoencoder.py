"""An autoencoder that sees the whole image through a few numbers: what is normal about its arrangement."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from amiss.core.checks import check_count, check_real
from amiss.core.errors import InputError
from amiss.statistics.reduce import resized

CODE = 64
"""Numbers that an image is squeezed into."""

FIELD = 8
"""Width of the map that becomes these numbers: that of an image of 256 x 256 after five halvings."""

LEAST = 32
"""Side of the smallest image of which something is left after five halvings."""

ENLARGED = ((64, 1), (32, 0), (16, 1), (8, 0), (4, 1), (2, 1))
"""Sides to which the maps are enlarged on the way back: that of the image by the first number, less the second."""


class Autoencoder(nn.Module):
    """An image to a map of features, through a bottleneck of `CODE` numbers without any place.

    Five strided convolutions halve the image, and one more turns all of the remaining map into the code. The map
    is enlarged step by step from there, with a convolution after every step. So each output knows the whole image,
    and none of them knows its details.

    An image of another size than 256 x 256 keeps the numbers of layers; its last map is brought to 8 x 8, and the
    maps on the way back scale with the image.

    Args:
        channels: C, of the features.
        width: Channels inside; half as many in the first two layers.
        dropout: Share of the numbers on the way back that are set to 0 in training.

    Raises:
        InputError: A width below 2, or a dropout outside of [0, 1).

    Example:
        >>> import torch
        >>> network = Autoencoder(channels=5, width=8)
        >>> tuple(network(torch.zeros(2, 3, 97, 63), (16, 8)).shape)
        (2, 5, 16, 8)
    """

    def __init__(self, channels: int, width: int = 64, dropout: float = 0.2) -> None:
        super().__init__()
        check_count("width", width, least=2)
        if not 0 <= check_real("dropout", dropout) < 1:
            raise InputError(f"dropout must be a number of at least 0 and below 1, got {dropout}")
        down = [3, width // 2, width // 2, width, width, width]
        up = [CODE, *[width] * len(ENLARGED)]
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise(down))
        self.bottleneck = nn.Conv2d(width, CODE, FIELD)
        self.up = nn.ModuleList(nn.Conv2d(a, b, 4, padding=2) for a, b in pairwise(up))
        self.dropout = nn.Dropout(dropout)
        self.smooth = nn.Conv2d(width, width, 3, padding=1)
        self.out = nn.Conv2d(width, channels, 3, padding=1)

    def draw(self) -> None:
        """Draw the weights of all layers but the last anew, as He et al. do: no layer shrinks what it passes on."""
        for layer in (*self.down, self.bottleneck, *self.up, self.smooth):
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, batch: Tensor, size: tuple[int, int]) -> Tensor:
        """Features (N, C, h, w) of images (N, 3, H, W), normalised; `size` is (h, w).

        Raises:
            InputError: Images below 32 x 32, of which nothing is left after five halvings.
        """
        x = self.code(batch)
        for layer, rows, columns in zip(self.up, sides(batch.shape[2]), sides(batch.shape[3]), strict=True):
            x = self.dropout(functional.relu(layer(resized(x, (rows, columns)))))
        features: Tensor = self.out(functional.relu(self.smooth(resized(x, size))))
        return features

    def code(self, batch: Tensor) -> Tensor:
        """The code (N, CODE, 1, 1) of images (N, 3, H, W)."""
        height, width = batch.shape[2:]
        if min(height, width) < LEAST:
            raise InputError(f"an image must have at least {LEAST} x {LEAST} pixels, got {height} x {width}")
        for layer in self.down:
            batch = functional.relu(layer(batch))
        code: Tensor = self.bottleneck(resized(batch, (FIELD, FIELD)))
        return code


def sides(pixels: int) -> list[int]:
    """Sides to which the maps are enlarged on the way back, for an image of so many pixels.

    Example:
        >>> sides(256), sides(64)
        ([3, 8, 15, 32, 63, 127], [1, 2, 3, 8, 15, 31])
    """
    return [max(1, pixels // divisor - less) for divisor, less in ENLARGED]
