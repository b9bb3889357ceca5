"""Dirichlet distributions: how a classifier's posterior probabilities of normal images spread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln, polygamma

FLOOR = 1e-12
"""Least probability: a logarithm must be finite."""

CLOSE = 1e-6
"""Relative change of the parameters at which the iteration ends."""

MOST_ITERATIONS = 1000
"""It converges slowly where probabilities hardly vary, and then nothing depends on the last digits."""


def fit_dirichlet(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Maximum-likelihood parameters of Dirichlet distributions, by Minka's fixed-point iteration.

    Args:
        probabilities: Vectors that each sum to 1, (..., N, K); at least 2 of each distribution.

    Returns:
        The parameters alpha, all above 0, (..., K).

    Cost:
        The sum over N once; then a digamma function and its inverse per parameter and iteration, some hundred as a
        rule and `MOST_ITERATIONS` at most.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> fit_dirichlet(rng.dirichlet([2.0, 5.0, 1.0], size=20_000)).round().tolist()
        [2.0, 5.0, 1.0]
    """
    clipped = np.clip(probabilities.astype(np.float64), FLOOR, None)
    clipped /= clipped.sum(axis=-1, keepdims=True)
    mean_log = np.log(clipped).mean(axis=-2)
    alpha = _by_moments(clipped)
    for _ in range(MOST_ITERATIONS):
        before, alpha = alpha, inverse_digamma(digamma(alpha.sum(axis=-1, keepdims=True)) + mean_log)
        if (np.abs(alpha - before) <= CLOSE * alpha.max(axis=-1, keepdims=True)).all():
            break
    return alpha


def log_beta(alpha: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the normalising constant, ``log density = sum of (alpha - 1) log p - log_beta(alpha)``; (...)."""
    return np.asarray(gammaln(alpha).sum(axis=-1) - gammaln(alpha.sum(axis=-1)))


def _by_moments(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the iteration starts: the means, times the concentration that the variances tell (Minka 2000)."""
    mean, variance = probabilities.mean(axis=-2), probabilities.var(axis=-2)
    told = np.log(np.clip(mean * (1 - mean) / np.maximum(variance, FLOOR**2) - 1, 1e-3, 1e6))
    return np.asarray(np.maximum(mean * np.exp(told.mean(axis=-1, keepdims=True)), 1e-6))


def inverse_digamma(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The x of which digamma(x) are these values, by Newton's method from Minka's start.

    Example:
        >>> inverse_digamma(digamma(np.array([0.01, 1.0, 30.0]))).round(6).tolist()
        [0.01, 1.0, 30.0]
    """
    x = np.where(
        values >= -2.22, np.exp(np.minimum(values, 700.0)) + 0.5, -1 / (np.minimum(values, -2.22) - digamma(1.0))
    )
    for _ in range(5):
        x = np.maximum(x - (digamma(x) - values) / polygamma(1, x), 0.1 * x)
    return np.asarray(x)
