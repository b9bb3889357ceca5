"""Networks without anything that could give a constant: no bias, no affine normalisation, no bounded activation.

With their weights at 0 they give 0, and nothing else that is the same for every input; see
`amiss.background.hypersphere`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAST_SIDE = 8
"""Pixels of the smallest image that `UnbiasedEncoder` takes: it halves three times."""


def unbiased_dense(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers of these sizes with leaky rectifiers between them.

    Example:
        >>> network = unbiased_dense((5, 8, 3))
        >>> bool((network(torch.zeros(1, 5)) == 0).all()), tuple(network(torch.ones(2, 5)).shape)
        (True, (2, 3))
    """
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after, bias=False), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers[:-1])


class UnbiasedEncoder(nn.Module):
    """Three convolutions of 5 x 5, each halved, and a linear layer: from a small square image to a vector.

    Args:
        side: Height and width of the images, a multiple of `LEAST_SIDE`.
        width: Channels of the first convolution; two and four times as many after it.
        dimension: Length of the vector.
    """

    def __init__(self, side: int, width: int, dimension: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((3, width, 2 * width, 4 * width)):
            layers += [nn.Conv2d(before, after, 5, padding=2, bias=False), nn.BatchNorm2d(after, affine=False)]
            layers += [nn.LeakyReLU(0.1), nn.MaxPool2d(2)]
        self.convolutions = nn.Sequential(*layers)
        self.out = nn.Linear(4 * width * (side // LEAST_SIDE) ** 2, dimension, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Vectors (N, dimension) of images (N, 3, side, side)."""
        vectors: Tensor = self.out(self.convolutions(images).flatten(1))
        return vectors


class VectorDecoder(nn.Module):
    """Rebuilds what a network has made a vector of, to give that network a start. Thrown away after it.

    Args:
        dimension: Length of the vector.
        shape: Shape of what is rebuilt, (D,) or (3, side, side).
    """

    def __init__(self, dimension: int, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)
        hidden = 4 * dimension
        self.network = nn.Sequential(
            nn.Linear(dimension, hidden), nn.LeakyReLU(0.1), nn.Linear(hidden, int(torch.tensor(shape).prod()))
        )

    def forward(self, vectors: Tensor) -> Tensor:
        """(N, *shape) of vectors (N, dimension)."""
        rebuilt: Tensor = self.network(vectors)
        return rebuilt.view(-1, *self.shape)


def contrast_normalised(images: Tensor) -> Tensor:
    """Images (N, C, H, W) less their own mean, divided by their own mean absolute deviation.

    Example:
        >>> contrast_normalised(torch.tensor([[[[0.25, 0.75]]]]))
        tensor([[[[-1.,  1.]]]])
    """
    centred = images - images.mean(dim=(1, 2, 3), keepdim=True)
    return centred / centred.abs().mean(dim=(1, 2, 3), keepdim=True).clamp_min(1e-3)


def shrunk(images: Tensor, side: int) -> Tensor:
    """Images (N, C, H, W) as squares of `side` pixels, each the mean of what it covers."""
    return F.interpolate(images, (side, side), mode="bilinear", align_corners=False, antialias=True)
