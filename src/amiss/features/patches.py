"""From feature maps of several stages to one descriptor per patch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from amiss.statistics.reduce import resized


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
