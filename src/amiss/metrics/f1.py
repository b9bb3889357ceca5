"""The best F1 that any threshold could reach."""

from __future__ import annotations

from numpy.typing import ArrayLike

from amiss.metrics.counts import count, split


def f1_max(labels: ArrayLike, scores: ArrayLike) -> float:
    """Largest F1 = 2 TP / (2 TP + FP + FN) over all thresholds.

    An oracle: the threshold is chosen with the test labels, which nobody has in production. It bounds what a
    rule could reach from above; it does not say what a calibrated rule reaches.

    Args:
        labels: 1 or True = anomalous, any shape.
        scores: Larger = more anomalous, of the same shape.

    Returns:
        In (0, 1]; NaN without an anomalous label.

    Raises:
        InputError: Shapes differ, labels are not binary, or scores are not finite.

    Example:
        >>> f1_max([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
        0.8
    """
    classes = split(labels, scores)
    if len(classes.anomalous) == 0:
        return float("nan")
    true, false = count(classes)
    return float((2 * true / (true + false + len(classes.anomalous))).max())
