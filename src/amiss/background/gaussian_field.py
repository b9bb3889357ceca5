"""A Gaussian at every position, from running sums."""

from __future__ import annotations

import torch
from torch import Tensor

from amiss.core.errors import InputError
from amiss.statistics.mahalanobis import inverse_root


class GaussianField:
    """Mean and covariance of D-dimensional vectors at each of P positions, without keeping the vectors.

    Sums run in float64 around the first vector seen at each position: a sum of squares around a point close to the
    mean loses no digits when the mean is subtracted.

    Args:
        positions: P.
        dimension: D.

    Cost:
        P x D^2 multiply-adds an image; P x (D^2 + 2 D) float64 numbers, whatever the number of images.
    """

    def __init__(self, positions: int, dimension: int) -> None:
        self.count = 0
        self._origin = torch.zeros(positions, dimension, dtype=torch.float64)
        self._sum = torch.zeros(positions, dimension, dtype=torch.float64)
        self._products = torch.zeros(positions, dimension, dimension, dtype=torch.float64)

    def add(self, vectors: Tensor) -> None:
        """Take in a batch (N, P, D)."""
        vectors = vectors.double()
        if self.count == 0:
            self._origin = vectors[0].clone()
        shifted = (vectors - self._origin).transpose(0, 1)  # (P, N, D)
        self.count += len(vectors)
        self._sum += shifted.sum(dim=1)
        self._products.baddbmm_(shifted.transpose(1, 2), shifted)  # in place: P x D^2 numbers are large

    @property
    def mean(self) -> Tensor:
        """(P, D) float64."""
        self._check(1)
        return self._origin + self._sum / self.count

    def covariance(self) -> Tensor:
        """Unbiased covariance (P, D, D) float64; of rank at most count - 1.

        Raises:
            InputError: Fewer than two vectors.
        """
        self._check(2)
        drift = self._sum / self.count
        return (self._products - self.count * drift[:, :, None] * drift[:, None, :]) / (self.count - 1)

    def variance(self) -> Tensor:
        """Diagonal of the covariance (P, D) float64, without the rest of it.

        Raises:
            InputError: Fewer than two vectors.
        """
        self._check(2)
        drift = self._sum / self.count
        return (self._products.diagonal(dim1=1, dim2=2) - self.count * drift.square()) / (self.count - 1)

    def whitening(self, regularisation: float) -> Tensor:
        """W (P, D, D) float32 with ``W^T W = (covariance + regularisation * I)^-1``.

        The regularised covariance is factorised by Cholesky in float64 and W is the inverse of the factor: positive
        definite for any number of images, since rounding (1e-16 relative) is far below any sensible regularisation.

        Args:
            regularisation: Added variance, > 0, in units of the vectors squared.
        """
        covariance = self.covariance()
        identity = torch.eye(covariance.shape[1], dtype=torch.float64)
        return inverse_root(covariance + regularisation * identity).float()

    def _check(self, least: int) -> None:
        if self.count < least:
            raise InputError(f"{self.count} vectors a position; at least {least} are needed")
