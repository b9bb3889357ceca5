"""Two detectors on the same images: is the one better, or was it luck?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from amiss.core.errors import InputError
from amiss.metrics.counts import check_binary
from amiss.metrics.estimate import Estimate, Interval

KINSHIP = 1
"""Units as many as these speak for two detectors erring independently, until the data say otherwise."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A metric of two detectors, and what the units that they share say of the difference.

    Args:
        first: Value of the first detector.
        second: Value of the second.
        interval: 95 % interval of first - second.
        p_value: Two-sided p-value of no difference, in (0, 1]: the interval of confidence 1 - p ends at 0.
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


NO_DIFFERENCE = Difference(first=math.nan, second=math.nan, interval=(math.nan, math.nan), p_value=math.nan)
"""Where a metric is not defined."""


def paired_difference(first: Estimate, second: Estimate) -> Difference:
    """Difference of a metric of two detectors with its interval and p-value.

    Args:
        first: The metric of the first detector.
        second: That of the second on the very same images.

    Raises:
        InputError: The images are not the same.

    Example:
        >>> import numpy as np
        >>> from amiss.metrics.estimate import estimate_auroc
        >>> from amiss.metrics.units import units_of
        >>> units = units_of([0] * 6 + [1] * 6)
        >>> one, other = np.arange(12.0), np.array([0, 1, 2, 3, 4, 9, 5, 6, 7, 8, 10, 11.0])
        >>> found = paired_difference(estimate_auroc(units, one), estimate_auroc(units, other))
        >>> round(found.difference, 3), found.interval[0] < 0 < found.interval[1], found.p_value > 0.05
        (0.111, True, True)
    """
    if not np.array_equal(first.units.defective, second.units.defective) or not np.array_equal(
        first.units.unit, second.units.unit
    ):
        raise InputError("both must be measured on the same images, got other classes or units")
    if math.isnan(first.value) or math.isnan(second.value):
        return Difference(first=first.value, second=second.value, interval=(math.nan, math.nan), p_value=math.nan)
    return Difference(
        first=first.value,
        second=second.value,
        interval=difference_interval(first, second),
        p_value=_p_value(first, second),
    )


def difference_interval(first: Estimate, second: Estimate, confidence: float = 0.95) -> Interval:
    """Interval of first - second, from the intervals of both and their correlation.

    Square-and-add (Zou 2007, MOVER), except for what the two have in common: there both move the same way, both to
    their lower ends or both to their upper ones. Where intervals are even this is the same; near 1, where the lower
    tail is the longer one, it is narrower and covers better. The correlation is drawn to 0 where units are few.

    Args:
        first: The metric of the first detector.
        second: That of the second on the very same images.
        confidence: In (0, 1).
    """
    (low_1, high_1), (low_2, high_2) = first.interval(confidence), second.interval(confidence)
    down_1, up_1, down_2, up_2 = first.value - low_1, high_1 - first.value, second.value - low_2, high_2 - second.value
    alike = _correlation(first, second)
    below = _reach(alike, down_1, up_2, max(0.0, down_1 - down_2, up_2 - up_1))
    above = _reach(alike, up_1, down_2, max(0.0, down_2 - down_1, up_1 - up_2))
    middle = first.value - second.value
    return max(-1.0, middle - below), min(1.0, middle + above)


def _reach(alike: float, one: float, other: float, together: float) -> float:
    return math.sqrt((1 - alike) * (one**2 + other**2) + alike * together**2)


def _correlation(first: Estimate, second: Estimate) -> float:
    """In [0, 1]; 0 where one of them has no variance, as at 1.000."""
    spread = math.sqrt(first.variance * second.variance)
    if not spread > 0:
        return 0.0
    found = first.units.covariance(first.influence, second.influence) / spread
    return min(1.0, max(0.0, found)) * first.units.least / (first.units.least + KINSHIP)


def _p_value(first: Estimate, second: Estimate) -> float:
    """The largest p for which the interval of confidence 1 - p still holds 0."""
    low, high = 1e-9, 1.0
    if first.value == second.value:
        return high
    for _ in range(40):
        middle = math.sqrt(low * high)
        ends = difference_interval(first, second, 1 - middle)
        low, high = (middle, high) if ends[0] <= 0 <= ends[1] else (low, middle)
    return high


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How often two detectors are right on the same images, and an exact test of whether they differ.

    Without lots that is McNemar's: an image on which they agree says nothing, each of the others is the toss of a fair
    coin. With lots each lot is one toss: were the two detectors equally good, they might as well be exchanged on all
    of its images.

    Args:
        both: Images on which both are right.
        only_first: Images on which only the first is right.
        only_second: Images on which only the second is right.
        neither: Images on which both are wrong.
        lots: Of each lot the images on which only the first and only the second is right, and all; empty where images
            are counted as independent.
    """

    both: int
    only_first: int
    only_second: int
    neither: int
    lots: tuple[tuple[int, int, int], ...] = ()

    @property
    def n(self) -> int:
        """Number of images."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def p_value(self) -> float:
        """Two-sided, exact; 1 where they never differ."""
        from scipy.special import bdtr  # type: ignore[import-untyped, unused-ignore]

        if self.lots:
            return _flips([first - second for first, second, _ in self.lots])
        tosses = self.only_first + self.only_second
        return min(1.0, 2 * float(bdtr(min(self.only_first, self.only_second), tosses, 0.5))) if tosses else 1.0

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain = {name: value for name, value in vars(self).items() if name != "lots"}
        return {**plain, "n": self.n, "n_lots": len(self.lots) or None, "p_value": self.p_value}


def _flips(differences: Sequence[int]) -> float:
    """P that differences whose signs are tosses of fair coins add up to as much, either way: their distribution."""
    reach = sum(abs(one) for one in differences)
    chance = np.zeros(2 * reach + 1)
    chance[reach] = 1.0
    for one in differences:
        chance = (np.roll(chance, one) + np.roll(chance, -one)) / 2  # what would leave one end has no chance yet
    sums = np.abs(np.arange(-reach, reach + 1))
    return min(1.0, float(chance[sums >= abs(sum(differences))].sum()))


def mcnemar(first_right: ArrayLike, second_right: ArrayLike, lots: ArrayLike | None = None) -> Agreement:
    """Compare decisions of two detectors on the same images.

    Give good and defective images apart: a detector may win on one what it loses on the other, and together they
    would cancel. Several images of one part are no independent evidence, nor are the parts of one lot: give lots.

    Args:
        first_right: Whether the first detector is right on each image, (N,).
        second_right: The same for the second.
        lots: The lot of each image, any numbers, (N,); then the lot is the unit of the test.

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
    by_lot: tuple[tuple[int, int, int], ...] = ()
    if lots is not None:
        inside = np.unique(np.asarray(lots), return_inverse=True)[1]
        if inside.shape != a.shape:
            raise InputError(f"there must be one lot per image, got {inside.shape} for {a.shape}")
        counts = [np.bincount(inside[chosen], minlength=int(inside.max(initial=-1)) + 1) for chosen in (a & ~b, ~a & b)]
        by_lot = tuple(zip(*(one.tolist() for one in (*counts, np.bincount(inside))), strict=True))
    return Agreement(both=both, only_first=first, only_second=second, neither=neither, lots=by_lot)
