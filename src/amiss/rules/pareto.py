"""The generalised Pareto distribution: what lies beyond a high threshold, whatever the distribution below it.

P(excess > x) = (1 + shape x / scale)^(-1 / shape): shape 0 is exponential, positive heavy-tailed, negative bounded.
Every function takes many samples or many distributions at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def fit_pareto(excess: Floats) -> tuple[Floats, Floats]:
    """Shape and scale of B samples, by the estimator of Zhang and Stephens (Technometrics 51, 2009).

    The likelihood with the scale profiled out is averaged over a grid instead of maximised. With some dozens of
    numbers that is closer than maximum likelihood, which does not even exist for shapes below -1, needs no iteration,
    and never puts the end of a bounded distribution inside the sample.

    Args:
        excess: Positive numbers, ascending along the last axis, (B, k) with k >= 4.

    Returns:
        Shape and scale, (B,) each.

    Example:
        >>> from scipy import stats
        >>> sample = stats.genpareto(0.2, scale=3).ppf((np.arange(500) + 0.5) / 500)
        >>> shape, scale = fit_pareto(sample[None])
        >>> round(float(shape[0]), 1), round(float(scale[0]), 1)
        (0.2, 3.0)
    """
    k = excess.shape[-1]
    largest = excess[:, -1:]
    unit = excess / largest
    points = 30 + int(np.sqrt(k))
    steps = 1 - np.sqrt(points / (np.arange(1, points + 1) - 0.5))
    grid = 1 + steps / (3 * unit[:, int(k / 4 + 0.5) - 1, None])  # -shape / scale, always below 1 / largest
    grid = np.where(grid == 0, 1e-12, grid)  # (B, points)
    negative_shape = -_mean_log(grid, unit)
    likelihood = k * (np.log(grid / negative_shape) + negative_shape - 1)
    weight = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
    ratio = (grid * weight).sum(axis=1, keepdims=True) / weight.sum(axis=1, keepdims=True)
    ratio = np.where(ratio == 0, 1e-12, ratio)
    shape = _mean_log(ratio, unit)
    return shape[:, 0], (-shape / ratio * largest)[:, 0]


def _mean_log(ratio: Floats, unit: Floats) -> Floats:
    """Mean of log(1 - ratio x) over each sample: (B, points) for ratio (B, points) and sample (B, k)."""
    return np.asarray(np.log1p(-ratio[:, :, None] * unit[:, None, :]).mean(axis=2), np.float64)


def share_above(excess: Floats, shape: Floats, scale: Floats) -> Floats:
    """P(excess > x), in [0, 1]; the arguments broadcast.

    Example:
        >>> one = np.ones(1)
        >>> share_above(np.array([0.0, 1.0]), one, one).tolist(), share_above(one, -one, one).tolist()
        ([1.0, 0.5], [0.0])
    """
    shape = _not_zero(shape)
    with np.errstate(divide="ignore", over="ignore"):
        return np.exp(-np.log1p(np.maximum(shape * excess / scale, -1)) / shape)


def excess_at(share: Floats, shape: Floats, scale: Floats) -> Floats:
    """The x with P(excess > x) = share, in (0, 1]; the inverse of `share_above`."""
    shape = _not_zero(shape)
    with np.errstate(over="ignore"):
        return np.asarray(scale * np.expm1(-shape * np.log(share)) / shape, np.float64)


def _not_zero(shape: Floats) -> Floats:
    """The exponential distribution as the limit of small shapes."""
    return np.where(np.abs(shape) < 1e-9, 1e-9, shape)
