"""Mahalanobis distance to one Gaussian or to a field of them, and the matrix that makes it a plain length."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from amiss.core.errors import InputError

STRIP = 32
"""Most rows of a strip of a triangular matrix."""


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
        raise InputError("the covariance cannot be inverted; give more normal images that differ, or regularise more")
    identity = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
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


def strip_edges(dimension: int) -> list[tuple[int, int]]:
    """First row and end of each strip of a triangular matrix (D, D): strips as even as can be, of up to 32 rows.

    Example:
        >>> strip_edges(70)
        [(0, 23), (23, 46), (46, 70)]
    """
    count = -(-dimension // STRIP)
    edges = [dimension * number // count for number in range(count + 1)]
    return list(pairwise(edges))


def mahalanobis_field(vectors: Tensor, mean: Tensor, strips: Sequence[Tensor]) -> Tensor:
    """Mahalanobis distance of each vector to the Gaussian of its position.

    Args:
        vectors: (N, P, D) for P positions.
        mean: (P, D).
        strips: The rows of W with W^T W = inverse covariance, W lower triangular: some rows each, ascending,
            (P, rows, columns); what lies to the right of a strip is zero. A whole W is a single strip.

    Returns:
        (N, P).

    Cost:
        Of one strip P x D^2 multiply-adds per image; of strips with few rows each half as many.
    """
    centred = (vectors - mean).permute(1, 2, 0)  # (P, D, N)
    squares = [(strip @ centred[:, : strip.shape[2]]).square().sum(dim=1) for strip in strips]  # (P, N) each
    return torch.stack(squares).sum(dim=0).sqrt().T  # (N, P)
