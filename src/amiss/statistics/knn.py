"""Distances to the nearest vectors of a memory bank.

The nearest y of x has the largest closeness ``x.y - |y|^2 / 2``, so one product finds it. The distance is then measured
on the difference itself, which keeps its digits when x and y are close. Centre both on the bank's mean first, so that
the closeness keeps its digits too.
"""

from __future__ import annotations

import torch
from torch import Tensor


def closeness(queries: Tensor, bank: Tensor) -> Tensor:
    """A number that grows as the Euclidean distance of a query to a bank vector shrinks: ``x.y - |y|^2 / 2``.

    Args:
        queries: (..., D).
        bank: (M, D).

    Returns:
        (..., M). Comparable along the bank only, not between queries.

    Cost:
        M x D multiply-adds and M numbers a query.
    """
    rows = torch.cat([bank, -0.5 * bank.square().sum(dim=1, keepdim=True)], dim=1)  # the half square meets a 1
    return torch.nn.functional.pad(queries, (0, 1), value=1.0) @ rows.T


def distance(one: Tensor, other: Tensor) -> Tensor:
    """Euclidean distance (...) between vectors (..., D), measured on the difference."""
    return (one - other).square().sum(dim=-1).sqrt()


def nearest_distance(queries: Tensor, bank: Tensor, *, axes: Tensor | None = None) -> Tensor:
    """Euclidean distance of each query to its nearest bank vector, in float32.

    Args:
        queries: (..., D).
        bank: (M, D).
        axes: Directions (D, K) of `principal_axes`, along which the nearest is looked for; None looks at everything.
            Then another vector than the nearest may be found, and its distance, which is measured in full, is larger.

    Returns:
        (...).

    Cost:
        M x D multiply-adds a query; with axes M x (K + 1) and D x K.
    """
    if axes is None:
        return distance(queries, bank[closeness(queries, bank).argmax(dim=-1)])
    return distance(queries, bank[closeness(shortened(queries, axes), shortened(bank, axes)).argmax(dim=-1)])


def principal_axes(bank: Tensor, count: int) -> Tensor:
    """The `count` orthonormal directions along which vectors (M, D) are longest in the square mean, (D, count)."""
    vectors: Tensor = torch.linalg.eigh(bank.T.double() @ bank.double()).eigenvectors  # the longest last
    return vectors.flip(1)[:, :count].to(bank)


def shortened(vectors: Tensor, axes: Tensor) -> Tensor:
    """Coordinates along orthonormal axes, and the length of what they leave out.

    The distance of two shortened vectors is never larger than that of the two vectors.

    Args:
        vectors: (..., D).
        axes: (D, K).

    Returns:
        (..., K + 1).

    Example:
        >>> shortened(torch.tensor([[3.0, 4.0, 12.0]]), torch.eye(3)[:, :1]).round(decimals=3)
        tensor([[ 3.0000, 12.6490]])
    """
    along = vectors @ axes
    rest = vectors.square().sum(dim=-1, keepdim=True) - along.square().sum(dim=-1, keepdim=True)
    return torch.cat([along, rest.clamp_min(0).sqrt()], dim=-1)


def nearest(queries: Tensor, bank: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` nearest bank vectors of each query, or all when there are no more.

    Args:
        queries: (..., D).
        bank: (M, D).
        count: At least 1.

    Returns:
        Distances (..., count), ascending up to rounding, and numbers of the vectors in the bank (..., count).

    Cost:
        M x D multiply-adds and count x D numbers a query.

    Example:
        >>> distances, numbers = nearest(torch.tensor([[0.0]]), torch.tensor([[3.0], [-1.0], [2.0]]), 2)
        >>> distances.tolist(), numbers.tolist()
        ([[1.0, 2.0]], [[1, 2]])
    """
    numbers = closeness(queries, bank).topk(min(count, len(bank)), dim=-1).indices  # (..., count)
    return distance(queries.unsqueeze(-2), bank[numbers]), numbers


def nearest_distance_of_each(queries: Tensor, banks: Tensor) -> Tensor:
    """As `nearest_distance`, but every image has a bank of its own.

    Args:
        queries: (N, P, D).
        banks: (N, M, D).

    Returns:
        (N, P).

    Cost:
        M x D multiply-adds and M numbers a query.
    """
    close = torch.baddbmm(-0.5 * banks.square().sum(dim=2).unsqueeze(1), queries, banks.transpose(1, 2))  # (N, P, M)
    found = close.argmax(dim=2, keepdim=True).expand(-1, -1, banks.shape[2])  # (N, P, D)
    return distance(queries, banks.gather(1, found))
