"""From feature maps of several stages to one grid: the finest for patches, the deepest for tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from amiss.statistics.reduce import resized

SPREADS = 2
"""Numbers that `spreads` makes of each channel."""


def spreads(features: Tensor) -> Tensor:
    """Mean and deviation of each channel over all positions: (N, C, h, w) to (N, 2 C)."""
    return torch.cat([features.mean(dim=(2, 3)), features.var(dim=(2, 3), correction=0).sqrt()], dim=1)


def patch_descriptors(features: Sequence[Tensor], *, neighbourhood: int = 1) -> Tensor:
    """Concatenate stages on the grid of the finest one.

    Args:
        features: One (N, C_i, h_i, w_i) per stage, finest first.
        neighbourhood: Odd width of the square over which each stage is averaged first; 1 leaves it as it is. At the
            border the mean is over the cells inside.

    Returns:
        (N, sum of C_i, h, w); coarser stages are resized bilinearly.
    """
    grid = features[0].shape[2:]
    aligned = []
    for feature in features:
        if neighbourhood > 1:
            feature = F.avg_pool2d(feature, neighbourhood, 1, neighbourhood // 2, count_include_pad=False)
        aligned.append(resized(feature, grid))
    return torch.cat(aligned, dim=1)


def on_deepest_grid(features: Sequence[Tensor]) -> list[Tensor]:
    """Each stage on the grid of the last one: means over whole squares of cells, or bilinearly where none are whole.

    Args:
        features: One (N, C_i, h_i, w_i) per stage, finest first.

    Returns:
        One (N, C_i, h, w) per stage.

    Example:
        >>> fine, coarse = torch.tensor([[[[1.0, 3.0], [5.0, 7.0]]]]), torch.zeros(1, 2, 1, 1)
        >>> on_deepest_grid([fine, coarse])[0].tolist()
        [[[[4.0]]]]
    """
    height, width = features[-1].shape[2:]
    aligned = []
    for feature in features:
        down, right = feature.shape[2] // height, feature.shape[3] // width
        if (down * height, right * width) == tuple(feature.shape[2:]) and max(down, right) > 1:
            feature = F.avg_pool2d(feature, (down, right))
        aligned.append(resized(feature, (height, width)))
    return aligned
