"""How far an image is from what a model rebuilt of it: the residuals by name, weighted and on several scales."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from amiss.core.errors import InputError
from amiss.statistics.difference import squared_distance
from amiss.statistics.reduce import resized
from amiss.statistics.similarity import QUADRATURE_TAPS, WINDOW, cw_ssim, least_side, ms_gms, ms_ssim, ssim

Residual = Callable[[Tensor, Tensor], Tensor]
"""Two batches (N, C, H, W) in [0, 1] to a map (N, H, W): 0 where they are the same."""

_LEVELS = 3  # of the wavelets

RESIDUALS: dict[str, tuple[Residual, int]] = {
    "l1": (lambda one, other: (one - other).abs().mean(dim=1), 1),
    "l2": (squared_distance, 1),
    "ssim": (lambda one, other: 1 - ssim(one, other), WINDOW),
    "ms_ssim": (lambda one, other: 1 - ms_ssim(one, other), least_side(5)),
    "cw_ssim": (lambda one, other: 1 - cw_ssim(one, other, levels=_LEVELS), QUADRATURE_TAPS * 2 ** (_LEVELS - 1)),
    "ms_gms": (lambda one, other: 1 - ms_gms(one, other), 3 * 8),
}
"""By name: the residual, and the smallest side of an image that has one."""


class WeightedResidual:
    """A weighted sum of residuals, summed over a pyramid: the loss of a model that rebuilds images, and its statistic.

    Args:
        names: Names of `RESIDUALS`, joined by "+", such as "l2+ssim".
        weights: One number above 0 per name, or none for equal ones.
        scales: Scales of the pyramid, each half the one before by the mean of 2 x 2 pixels; 1 for the image alone.

    Raises:
        InputError: An unknown name, or another number of weights.

    Example:
        >>> image = torch.zeros(1, 3, 32, 32)
        >>> float(WeightedResidual("l2", scales=2).map(image, image + 0.5)[0, 0, 0])
        0.5
    """

    def __init__(self, names: str, weights: Sequence[float] = (), scales: int = 1) -> None:
        self.names = tuple(names.split("+"))
        if not RESIDUALS.keys() >= set(self.names):
            raise InputError(f"loss must be made of {', '.join(RESIDUALS)}, joined by +, got {names!r}")
        if len(weights) not in (0, len(self.names)):
            raise InputError(f"weights must be {len(self.names)} for {names!r}, or none, got {tuple(weights)!r}")
        self.weights, self.scales = tuple(weights) or (1.0,) * len(self.names), scales

    @property
    def least(self) -> int:
        """Smallest side of an image that it can take."""
        return int(max(RESIDUALS[name][1] for name in self.names) << (self.scales - 1))

    def check_size(self, height: int, width: int) -> None:
        """Refuse images that are too small.

        Raises:
            InputError: A side below `least`.
        """
        if min(height, width) < self.least:
            raise InputError(
                f"images must have at least {self.least} x {self.least} pixels for loss={'+'.join(self.names)!r} on "
                f"{self.scales} scales, got {height} x {width}"
            )

    def map(self, one: Tensor, other: Tensor) -> Tensor:
        """(N, H, W) of two batches (N, C, H, W) in [0, 1]; coarser scales are enlarged bilinearly."""
        size, maps = (one.shape[2], one.shape[3]), []
        for scale in range(self.scales):
            if scale > 0:
                one, other = F.avg_pool2d(one, 2), F.avg_pool2d(other, 2)
            for name, weight in zip(self.names, self.weights, strict=True):
                found = weight * RESIDUALS[name][0](one, other)[:, None]
                maps.append(resized(found, size))
        return torch.stack(maps).sum(dim=0)[:, 0]

    def __call__(self, one: Tensor, other: Tensor) -> Tensor:
        """Mean of the map, a scalar: the loss."""
        return self.map(one, other).mean()
