"""Mahalanobis distance to a field of Gaussians."""

from __future__ import annotations

from torch import Tensor


def mahalanobis_field(vectors: Tensor, mean: Tensor, whitening: Tensor) -> Tensor:
    """Mahalanobis distance of each vector to the Gaussian of its position.

    Args:
        vectors: (N, P, D) for P positions.
        mean: (P, D).
        whitening: (P, D, D), W with W^T W = inverse covariance.

    Returns:
        (N, P).

    Cost:
        P x D^2 multiply-adds an image.
    """
    centred = (vectors - mean).permute(1, 2, 0)  # (P, D, N)
    return (whitening @ centred).square().sum(dim=1).sqrt().T  # (N, P)
