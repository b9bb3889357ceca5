"""Does a sample look like the distribution that a rule assumes? Anderson-Darling, which looks hardest at the tails."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def anderson_darling(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """The statistic A^2 of Anderson and Darling (1952) for uniform numbers: 0 fits perfectly, larger fits worse.

    Args:
        levels: Distribution function at the sample, ascending along the last axis, (..., n) in [0, 1].

    Returns:
        One number a sample, (...).

    Example:
        >>> round(float(anderson_darling(np.array([0.25, 0.5, 0.75]))), 4)
        0.2694
    """
    n = levels.shape[-1]
    inside = np.clip(levels, 1e-15, 1 - 1e-15)
    weights = 2 * np.arange(1, n + 1) - 1
    terms = weights * (np.log(inside) + np.log1p(-inside[..., ::-1]))
    return np.asarray(-n - terms.mean(axis=-1), np.float64)


def normality(scores: NDArray[np.floating]) -> float:
    """p-value of the hypothesis that the scores come from one normal distribution of unknown mean and deviation.

    The approximation of D'Agostino and Stephens, "Goodness-of-fit techniques" (1986), table 4.9, for at least 8 scores.

    Args:
        scores: Ascending, (n,), not all the same.

    Returns:
        In (0, 1); small = not normal.

    Example:
        >>> from scipy import stats
        >>> levels = (np.arange(50) + 0.5) / 50
        >>> normality(stats.norm.ppf(levels)) > 0.9, normality(stats.expon.ppf(levels)) < 0.001
        (True, True)
    """
    from scipy.special import ndtr

    values = np.asarray(scores, np.float64)
    n = len(values)
    statistic = float(anderson_darling(ndtr((values - values.mean()) / values.std(ddof=1))))
    a = statistic * (1 + 0.75 / n + 2.25 / n**2)
    if a >= 0.6:
        return math.exp(1.2937 - 5.709 * min(a, 13.0) + 0.0186 * min(a, 13.0) ** 2)
    if a >= 0.34:
        return math.exp(0.9177 - 4.279 * a - 1.38 * a**2)
    if a >= 0.2:
        return 1 - math.exp(-8.318 + 42.796 * a - 59.938 * a**2)
    return 1 - math.exp(-13.436 + 101.14 * a - 223.73 * a**2)
