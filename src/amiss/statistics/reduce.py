"""From a grid of patch scores to a map of pixel scores, and maps at other sizes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor
from torch.nn import functional as F

Size = tuple[int, int]


def resized(maps: Tensor, size: Size | torch.Size) -> Tensor:
    """Maps (N, C, h, w) at another (height, width), bilinearly; as they are where that is their own.

    Example:
        >>> resized(torch.tensor([[[[0.0, 1.0]]]]), (1, 4))
        tensor([[[[0.0000, 0.2500, 0.7500, 1.0000]]]])
    """
    height, width = size
    if (maps.shape[2], maps.shape[3]) == (height, width):
        return maps
    return F.interpolate(maps, (height, width), mode="bilinear", align_corners=False)


def smooth_upsample(grid: Tensor, size: Size, *, smoothing: float) -> Tensor:
    """Enlarge a grid bilinearly to `size` and smooth it with a Gaussian, as one product from each side.

    Both steps are linear and separable, so together they are ``A @ grid @ B^T`` with small constant matrices: exact,
    and cheaper than smoothing every pixel.

    Args:
        grid: (N, h, w).
        size: Height and width of the result.
        smoothing: Standard deviation of the Gaussian, in pixels of an image whose shorter side is 256; it scales
            with the image. 0 switches it off.

    Returns:
        (N, H, W).
    """
    sigma = smoothing * min(size) / 256
    rows = torch.from_numpy(_operator(grid.shape[1], size[0], sigma)).to(grid)
    columns = torch.from_numpy(_operator(grid.shape[2], size[1], sigma)).to(grid)
    return rows @ grid @ columns.T


def place_patches(grid: Tensor, size: Size, *, patch: int, stride: int) -> Tensor:
    """Scores of the patches that lie whole in an image, to scores of its pixels.

    Each score stands at the middle of its patch; between two middles it runs linearly, and out to the border it is
    that of the nearest patch. So the border never holds a maximum of its own, and with patches of an odd width the
    maximum of the map is that of the grid.

    Args:
        grid: (N, h, w).
        size: Height and width of the image.
        patch: Width of a patch, in pixels.
        stride: Pixels between two patches.

    Returns:
        (N, H, W).

    Example:
        >>> place_patches(torch.tensor([[[0.0, 2.0]]]), (3, 5), patch=3, stride=2)[0, 1]
        tensor([0., 0., 1., 2., 2.])
    """
    rows = torch.from_numpy(_placement(grid.shape[1], size[0], patch, stride)).to(grid)
    columns = torch.from_numpy(_placement(grid.shape[2], size[1], patch, stride)).to(grid)
    return rows @ grid @ columns.T


@lru_cache(maxsize=16)
def _placement(cells: int, pixels: int, patch: int, stride: int) -> NDArray[np.float32]:
    """Matrix (pixels, cells) of linear interpolation between the middles of patches."""
    middles = (patch - 1) / 2 + stride * np.arange(cells)
    return np.stack([np.interp(np.arange(pixels), middles, row) for row in np.eye(cells)], axis=1).astype(np.float32)


@lru_cache(maxsize=16)
def _operator(cells: int, pixels: int, sigma: float) -> NDArray[np.float32]:
    """Matrix (pixels, cells) of linear interpolation between cell centres, then Gaussian smoothing with reflection."""
    centres = (np.arange(pixels) + 0.5) * cells / pixels - 0.5
    positions = np.clip(centres, 0, cells - 1)
    matrix = np.stack([np.interp(positions, np.arange(cells), row) for row in np.eye(cells)], axis=1)
    if sigma > 0:
        matrix = gaussian_filter1d(matrix, sigma, axis=0, mode="reflect")
    return matrix.astype(np.float32)


def with_peak(maps: Tensor, scores: Tensor) -> Tensor:
    """Maps scaled so that their maxima are given scores: for an image score that is not the maximum by itself.

    Args:
        maps: (N, H, W), each with a maximum above 0.
        scores: (N,), above 0.

    Example:
        >>> with_peak(torch.tensor([[[1.0, 4.0]]]), torch.tensor([2.0]))
        tensor([[[0.5000, 2.0000]]])
    """
    return maps * (scores / maps.amax(dim=(1, 2))).view(-1, 1, 1)
