"""How much each image moves a metric: from that come variances, of units as of images, and covariances of detectors.

The influence of an image is what the metric loses when the image is left out of its class, times (n - 1) / n: for the
mean of n numbers, each number less the mean, over n. Influences of one class sum to 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.metrics.units import Units

Weighted = Callable[[NDArray[np.int64]], Mapping[str, NDArray[np.float64]]]
"""From how often each image counts, (R, N), to metrics by name, of each row, (R,)."""


def auroc_influence(defective: NDArray[np.bool_], scores: NDArray[Any]) -> NDArray[np.float64]:
    """Influence of each image on the AUROC, (N,): its placement among the other class (DeLong et al. 1988)."""
    found = np.zeros(len(scores))
    for one in (defective, ~defective):
        if one.any() and not one.all():
            other = np.sort(scores[~one])
            below = [np.searchsorted(other, scores[one], side=side) for side in ("left", "right")]
            share = (below[0] + below[1]) / (2 * len(other))
            share = share if one is defective else 1 - share
            found[one] = (share - share.mean()) / one.sum()
    return found


def precision_influence(defective: NDArray[np.bool_], scores: NDArray[Any]) -> NDArray[np.float64]:
    """Influence of each image on the average precision, (N,), exactly as leaving it out would give."""
    bad, good = scores[defective], scores[~defective]
    m, n = len(bad), len(good)
    found = np.zeros(len(scores))
    if m < 2 or n < 2:
        return found
    ordered = np.sort(bad)
    start, end = (np.searchsorted(ordered, bad, side=side) for side in ("left", "right"))
    true = m - np.searchsorted(ordered, ordered, side="left")
    false = n - np.searchsorted(np.sort(good), ordered, side="left")
    precision = true / (true + false)
    gain = np.where(false > 0, true / np.maximum(true + false - 1, 1) - precision, 0.0)
    fewer = np.where(true > 1, (true - 1) / np.maximum(true - 1 + false, 1), 0.0)
    gained, reduced, kept = (np.append(0.0, np.cumsum(one)) for one in (gain, fewer, precision))
    without_good = (kept[-1] + gained[np.searchsorted(ordered, good, side="right")]) / m
    without_bad = (reduced[end] - fewer[start] + kept[-1] - kept[end]) / (m - 1)
    found[~defective] = (n - 1) / n * (without_good.mean() - without_good)
    found[defective] = (m - 1) / m * (without_bad.mean() - without_bad)
    return found


def left_out(measure: Weighted, units: Units) -> dict[str, NDArray[np.float64]]:
    """Influence of each image on any metrics, by name, (N,): the images of a class in one unit are left out together.

    They share the influence of their unit evenly. NaN where the metric is not defined without one of the units.

    Args:
        measure: The metrics of weighted images; called once for each class.
        units: The images.
    """
    found: dict[str, NDArray[np.float64]] = {}
    for one in (~units.defective, units.defective):
        names, inside = np.unique(units.unit[one], return_inverse=True)
        if len(names) == 0:
            continue
        weights = np.ones((len(names), len(units.unit)), np.int64)
        weights[inside, np.flatnonzero(one)] = 0
        for name, values in measure(weights).items():
            moved = (len(names) - 1) / len(names) * (values.mean() - values)
            found.setdefault(name, np.zeros(len(units.unit)))[one] = (moved / np.bincount(inside))[inside]
    return found
