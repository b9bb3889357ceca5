"""What scores normal cells have near the border of an image, and the map that brings them to the level inside."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

RINGS = 4
"""Rings of cells along the border that have a level of their own; further in, all cells have the same."""


class BorderLevel(nn.Module):
    """Mean and spread of normal scores by the distance to the border; new scores are brought to those inside.

    A network sees nothing beyond the border, whatever stands in for it, so a normal cell there is stranger than one
    inside, and the maximum of a good image lies on its rim. A cell of ring r gets
    ``(score - mean_r) / std_r std + mean`` with the mean and standard deviation of the cells inside, which keep their
    own scores. A rim whose normal scores are lower than those inside is raised by this: a defect there counts no less.

    Example:
        >>> level = BorderLevel()
        >>> normal = torch.rand(50, 12, 12)
        >>> normal[:, 0] += 3
        >>> level.learn([normal])
        >>> bool(level(normal)[:, 0].mean() < 1)
        True
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(RINGS + 1))
        self.register_buffer("std", torch.ones(RINGS + 1))

    @torch.no_grad()
    def learn(self, grids: Iterable[Tensor]) -> None:
        """Take scores (N, h, w) of normal cells that the model does not owe to the very image they come from."""
        sums = torch.zeros(3, RINGS + 1, dtype=torch.float64)  # count, sum, sum of squares
        for grid in grids:
            ring = rings(grid.shape[1], grid.shape[2]).flatten()
            grid = grid.cpu().double()
            powers = torch.stack([grid**power for power in range(3)]).flatten(2).sum(dim=1)  # (3, h w)
            sums.index_add_(1, ring, powers)
        if not bool(sums[0].any()):
            return
        count, inside = sums[0], int(sums[0].nonzero()[-1])
        mean = sums[1] / count.clamp_min(1)
        std = (sums[2] / count.clamp_min(1) - mean.square()).clamp_min(0).sqrt()
        empty = (count == 0) | (std == 0)
        self.mean = torch.where(empty, mean[inside], mean).to(self.mean)
        self.std = torch.where(empty, std[inside], std).to(self.std)
        if bool((self.std == 0).any()):  # scores that do not vary have no level to be brought to
            self.mean, self.std = torch.zeros_like(self.mean), torch.ones_like(self.std)

    def forward(self, grid: Tensor) -> Tensor:
        """Scores (N, h, w), brought to the level inside."""
        ring = rings(grid.shape[1], grid.shape[2])
        scale = (self.std[-1] / self.std)[ring]  # (h, w)
        return grid * scale + (self.mean[-1] - self.mean * self.std[-1] / self.std)[ring]


def rings(height: int, width: int) -> Tensor:
    """For each cell of a grid its distance to the border in cells, at most `RINGS`, (height, width).

    Example:
        >>> rings(3, 4)
        tensor([[0, 0, 0, 0],
                [0, 1, 1, 0],
                [0, 0, 0, 0]])
    """
    rows, columns = torch.arange(height), torch.arange(width)
    down, right = torch.minimum(rows, height - 1 - rows), torch.minimum(columns, width - 1 - columns)
    return torch.minimum(down[:, None], right).clamp_max(RINGS)
