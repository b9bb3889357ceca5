"""How well scores rank anomalous above normal: ROC curve, AUROC, average precision.

For image scores and for pixels alike: maps and masks of any equal shape are taken as one long list. Every
distinct score is a threshold, a score counts as anomalous when it is at least the threshold, and ties are
never broken.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amiss.metrics.counts import at_least, count, split


def roc_curve(
    labels: ArrayLike, scores: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.floating[Any]]]:
    """False-positive and true-positive rate at every distinct score.

    Args:
        labels: 1 or True = anomalous, any shape.
        scores: Larger = more anomalous, of the same shape.

    Returns:
        False-positive rate, true-positive rate and threshold, each (T + 1,), from (0, 0) at threshold
        infinity to (1, 1) at the smallest of T distinct scores. The rate of a class that is missing is NaN.

    Raises:
        InputError: Shapes differ, labels are not binary, or scores are not finite.

    Example:
        >>> fpr, tpr, thresholds = roc_curve([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
        >>> fpr.tolist(), tpr.tolist(), thresholds.tolist()
        ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0], [inf, 0.8, 0.4, 0.1])
    """
    classes = split(labels, scores)
    distinct = np.unique(np.concatenate(classes))
    thresholds = np.append(distinct, distinct.dtype.type(np.inf))[::-1]
    tpr, fpr = (
        at_least(one, thresholds) / len(one) if len(one) else np.full(len(thresholds), np.nan) for one in classes
    )
    return fpr, tpr, thresholds


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Probability that an anomalous score is larger than a normal one; a tie counts half.

    Args:
        labels: 1 or True = anomalous, any shape.
        scores: Larger = more anomalous, of the same shape.

    Returns:
        In [0, 1], 0.5 for scores that know nothing; NaN when one class is missing. Counted in whole numbers
        and rounded once.

    Raises:
        InputError: Shapes differ, labels are not binary, or scores are not finite.

    Example:
        >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
        0.875
    """
    few, many = split(labels, scores)
    swapped = len(few) > len(many)
    if swapped:
        few, many = many, few
    if len(few) == 0:
        return float("nan")
    pairs = 2 * len(few) * len(many)  # in halves, so that ties are whole numbers too
    smaller = sum(int(np.searchsorted(many, few, side=side).sum(dtype=np.int64)) for side in ("left", "right"))
    return (pairs - smaller if swapped else smaller) / pairs


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Precision at every step of recall, weighted by the step: the sum of (R_n - R_(n-1)) P_n.

    Not the trapezoid area under the precision-recall curve, which is too kind. Equal scores are one step.

    Args:
        labels: 1 or True = anomalous, any shape.
        scores: Larger = more anomalous, of the same shape.

    Returns:
        In (0, 1]; scores that know nothing get the share of anomalous labels. NaN without an anomalous label.

    Raises:
        InputError: Shapes differ, labels are not binary, or scores are not finite.

    Example:
        >>> average_precision([0, 1, 0, 1], [0.1, 0.4, 0.4, 0.8])
        0.8333333333333333
    """
    classes = split(labels, scores)
    if len(classes.anomalous) == 0:
        return float("nan")
    true, false = count(classes)
    step = -np.diff(true, append=0)
    return float((step * (true / (true + false))).sum() / len(classes.anomalous))
