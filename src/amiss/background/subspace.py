"""Principal axes of normal vectors, from running sums."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from amiss.background.gaussian import Gaussian
from amiss.core.errors import InputError


@dataclass(frozen=True)
class Subspace:
    """The principal axes of D-dimensional vectors, and how many of them hold most of the variance.

    Args:
        mean: (D,) float64.
        axes: (D, D) float64, one axis a column, the one with the largest variance first.
        variance: (D,) variance along each axis, in the vectors' unit squared.
        kept: k, the least number of axes that hold the share asked for; at least 1 and at most D - 1.
    """

    mean: Tensor
    axes: Tensor
    variance: Tensor
    kept: int

    @classmethod
    def of(cls, gaussian: Gaussian, share: float) -> Subspace:
        """The subspace that holds at least `share` of the variance, as far as k < D allows.

        Raises:
            InputError: Fewer than two vectors, vectors that do not vary, or of a single dimension.
        """
        gaussian.check_varies()
        variance, axes = torch.linalg.eigh(gaussian.covariance())  # ascending
        variance, axes = variance.flip(0).clamp_min(0), axes.flip(1)
        if len(variance) < 2:
            raise InputError("vectors must have at least 2 dimensions, of which a subspace leaves one out, got 1")
        held = variance.cumsum(0) / variance.sum()
        kept = int((held < share).sum()) + 1
        return cls(gaussian.mean, axes, variance, min(kept, len(variance) - 1))

    def rest(self) -> Tensor:
        """The axes that are left out, (D, D - k): what lies along them cannot be reconstructed."""
        return self.axes[:, self.kept :].contiguous()

    def whitening(self) -> Tensor:
        """(D, k): a centred vector times it has the coordinates in the subspace, each with variance 1."""
        return (self.axes[:, : self.kept] / self.variance[: self.kept].sqrt()).contiguous()
