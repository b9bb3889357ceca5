"""Mahalanobis distance to one Gaussian or to a field of them, and the matrix that makes it a plain length."""

from __future__ import annotations

import torch
from torch import Tensor

from amiss.core.errors import InputError


def inverse_root(covariance: Tensor) -> Tensor:
    """W with ``W^T W = inverse covariance``: the inverse of the Cholesky factor, lower triangular.

    Args:
        covariance: (..., D, D), symmetric and positive definite; float64 is advised.

    Returns:
        (..., D, D).

    Raises:
        InputError: The matrix is not positive definite.

    Example:
        >>> inverse_root(torch.diag(torch.tensor([4.0, 25.0]))).diagonal()
        tensor([0.5000, 0.2000])
    """
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if failed.any():
        raise InputError(
            "a covariance arrived that cannot be inverted; give more normal pictures that differ, or regularise more"
        )
    identity = torch.eye(covariance.shape[-1], dtype=covariance.dtype)
    root: Tensor = torch.linalg.solve_triangular(factor, identity.expand_as(factor), upper=False)
    return root.contiguous()  # as it comes back from a file: another layout rounds in another order


def mahalanobis(vectors: Tensor, mean: Tensor, whitening: Tensor) -> Tensor:
    """Mahalanobis distance of vectors to one Gaussian.

    Args:
        vectors: (..., D).
        mean: (D,).
        whitening: (D, D), W with W^T W = inverse covariance.

    Returns:
        (...).

    Cost:
        D^2 multiply-adds a vector.

    Example:
        >>> mahalanobis(torch.tensor([[3.0, 4.0]]), torch.zeros(2), torch.eye(2) / 5)
        tensor([1.])
    """
    return ((vectors - mean) @ whitening.T).square().sum(dim=-1).sqrt()


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
