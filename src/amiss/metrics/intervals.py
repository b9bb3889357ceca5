"""How far a measured number can be trusted: exact intervals of rates, bootstrap intervals of metrics."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amiss.core.checks import check_count, check_rate
from amiss.core.errors import InputError
from amiss.core.words import counted_percent
from amiss.metrics.counts import split

Metric = Callable[[NDArray[np.bool_], NDArray[Any]], float]
"""``metric(labels, scores)``, such as `auroc` or `average_precision`."""


@dataclass(frozen=True)
class Rate:
    """A share that was counted, with what is needed to judge it.

    Args:
        count: How often it happened, 0 to `n`.
        n: How often it could have happened.

    Raises:
        InputError: Not whole numbers with 0 <= count <= n.

    Example:
        >>> print(Rate(3, 120))
        3 of 120 (2.5 %, 95 % interval 0.5 to 7.1 %)
    """

    count: int
    n: int

    def __post_init__(self) -> None:
        count, n = _whole(self.count, self.n)
        object.__setattr__(self, "count", count)
        object.__setattr__(self, "n", n)

    @property
    def rate(self) -> float:
        """The share, in [0, 1]; NaN when n = 0."""
        return self.count / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper-Pearson interval of the true share, confidence 95 %."""
        return clopper_pearson(self.count, self.n)

    def summary(self) -> dict[str, Any]:
        """Plain JSON values; the rate is None when n = 0."""
        rate = self.rate if self.n else None
        return {"count": self.count, "n": self.n, "rate": rate, "interval": list(self.interval)}

    def __str__(self) -> str:
        if self.n == 0:
            return "0 of 0 (rate unknown)"
        low, high = (counted_percent(share) for share in self.interval)
        low = low.removesuffix(" %")
        return f"{self.count} of {self.n} ({counted_percent(self.rate)}, 95 % interval {low} to {high})"


def clopper_pearson(count: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact interval of a binomial share: it covers the true one with at least this confidence, for every n.

    Args:
        count: How often it happened, 0 to `n`.
        n: Number of independent trials; with 0 the interval is (0, 1).
        confidence: In (0, 1). Half of the rest is left to each side, also when `count` is 0 or `n`.

    Returns:
        Lower and upper end, in [0, 1].

    Raises:
        InputError: Not whole numbers with 0 <= count <= n, or a confidence out of range.

    Example:
        >>> low, high = clopper_pearson(0, 20)
        >>> low, round(high, 4)
        (0.0, 0.1684)
    """
    from scipy.special import betaincinv  # type: ignore[import-untyped, unused-ignore]

    count, n = _whole(count, n)
    tail = (1 - check_rate("confidence", confidence)) / 2
    low = float(betaincinv(count, n - count + 1, tail)) if count > 0 else 0.0
    high = float(betaincinv(count + 1, n - count, 1 - tail)) if count < n else 1.0
    return low, high


def bootstrap_interval(
    metric: Metric,
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    seed: int,
    confidence: float = 0.95,
    resamples: int = 1000,
) -> tuple[float, float]:
    """Percentile interval of a metric over images drawn anew, with replacement, within each class.

    The classes keep their sizes, so no resample lacks one. For image scores: pixels of one image are not
    independent, and drawing them one by one gives an interval that is far too narrow. When every anomalous
    score is above every normal one all resamples agree and the interval has no width, which is not certainty:
    state n next to it.

    Args:
        metric: Function of labels (N,) and scores (N,), such as `auroc` or `average_precision`.
        labels: 1 or True = anomalous, (N,).
        scores: Larger = more anomalous, (N,).
        seed: Seed of the resamples; the same seed gives the same interval.
        confidence: In (0, 1).
        resamples: How many; 1000 leave the ends uncertain by a few hundredths of the width.

    Returns:
        Lower and upper end; NaN when the metric is NaN on the scores themselves.

    Raises:
        InputError: Shapes differ, labels are not binary, scores are not finite, or an option is out of range.

    Example:
        >>> from amiss.metrics.roc import auroc
        >>> low, high = bootstrap_interval(auroc, [0, 0, 0, 1, 1, 1], [1, 2, 5, 3, 4, 6], seed=0)
        >>> low <= auroc([0, 0, 0, 1, 1, 1], [1, 2, 5, 3, 4, 6]) <= high
        True
    """
    tail = (1 - check_rate("confidence", confidence)) / 2
    check_count("resamples", resamples)
    rng = np.random.default_rng(check_count("seed", seed, least=0))
    anomalous, normal = split(labels, scores)
    truth = np.repeat([True, False], [len(anomalous), len(normal)])
    if math.isnan(metric(truth, np.concatenate([anomalous, normal]))):
        return math.nan, math.nan
    values = np.empty(resamples)
    for number in range(resamples):
        drawn = [one[rng.integers(len(one), size=len(one))] if len(one) else one for one in (anomalous, normal)]
        values[number] = metric(truth, np.concatenate(drawn))
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _whole(count: int, n: int) -> tuple[int, int]:
    whole = all(isinstance(value, (int, np.integer)) and not isinstance(value, bool) for value in (count, n))
    if not whole or not 0 <= count <= n:
        raise InputError(f"count and n must be whole numbers with 0 <= count <= n, got {count!r} of {n!r}")
    return int(count), int(n)
