"""How the variance of good scores divides: between lots, between parts of a lot, between images of a part."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Between:
    """How alike the scores of one lot are.

    Args:
        lots: Variance between lots, in units of the score squared; 0 where the estimate is negative.
        within: Variance between scores of one lot.
        share: Of the variance of a score, lots + within, the part between lots: the intraclass correlation, in [0, 1].
        low: Lower end of its 95 % interval.
        high: Upper end.
        effective: Number of independent scores whose mean is as uncertain as the mean of the lots' means.
        freedom: Degrees of freedom of the variance lots + within (Satterthwaite).
    """

    lots: float
    within: float
    share: float
    low: float
    high: float
    effective: float
    freedom: float


def between_lots(scores: NDArray[np.floating], lots: NDArray[np.intp]) -> Between | None:
    """One-way analysis of variance with lots of any size.

    Uses the lots' plain means and the harmonic mean h of their sizes: h times the variance of these means over that
    within lots is distributed as F times a constant when scores and lots are normally distributed, exactly with equal
    sizes and nearly otherwise. That gives the interval (Thomas and Hultquist 1978; Searle 1971 for equal sizes).

    Args:
        scores: One per part, (n,).
        lots: The lot of each, from 0 without gaps, (n,).

    Returns:
        None where the data cannot tell: with one lot, or one part in each.

    Example:
        >>> found = between_lots(np.array([1.0, 3, 5, 7]), np.array([0, 0, 1, 1]))
        >>> found.lots, found.within, round(found.share, 3)
        (7.0, 2.0, 0.778)
    """
    from scipy.special import fdtri

    values = np.asarray(scores, np.float64)
    sizes = np.bincount(lots)
    if not 1 < len(sizes) < len(values):
        return None
    means = np.bincount(lots, values) / sizes
    count, n, h = len(sizes), len(values), float(1 / np.mean(1 / sizes))
    within = float(((values - means[lots]) ** 2).sum() / (n - count))
    of_means = float(means.var(ddof=1))
    lot = max(0.0, of_means - within / h)
    total = lot + within
    share = lot / total if total > 0 else 0.0
    ratio = h * of_means / within if within > 0 else math.inf
    low, high = (
        _correlation(ratio / float(fdtri(count - 1, n - count, level)), h) if of_means > 0 else 0.0
        for level in (0.975, 0.025)
    )
    parts = of_means**2 / (count - 1) + ((1 - 1 / h) * within) ** 2 / (n - count)
    freedom = (of_means + (1 - 1 / h) * within) ** 2 / parts if parts > 0 else n - 1.0
    return Between(lot, within, share, low, high, count * h / (1 + (h - 1) * share), freedom)


def _correlation(ratio: float, size: float) -> float:
    """The intraclass correlation at which mean squares of lots of this size have this ratio, in [0, 1]."""
    return 1.0 if math.isinf(ratio) else min(1.0, max(0.0, (ratio - 1) / (ratio - 1 + size)))


def normal_scores(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Each score replaced by the normal quantile of its rank; equal scores share their mean rank.

    Rules that use ranks see no more than this, and a few extreme scores do not decide what the variance is.

    Example:
        >>> normal_scores(np.array([5.0, 1.0, 100.0])).round(3).tolist()
        [0.0, -0.967, 0.967]
    """
    from scipy.special import ndtri

    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # from 1
    return np.asarray(ndtri((ranks[places] - 0.5) / len(scores)), np.float64)


def components(
    scores: NDArray[np.floating], parts: NDArray[np.intp], lots: NDArray[np.intp]
) -> tuple[float, float, float]:
    """Variance between lots, between parts of a lot, and between images of a part, in units of the score squared.

    Analysis of variance with nested classes of any size: each mean square equals its expectation (Searle 1971, chapter
    11). A negative estimate becomes 0; a component that the data cannot show is 0 and part of the one above it.

    Args:
        scores: One per image, (N,).
        parts: The part that each shows, from 0 without gaps, (N,).
        lots: The lot of each, from 0 without gaps, (N,). A part belongs to one lot.

    Example:
        >>> components(np.array([0.0, 2, 6, 8]), np.array([0, 0, 1, 1]), np.zeros(4, int))
        (0.0, 17.0, 2.0)
    """
    values = np.asarray(scores, np.float64)
    of_part, of_lot = np.bincount(parts), np.bincount(lots)
    part_means = np.bincount(parts, values) / of_part
    lot_means = np.bincount(lots, values) / of_lot
    home = np.zeros(len(of_part), np.intp)
    home[parts] = lots
    images, n, count = len(values), len(of_part), len(of_lot)

    within = ((values - part_means[parts]) ** 2).sum() / (images - n) if images > n else 0.0
    nested = (of_part**2 / of_lot[home]).sum()
    part = 0.0
    if n > count:
        square = (of_part * (part_means - lot_means[home]) ** 2).sum() / (n - count)
        part = (square - within) * (n - count) / (images - nested)
    lot = 0.0
    if count > 1:
        square = (of_lot * (lot_means - values.mean()) ** 2).sum() / (count - 1)
        of_parts = (nested - (of_part**2).sum() / images) / (count - 1)
        lot = (square - within - of_parts * part) * (count - 1) / (images - (of_lot**2).sum() / images)
    return max(0.0, float(lot)), max(0.0, float(part)), float(within)
