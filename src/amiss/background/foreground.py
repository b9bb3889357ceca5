"""Which patches show the part and which the background behind it, from a few normal images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

RIM = 0.2
"""Most of the cells along the border that may look like the part; where there are more, no background is told."""

PART = (0.05, 0.95)
"""Shares of all cells between which a part must lie."""


class Foreground(nn.Module):
    """Patches of the part, by the first principal axis of those of normal images.

    Along that axis patches are divided in two where the groups differ most (Otsu 1979). The group that fills the
    border is background. Where more than a fifth of the border looks like the part, as in images of a texture or of a
    part that is cut off, nothing is told from anything, and every patch counts (Damm et al. 2024). The part is widened
    by one cell, so that what sticks out of it is still looked at; what lies further off is not.

    Example:
        >>> patches = torch.zeros(2, 9, 9, 3)
        >>> patches[:, 3:6, 3:6] = 1.0
        >>> part = Foreground(3)
        >>> part.learn(patches)
        >>> part(patches)[0].sum(), bool(part.told)
        (tensor(25.), True)
    """

    mean: Tensor
    axis: Tensor
    split: Tensor
    told: Tensor

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("axis", torch.zeros(dimension))
        self.register_buffer("split", torch.zeros(()))
        self.register_buffer("told", torch.zeros(()))

    @torch.no_grad()
    def learn(self, patches: Tensor) -> None:
        """Take patches (N, h, w, D) of normal images."""
        flat = patches.flatten(0, 2)
        self.mean = flat.mean(dim=0)
        axis = (
            torch.linalg.eigh((flat - self.mean).T.double() @ (flat - self.mean).double()).eigenvectors[:, -1].float()
        )
        along = ((flat - self.mean) @ axis).view(patches.shape[:3])
        split = otsu(along.flatten().double().numpy())
        rim = torch.ones(patches.shape[1:3], dtype=torch.bool)
        rim[1:-1, 1:-1] = False
        if float((along[:, rim] > split).double().mean()) > 0.5:
            axis, along, split = -axis, -along, -split
        self.axis, self.split = axis, torch.tensor(split, dtype=torch.float32)
        outside, share = (float((some > split).double().mean()) for some in (along[:, rim], along))
        self.told = torch.tensor(float(outside <= RIM and PART[0] <= share <= PART[1]))

    def forward(self, patches: Tensor) -> Tensor:
        """1 where patches (N, h, w, D) show the part or are next to one that does, else 0, (N, h, w)."""
        part = ((patches - self.mean) @ self.axis > self.split).float()
        wider = F.max_pool2d(part[:, None], 3, stride=1, padding=1)[:, 0]
        return torch.maximum(wider, 1 - self.told)


def otsu(values: NDArray[np.float64] | Sequence[float]) -> float:
    """The number that divides values into the two groups with the least variance inside them.

    Example:
        >>> otsu([0.0, 0.1, 0.2, 5.0, 5.2])
        2.6
    """
    ordered = np.sort(np.asarray(values, np.float64))
    below = np.arange(1, len(ordered))
    sums = np.cumsum(ordered)[:-1]
    means = sums / below - (ordered.sum() - sums) / (len(ordered) - below)
    best = int((below * (len(ordered) - below) * means**2).argmax())
    return float((ordered[best] + ordered[best + 1]) / 2)
