"""What happens at one threshold: outcomes of decisions with their rates, F1 of pixels, false alarms at a recall."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amiss.core.checks import check_rate
from amiss.core.errors import InputError
from amiss.metrics.counts import at_least, check_binary, split
from amiss.metrics.intervals import Rate
from amiss.metrics.overlap import Stack, pairs


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """Decisions against truth, counted. A rate whose n is 0 is NaN.

    Args:
        detections: Defective and alarmed.
        misses: Defective without an alarm.
        false_alarms: Good and alarmed.
        passes: Good without an alarm.
    """

    detections: int
    misses: int
    false_alarms: int
    passes: int

    @property
    def recall(self) -> Rate:
        """Detections among the defective. It says nothing of false alarms: a rule that always alarms has 1."""
        return Rate(self.detections, self.detections + self.misses)

    @property
    def specificity(self) -> Rate:
        """Passes among the good: 1 minus the false-alarm rate. It says nothing of misses."""
        return Rate(self.passes, self.passes + self.false_alarms)

    @property
    def precision(self) -> Rate:
        """Detections among the alarms. Misleading when defects are rarer on the line than in the test data."""
        return Rate(self.detections, self.detections + self.false_alarms)

    @property
    def accuracy(self) -> Rate:
        """Right decisions among all. Misleading when one class is rare: never to alarm is right on every good part."""
        return Rate(self.detections + self.passes, self.n)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), in [0, 1]; NaN without a defective one. It depends on the share of defects."""
        return float(f1_of(self.detections, self.false_alarms, self.misses))

    @property
    def n(self) -> int:
        """Number of decisions."""
        return self.detections + self.misses + self.false_alarms + self.passes

    def summary(self) -> dict[str, Any]:
        """Plain JSON values; None where a number is not defined."""
        rates = {name: getattr(self, name).summary() for name in ("precision", "recall", "specificity", "accuracy")}
        return {**rates, "f1": None if math.isnan(self.f1) else self.f1}


def at_threshold(labels: ArrayLike, alarms: ArrayLike) -> Outcomes:
    """Count decisions against truth.

    Args:
        labels: 1 or True = defective, any shape.
        alarms: 1 or True = called anomalous, of the same shape.

    Raises:
        InputError: Shapes differ or values are not binary.

    Example:
        >>> outcomes = at_threshold([1, 1, 1, 0, 0], [1, 1, 0, 1, 0])
        >>> print(outcomes.precision, outcomes.f1)
        2 of 3 (66.7 %, 95 % interval 9.4 to 99.2 %) 0.6666666666666666
    """
    truth, called = check_binary(labels, "labels"), check_binary(alarms, "alarms")
    if truth.shape != called.shape:
        raise InputError(f"labels and alarms must have the same shape, got {truth.shape} and {called.shape}")
    return Outcomes(
        detections=int(np.count_nonzero(truth & called)),
        misses=int(np.count_nonzero(truth & ~called)),
        false_alarms=int(np.count_nonzero(~truth & called)),
        passes=int(np.count_nonzero(~truth & ~called)),
    )


def fpr_at_tpr(labels: ArrayLike, scores: ArrayLike, tpr: float = 0.95) -> float:
    """Smallest false-alarm rate of all thresholds that find at least this share of the defective.

    An oracle, as the threshold is chosen on the labels. It depends on a few hard defects: with 20 defective images 0.95
    means all but one.

    Args:
        labels: 1 or True = anomalous, any shape.
        scores: Larger = more anomalous, of the same shape.
        tpr: Share to be found, in (0, 1).

    Returns:
        In [0, 1]; NaN when one class is missing.

    Raises:
        InputError: Shapes differ, labels are not binary, scores are not finite, or `tpr` is out of range.

    Example:
        >>> fpr_at_tpr([0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.6, 0.9, 0.5, 0.8])
        0.5
    """
    check_rate("tpr", tpr)
    anomalous, normal = split(labels, scores)
    if len(anomalous) == 0 or len(normal) == 0:
        return math.nan
    found = math.ceil(tpr * len(anomalous) * (1 - 1e-12))  # 0.95 x 20 is 19, whatever the last bit says
    return float(at_least(normal, anomalous[len(anomalous) - found :][:1])[0] / len(normal))


def seg_f1(masks: Stack, maps: Stack, threshold: float) -> float:
    """F1 of the pixels above a threshold, pooled over all images (SegF1 of MVTec AD 2).

    2 TP / (2 TP + FP + FN) over pixels. With the threshold of a calibrated rule it is what the line gets, no oracle.
    It lies where defects differ in size, for one large defect outweighs hundreds of small ones.

    Args:
        masks: Ground truth, True or 1 = anomalous, (H, W) for each image; all zero for a good image.
        maps: Scores of the same shapes, larger = more anomalous.
        threshold: A pixel is called anomalous when its score is larger.

    Returns:
        In [0, 1]; NaN without an anomalous pixel.

    Raises:
        InputError: Numbers or shapes of masks and maps differ, masks are not binary, scores are not finite, or the
            threshold is NaN.

    Example:
        >>> import numpy as np
        >>> seg_f1(np.array([[[1, 1, 0, 0]]]), np.array([[[0.9, 0.4, 0.8, 0.1]]]), threshold=0.5)
        0.5
    """
    counts = pixel_outcomes(masks, maps, threshold).sum(axis=0)
    return float(f1_of(*counts))


def pixel_outcomes(masks: Stack, maps: Stack, threshold: float) -> NDArray[np.int64]:
    """True positives, false positives and false negatives among the pixels of each image, (N, 3).

    Raises:
        InputError: As for `seg_f1`.
    """
    if math.isnan(threshold):
        raise InputError("threshold must be a number, got nan")
    rows = []
    for mask, scores in pairs(masks, maps):
        alarm = scores > scores.dtype.type(threshold)
        true = np.count_nonzero(alarm & mask)
        rows.append((true, np.count_nonzero(alarm) - true, np.count_nonzero(mask) - true))
    return np.array(rows, np.int64).reshape(-1, 3)


def f1_of(true: ArrayLike, false: ArrayLike, missed: ArrayLike) -> NDArray[np.float64]:
    """F1 of counts of any shape; NaN where nothing was there to be found."""
    true, false, missed = (np.asarray(counts, np.float64) for counts in (true, false, missed))
    some = true + missed > 0
    return np.asarray(np.divide(2 * true, 2 * true + false + missed, out=np.full(some.shape, np.nan), where=some))
