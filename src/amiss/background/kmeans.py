"""k-means by mini-batches: centroids of a stream of vectors, in bounded memory."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from amiss.core.checks import check_count
from amiss.statistics.knn import closeness, distance, nearest_distance

_TRIES = 4
"""Candidates a step of the seeding; the one that lowers the inertia most is taken."""

_BLOCK = 4096  # points whose differences are held at a time


class KMeans:
    """Centroids that follow a stream: each is the running mean of the vectors that were nearest to it.

    A batch first finds its nearest centroids, then moves each by the share of the new vectors in all it has seen
    (Sculley 2010). Let the stream go by several times; later passes move less.

    Args:
        centroids: Where to begin, (K, D); see `spread_seeds`.

    Attributes:
        centroids: (K, D) float32.
        counts: Vectors seen by each, (K,). A centroid that saw none stays where it began.

    Cost:
        K x D multiply-adds a vector; K x (D + 1) numbers, whatever the length of the stream.

    Example:
        >>> points = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
        >>> model = KMeans(points[[0, 3]])
        >>> model.add(points)
        >>> model.centroids.tolist(), model.inertia(points)
        ([[0.5], [10.5]], 1.0)
    """

    def __init__(self, centroids: Tensor) -> None:
        self.centroids = centroids.clone()
        self.counts = torch.zeros(len(centroids), dtype=torch.long)

    def add(self, vectors: Tensor) -> None:
        """Take in a batch (B, D)."""
        owner = self.assign(vectors)
        new = torch.bincount(owner, minlength=len(self.counts))
        self.counts += new
        moves = torch.zeros_like(self.centroids).index_add_(0, owner, vectors - self.centroids[owner])
        self.centroids += moves / self.counts.clamp(min=1)[:, None]

    def assign(self, vectors: Tensor) -> Tensor:
        """Number of the nearest centroid of each vector (B, D), (B,)."""
        center = self.centroids.mean(dim=0)
        return closeness(vectors - center, self.centroids - center).argmax(dim=1)

    def inertia(self, vectors: Tensor) -> float:
        """Sum of squared distances of vectors (B, D) to their nearest centroids."""
        center = self.centroids.mean(dim=0)
        return float(nearest_distance(vectors - center, self.centroids - center).double().square().sum())


def spread_seeds(points: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """Points to begin k-means with (k-means++, Arthur and Vassilvitskii 2007, with several tries per step).

    Each further point is drawn with a probability proportional to its squared distance to the nearest one chosen.

    Args:
        points: (P, D).
        count: Number of points to choose; all of them when there are no more.
        rng: Where the choice is drawn.

    Returns:
        Numbers of the chosen points, (min(count, P),); points that coincide are chosen again only when no others are
        left.

    Cost:
        4 x count x P x D additions and multiplications; besides the points some P numbers.
    """
    total = min(check_count("count", count), len(points))
    chosen = [int(rng.integers(len(points)))]
    squares = _squares(points, chosen[0])  # to the nearest chosen point, (P,)
    while len(chosen) < total:
        mass = np.cumsum(squares.numpy().astype(np.float64))
        if mass[-1] == 0:  # every point coincides with a chosen one
            rest = np.setdiff1d(np.arange(len(points)), chosen)
            return torch.tensor([*chosen, *rest[: total - len(chosen)]])
        drawn = np.searchsorted(mass, rng.random(_TRIES) * mass[-1], side="right").clip(max=len(points) - 1)
        trials = [torch.minimum(squares, _squares(points, int(index))) for index in drawn]
        best = int(np.argmin([float(trial.double().sum()) for trial in trials]))
        chosen.append(int(drawn[best]))
        squares = trials[best]
    return torch.tensor(chosen)


def _squares(points: Tensor, index: int) -> Tensor:
    parts = [points[start : start + _BLOCK] for start in range(0, len(points), _BLOCK)]
    return torch.cat([distance(part, points[index]) for part in parts]).square_()
