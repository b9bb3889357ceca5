"""AUPIMO: how much of each defect is found while good images stay almost free of false pixels.

One number for each defective image, so that the distribution over images is seen and not only a mean. The axis
of false positives is made from good images alone and is shared by all defective ones.

References:
    Bertoldo et al., AUPIMO: Redefining Visual Anomaly Detection Benchmarks with High Speed and Low Tolerance,
    BMVC 2024.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amiss.core.errors import InputError
from amiss.metrics.counts import at_least, check_binary, first_of_ties
from amiss.metrics.overlap import Stack, pairs

LIMITS = (1e-5, 1e-4)
"""False-positive rates between which AUPIMO is taken."""


@dataclass(frozen=True, eq=False)
class Pimo:
    """The area of each defective image.

    Args:
        values: In [0, 1], float64 (N,); NaN for a good image and for a defective one without a marked pixel.
    """

    values: NDArray[np.float64]

    @property
    def n(self) -> int:
        """Number of images that have a value."""
        return int(np.count_nonzero(~np.isnan(self.values)))

    @property
    def mean(self) -> float:
        """Mean over the images that have a value; NaN without any."""
        return self._over(np.mean)

    @property
    def median(self) -> float:
        """Half of the images are at or below it; NaN without any."""
        return self._over(np.median)

    @property
    def p33(self) -> float:
        """A third of the images is at or below it, linearly interpolated; NaN without any."""
        return self._over(lambda known: np.quantile(known, 0.33))

    def _over(self, measure: Any) -> float:
        return float(measure(self.values[~np.isnan(self.values)])) if self.n else math.nan


def aupimo(masks: Stack, maps: Stack, *, defective: ArrayLike | None = None, limits: Sequence[float] = LIMITS) -> Pimo:
    """Share of a defect's pixels that is found, averaged over the logarithm of a tiny false-positive rate.

    For each defective image the integral of TPR(F) d ln F from F = 1e-5 to 1e-4, divided by ln 10. TPR is the share
    of the image's anomalous pixels that score at least t, and F the mean over the good images of the share of their
    pixels that do. Exact: every distinct score of a good pixel is a threshold, and where good and anomalous pixels
    share a score the curve is a straight line over F. It misleads with few good images: 1e-5 of the pixels of 20
    images of 256 x 256 are 13 pixels, and one speck of dust in one image decides.

    Args:
        masks: Ground truth, True or 1 = anomalous, (H, W) for each image.
        maps: Scores of the same shapes, larger = more anomalous.
        defective: True for a defective image, (N,); by default those with an anomalous pixel. A defective image with an
            empty mask is neither good nor does it get a value.
        limits: The two false-positive rates, 0 < lower < upper <= 1.

    Returns:
        One area in [0, 1] for each defective image. All NaN without a good image.

    Raises:
        InputError: Numbers or shapes of masks and maps differ, masks are not binary, scores are not finite, limits are
            out of range, a good image has an anomalous pixel, or the good images have fewer than 1 / lower pixels: a
            rate that low cannot be seen on them.

    Example:
        >>> import numpy as np
        >>> masks, maps = np.zeros((2, 1, 100)), np.arange(200).reshape(2, 1, 100) % 100
        >>> masks[1, 0, 98:] = 1
        >>> aupimo(masks, maps, limits=(0.01, 0.1)).values.round(3).tolist()
        [nan, 0.916]
    """
    low, high = _check_rates(limits)
    checked = list(pairs(masks, maps))
    bad = np.array([mask.any() for mask, _ in checked], bool)
    if defective is not None:
        bad = check_defective(defective, bad)
    values = np.full(len(checked), np.nan)
    good = [scores for (_, scores), is_bad in zip(checked, bad, strict=True) if not is_bad]
    if good:
        axis = _axis(good, low, high)
        for number, (mask, scores) in enumerate(checked):
            if mask.any():
                values[number] = _area(axis, np.sort(scores[mask]))
    return Pimo(values)


def resolves(pixels: int, rate: float = LIMITS[0]) -> bool:
    """Whether a false-positive rate can be seen on so many pixels of good images: 1e-5 needs 100,000."""
    return pixels * rate >= 1 - 1e-9


class _Axis(NamedTuple):
    scores: NDArray[Any]  # distinct scores of good pixels, descending, (K,)
    above: NDArray[np.float64]  # what the true-positive rate just above each score weighs in the area, (K,)
    at: NDArray[np.float64]  # and what the rate at the score weighs, (K,)


def _axis(good: list[NDArray[Any]], low: float, high: float) -> _Axis:
    pixels = sum(scores.size for scores in good)
    if not resolves(pixels, low):
        raise InputError(
            f"the good images have {pixels} pixels together; a false-positive rate of {low:g} needs at least "
            f"{math.ceil(1 / low)}, so give more good images or larger maps"
        )
    kept = [_highest(scores, math.ceil(high * len(good) * scores.size)) for scores in good]
    weight = np.repeat([1 / (len(good) * scores.size) for scores in good], [len(part) for part in kept])
    values = np.concatenate(kept)
    order = np.argsort(values)
    start = first_of_ties(values[order])
    at = np.cumsum(weight[order][::-1])[::-1][start]
    return _Axis(values[order][start][::-1], *log_weights(at[::-1], low, high))


def log_weights(fpr: NDArray[np.float64], low: float, high: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the heights of a curve at its corners weigh in the area over ln F between two rates, divided by its range.

    Between corners the height is linear in F, not in ln F, as equal scores in random order would make it on average.

    Args:
        fpr: F at the corners, rising along the last axis from above 0; the corner before the first is at F = 0.
        low: Lower rate, above 0.
        high: Upper rate.

    Returns:
        Weights of the height at the corner before each stretch and at its end, shaped as `fpr`.
    """
    before = np.concatenate([np.zeros_like(fpr[..., :1]), fpr[..., :-1]], axis=-1)
    left, right = np.clip(before, low, high), np.clip(fpr, low, high)
    logs, width = np.log(right / left), fpr - before
    end = np.divide(right - left - before * logs, width, out=np.zeros_like(width), where=width > 0)
    scale = math.log(high / low)
    return (logs - end) / scale, end / scale


def _area(axis: _Axis, anomalous: NDArray[Any]) -> float:
    at = at_least(anomalous, axis.scores)
    above = len(anomalous) - np.searchsorted(anomalous, axis.scores, side="right")
    area = float(axis.above @ above + axis.at @ at) / len(anomalous)
    return min(1.0, max(0.0, area))


def _highest(scores: NDArray[Any], count: int) -> NDArray[Any]:
    """At least so many of the values, the highest; of equal values all or none."""
    values = scores.ravel()
    if count >= len(values):
        return values
    cut = np.partition(values, len(values) - count)[len(values) - count]
    return np.asarray(values[values >= cut])


def _check_rates(limits: Sequence[float]) -> tuple[float, float]:
    if len(limits) != 2 or not 0 < limits[0] < limits[1] <= 1:
        raise InputError(f"limits must be two rates with 0 < lower < upper <= 1, got {limits!r}")
    return float(limits[0]), float(limits[1])


def check_defective(defective: ArrayLike, marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which images are defective, bool (N,).

    Raises:
        InputError: Not one binary value for each image, or a good one has a marked pixel.
    """
    bad = check_binary(defective, "defective")
    if bad.shape != marked.shape:
        raise InputError(f"defective must have one value per image, got {bad.shape} for {len(marked)} images")
    if (marked & ~bad).any():
        raise InputError(f"image {int(np.argmax(marked & ~bad))} is called good and has an anomalous pixel in its mask")
    return bad
