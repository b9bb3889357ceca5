"""Intervals of numbers that depend on a single order statistic or on two counts: no variance, but their distribution.

What is unknown is where the true quantile lies among the scores, and that is binomial, whatever the scores' shape. It
gives intervals that need no model and no large n; where n is too small to say anything, they say so: up to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.checks import check_rate
from amiss.metrics.counts import at_least
from amiss.metrics.influence import auroc_influence
from amiss.metrics.units import Units

Interval = tuple[float, float]
STEPS = 400
"""Equal shares into which the distribution of a rate is cut."""


def fpr_at_tpr_interval(units: Units, scores: NDArray[Any], tpr: float = 0.95, confidence: float = 0.95) -> Interval:
    """Interval of the false-alarm rate at the threshold that finds this share of *all* defective parts of this kind.

    How many of the m scores lie below that threshold is binomial (m, 1 - tpr); given the threshold, how many good
    images reach it is binomial too. Units count as `Units.sizes` says. Below m = 73 defective units and at tpr = 0.95,
    the threshold may lie under all scores seen, and the interval ends at 1.

    Args:
        units: The images.
        scores: Larger = more anomalous, (N,).
        tpr: Share to be found, in (0, 1).
        confidence: In (0, 1).

    Returns:
        Lower and upper end, in [0, 1]; NaN when one class is missing.
    """
    tail, missed = (1 - check_rate("confidence", confidence)) / 2, 1 - check_rate("tpr", tpr)
    bad, good = np.sort(scores[units.defective]), np.sort(scores[~units.defective])
    m, n = len(bad), len(good)
    if m == 0 or n == 0:
        return math.nan, math.nan
    n_worth, m_worth = units.sizes(auroc_influence(units.defective, scores))
    draws = max(1, int(m_worth))
    below = np.arange(draws + 1)
    chance = _binomial(below, draws, missed)
    below, chance = below[chance > 1e-9], chance[chance > 1e-9]
    place = np.minimum(m, np.round(below * m / draws).astype(np.int64))
    edges = np.concatenate([[-np.inf], bad.astype(np.float64), [np.inf]])
    counts = np.concatenate([at_least(good, edges[place]), at_least(good, edges[place + 1])]) * (n_worth / n)
    counts, same = np.unique(counts, return_inverse=True)
    chance = np.asarray(np.bincount(same, np.concatenate([chance, chance]) / 2), np.float64)
    return _ends(lambda x, side: float(chance @ _rate_at_most(counts, n_worth, x, side)), tail)


def f1_interval(found: float, defective: float, alarms: float, good: float, confidence: float = 0.95) -> Interval:
    """Interval of the F1 of decisions, from two counts that are binomial, at the shares of both classes as tested.

    Args:
        found: Detections among the defective.
        defective: Number of defective ones, above 0.
        alarms: False alarms among the good.
        good: Number of good ones.
        confidence: In (0, 1).

    Returns:
        Lower and upper end, in [0, 1]; NaN without a defective one.

    Example:
        >>> low, high = f1_interval(18, 20, 2, 40)
        >>> round(low, 2), round(high, 2)
        (0.76, 0.96)
    """
    from scipy.special import betaincinv  # type: ignore[import-untyped, unused-ignore]

    tail = (1 - check_rate("confidence", confidence)) / 2
    if defective == 0:
        return math.nan, math.nan
    middle = (np.arange(STEPS) + 0.5) / STEPS
    recall = betaincinv(found + 0.5, defective - found + 0.5, middle)

    def at_most(x: float, side: int) -> float:
        """P(F1 <= x): the false-alarm rate is at least what F1 = x needs at each recall."""
        certain = (found == 0 and side < 0) or (found == defective and side > 0)
        rates = np.full(1, found / defective) if certain else recall
        if good == 0:
            return float(np.mean(2 * rates / (rates + 1) <= x))
        needed = defective / good * (rates * (2 - x) / max(x, 1e-300) - 1)
        shares = _rate_at_most(np.full(len(rates), float(alarms)), good, np.clip(needed, 0.0, 1.0), -side)
        shares = np.where(needed < 0, 0.0, np.where(needed >= 1, 1.0, shares))
        return float(np.mean(1 - shares))

    return _ends(at_most, tail)


def quantile_interval(values: NDArray[Any], share: float, worth: float, confidence: float = 0.95) -> Interval:
    """Order statistics around a quantile: exact, whatever the distribution; 0 and 1 where too few values reach so far.

    Args:
        values: In [0, 1], (N,).
        share: Of the quantile, in (0, 1).
        worth: As how many independent values they count, at most N.
        confidence: In (0, 1).
    """
    tail = (1 - check_rate("confidence", confidence)) / 2
    if len(values) == 0:
        return math.nan, math.nan
    draws, ordered = max(1, int(worth)), np.concatenate([[0.0], np.sort(values), [1.0]])
    upto = np.cumsum(_binomial(np.arange(draws + 1), draws, share))
    low, high = int((upto <= tail).sum()), int((upto < 1 - tail).sum()) + 1
    scale = len(values) / draws
    return float(ordered[math.floor(low * scale)]), float(ordered[min(len(values) + 1, math.ceil(high * scale))])


def _binomial(counts: NDArray[Any], n: int, share: float) -> NDArray[np.float64]:
    from scipy.special import gammaln, xlog1py, xlogy  # type: ignore[import-untyped, unused-ignore]

    ways = gammaln(n + 1) - gammaln(counts + 1) - gammaln(n - counts + 1)
    return np.asarray(np.exp(ways + xlogy(counts, share) + xlog1py(n - counts, -share)), np.float64)


def _rate_at_most(counts: NDArray[Any], n: float, x: Any, side: int) -> NDArray[np.float64]:
    """P(rate <= x) after these counts among n, by Jeffreys; a count of 0 or n leaves the end of its side at 0 or 1."""
    from scipy.special import betainc  # type: ignore[import-untyped, unused-ignore]

    spread = betainc(counts + 0.5, np.maximum(n - counts, 0) + 0.5, x)
    if side < 0:
        return np.asarray(np.where(counts <= 0, 1.0, spread), np.float64)
    return np.asarray(np.where(counts >= n, np.where(np.asarray(x) >= 1, 1.0, 0.0), spread), np.float64)


def _ends(at_most: Callable[[float, int], float], tail: float) -> Interval:
    """Where P(rate <= x) reaches the tail, for the lower end, and 1 - tail, for the upper one."""
    ends = []
    for side, wanted in ((-1, tail), (1, 1 - tail)):
        low, high = 0.0, 1.0
        for _ in range(34):  # to 1e-10
            middle = (low + high) / 2
            low, high = (middle, high) if at_most(middle, side) < wanted else (low, middle)
        ends.append(low if side < 0 else high)
    return ends[0], ends[1]
