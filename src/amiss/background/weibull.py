"""Weibull distributions of the largest distances: how far is farther than known images ever lie."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amiss.core.errors import InputError

LEAST = 3
"""Distances that a Weibull is fitted to."""


def fit_tail(distances: NDArray[np.floating], count: int, name: str) -> tuple[float, float]:
    """Shape and scale of the Weibull distribution, from 0 on, of the largest distances; by maximum likelihood.

    Args:
        distances: (n,), of one class.
        count: How many of the largest; half of them where that is fewer, and 3 at least: a Weibull of all would take
            the known images in the middle for half unknown.
        name: How errors call the class.

    Raises:
        InputError: They are all equal, or not above 0.
    """
    from scipy.stats import weibull_min

    count = max(LEAST, min(count, len(distances) // 2))
    largest = np.sort(np.asarray(distances, np.float64))[-count:]
    if not largest[0] > 0 or largest[-1] - largest[0] <= 1e-6 * largest[-1]:
        raise InputError(
            f"the {len(largest)} images of {name!r} farthest from their mean must differ in their distance, got "
            f"{largest[0]:.3g} to {largest[-1]:.3g}; give more images that differ"
        )
    scale = float(largest.mean())  # of order 1, so that the search begins near its end
    shape, _, found = weibull_min.fit(largest / scale, floc=0)
    return float(shape), float(found * scale)


def weibull_cdf(distances: Tensor, shape: Tensor, scale: Tensor) -> Tensor:
    """Probability of a smaller distance, 1 - exp(-(d / scale)^shape): distances (..., K), shapes and scales (K,)."""
    return -torch.expm1(-((distances / scale) ** shape))
