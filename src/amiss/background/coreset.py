"""Greedy k-centre: the few vectors that leave no other vector far away."""

from __future__ import annotations

import torch
from torch import Tensor

from amiss.core.checks import check_count
from amiss.core.progress import Progress, silent

_GATHER_BELOW = 0.3  # share of the points from which on one product with all beats gathering the candidates


def k_center_greedy(points: Tensor, count: int, *, first: int, progress: Progress = silent) -> Tensor:
    """Choose `count` points, each the one farthest from those chosen before (Gonzalez 1985).

    The covering radius (largest distance of any point to its nearest chosen one) is at most twice the best possible.
    The result is that of the plain greedy loop; the triangle inequality only skips distances that cannot matter: a
    point x owned by centre c can move to the new centre z only if ``|c - z| < 2 |x - c|``.

    Args:
        points: (N, D) float32.
        count: Number of points to choose; all of them when there are no more.
        first: Index of the first chosen point; it is kept.
        progress: Reports the stage "coreset".

    Returns:
        Indices of the chosen points in the order of their choice, (min(count, N),).

    Cost:
        At most N x count x D multiply-adds; a fraction of it once the radius shrinks. Memory N x (2 D + 4) numbers.
    """
    check_count("count", count)
    total = min(count, len(points))
    points = points - points.mean(dim=0)  # changes no distance, saves digits
    squares = points.square().sum(dim=1)  # (N,)
    chosen = torch.empty(total, dtype=torch.long)
    owner = torch.zeros(len(points), dtype=torch.long)  # number of the nearest chosen point, (N,)
    nearest = torch.full((len(points),), torch.inf)  # distance to it, (N,)
    for step in range(total):
        index = first if step == 0 else int(nearest.argmax())
        chosen[step] = index
        between = _distance(points, squares, chosen[:step], index)  # new centre to the old ones, (step,)
        half = torch.cat([between / 2, torch.zeros(1)])
        candidates = (nearest > half[owner]).nonzero().squeeze(1)
        if len(candidates) > _GATHER_BELOW * len(points):
            distance, closer = _distance(points, squares, None, index), None
            closer = (distance < nearest).nonzero().squeeze(1)
            nearest[closer] = distance[closer]
        else:
            distance = _distance(points, squares, candidates, index)
            better = distance < nearest[candidates]
            closer = candidates[better]
            nearest[closer] = distance[better]
        owner[closer] = step
        nearest[index] = 0.0
        progress("coreset", step + 1, total)
    return chosen


def _distance(points: Tensor, squares: Tensor, rows: Tensor | None, index: int) -> Tensor:
    """Euclidean distance of some rows (all when None) to the point `index`."""
    some, norms = (points, squares) if rows is None else (points[rows], squares[rows])
    return (norms + squares[index] - 2 * (some @ points[index])).clamp_min_(0).sqrt_()
