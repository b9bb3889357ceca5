"""From pixels to what networks take."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def to_batch(pixels: Tensor) -> Tensor:
    """uint8 (N, H, W, 3) to float32 (N, 3, H, W) in [0, 1]: the first step of every exported graph too."""
    return pixels.permute(0, 3, 1, 2).float() / 255


def turned(batch: Tensor, degrees: float) -> Tensor:
    """Images (N, 3, H, W) turned anticlockwise about their centres; what comes in from outside repeats the border.

    Example:
        >>> turned(torch.arange(4.0).view(1, 1, 2, 2), 90)[0, 0].round().tolist()
        [[1.0, 3.0], [0.0, 2.0]]
    """
    if degrees % 360 == 0:
        return batch
    height, width = batch.shape[2:]
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    to_source = torch.tensor([[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]])
    grid = F.affine_grid(to_source.expand(len(batch), 2, 3).to(batch), list(batch.shape), align_corners=False)
    return F.grid_sample(batch, grid, padding_mode="border", align_corners=False)
