"""Two detectors on the same images: is the one better, or was it luck?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amiss.core.errors import InputError
from amiss.metrics.counts import check_binary
from amiss.metrics.resample import Interval, percentile_interval


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A metric of two detectors, and what resampling the images they share says of the difference.

    Args:
        first: Value of the first detector.
        second: Value of the second.
        interval: 95 % bootstrap interval of first - second.
        p_value: Two-sided bootstrap p-value of no difference, in (0, 1].
    """

    first: float
    second: float
    interval: Interval
    p_value: float

    @property
    def difference(self) -> float:
        """First - second: above 0 when the first is better."""
        return self.first - self.second

    def summary(self) -> dict[str, Any]:
        """Plain JSON values; None where a number is not defined."""
        numbers = {"first": self.first, "second": self.second, "difference": self.difference, "p_value": self.p_value}
        plain: dict[str, Any] = {name: None if math.isnan(value) else value for name, value in numbers.items()}
        return plain | {"interval": None if math.isnan(self.interval[0]) else list(self.interval)}


def paired_difference(
    first: float, second: float, resampled_first: NDArray[np.float64], resampled_second: NDArray[np.float64]
) -> Difference:
    """Difference of a metric with its interval and p-value from resamples of the same images.

    The p-value is twice the smaller share of resamples on either side of 0, each share counted with one more so that
    it is never 0. Resampling the same images for both keeps what they have in common, such as a hard image, out of it.
    Like every bootstrap it misleads with few images: do not trust it below about 20 of a class.

    Args:
        first: Value of the first detector on all images.
        second: Value of the second.
        resampled_first: Its values on the resamples, (R,).
        resampled_second: Those of the second on the very same resamples, (R,).

    Raises:
        InputError: Numbers of resamples differ.

    Example:
        >>> import numpy as np
        >>> ahead = paired_difference(0.9, 0.8, np.linspace(0.85, 0.95, 99), np.linspace(0.75, 0.85, 99))
        >>> round(ahead.difference, 3), ahead.p_value
        (0.1, 0.02)
    """
    if resampled_first.shape != resampled_second.shape:
        raise InputError(f"both must have the same resamples, got {resampled_first.shape} and {resampled_second.shape}")
    if math.isnan(first) or math.isnan(second):
        return Difference(first=first, second=second, interval=(math.nan, math.nan), p_value=math.nan)
    moves = resampled_first - resampled_second
    known = moves[~np.isnan(moves)]
    sides = [1 + int((known <= 0).sum()), 1 + int((known >= 0).sum())]
    p_value = min(1.0, 2 * min(sides) / (1 + len(known)))
    return Difference(first=first, second=second, interval=percentile_interval(moves), p_value=p_value)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How often two detectors are right on the same images, and McNemar's exact test of whether they differ.

    Args:
        both: Images on which both are right.
        only_first: Images on which only the first is right.
        only_second: Images on which only the second is right.
        neither: Images on which both are wrong.
    """

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def n(self) -> int:
        """Number of images."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def p_value(self) -> float:
        """Two-sided, exact: images on which they agree say nothing, the others are fair coin tosses. 1 without any."""
        from scipy.special import bdtr  # type: ignore[import-untyped, unused-ignore]

        tosses = self.only_first + self.only_second
        return min(1.0, 2 * float(bdtr(min(self.only_first, self.only_second), tosses, 0.5))) if tosses else 1.0

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**vars(self), "n": self.n, "p_value": self.p_value}


def mcnemar(first_right: ArrayLike, second_right: ArrayLike) -> Agreement:
    """Compare decisions of two detectors on the same images.

    Give good and defective images apart: a detector may win on one what it loses on the other, and together they
    would cancel. It misleads when one part was photographed many times, since its images are not independent.

    Args:
        first_right: Whether the first detector is right on each image, (N,).
        second_right: The same for the second.

    Raises:
        InputError: Shapes differ or values are not binary.

    Example:
        >>> agreement = mcnemar([1, 1, 1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0, 1, 0])
        >>> agreement.only_first, agreement.p_value
        (6, 0.03125)
    """
    a, b = check_binary(first_right, "first_right"), check_binary(second_right, "second_right")
    if a.shape != b.shape:
        raise InputError(f"both decisions must be on the same images, got {a.shape} and {b.shape}")
    both, first, second, neither = (int(np.count_nonzero(part)) for part in (a & b, a & ~b, ~a & b, ~a & ~b))
    return Agreement(both=both, only_first=first, only_second=second, neither=neither)
