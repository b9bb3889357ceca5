"""A metric with what is needed to judge it: the influence of each image, and an interval that has width at 1.000.

The interval is a score interval: it holds every true value t from which the measured one is no further away than
chance explains, and chance is judged at t, not at the measured value. At 1.000 the measured variance is 0, and the
textbook interval a point; at t below 1 it is not. How the variance falls towards 1 is taken from a model, how large it
is from the data: their ratio, drawn to 1 where there are few units. `bench/interval_coverage.py` chose the details.

References:
    Newcombe, Confidence intervals for an effect size measure based on the Mann-Whitney statistic, Part 2, 2006
    (method 5); Boyd et al., Area under the precision-recall curve, 2013; Wilson 1927; Obuchowski 1997.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.checks import check_rate
from amiss.metrics.influence import Weighted, auroc_influence, left_out, precision_influence
from amiss.metrics.roc import auroc, average_precision
from amiss.metrics.units import Units

Interval = tuple[float, float]

SKEWED = 3
"""Over the number of units: by so much of itself the measured variance counts more, since influences are skewed and few
of them often lack the largest."""


@dataclass(frozen=True)
class Spread:
    """How the variance of a metric depends on its true value.

    Args:
        model: Variance at a true value in [0, 1]; 0 at both ends.
        prior: Units as many as these speak for the model, until the data say otherwise.
        floor: The variance is at least this share of the model's.
        start: The share of the model's that is taken until then.
        few: Few images may decide about the metric: what the data say is weighed by the number of units that have an
            influence, and not by those of the smaller class.
    """

    model: Callable[[float], float]
    prior: float
    floor: float
    start: float = 1.0
    few: bool = False


@dataclass(frozen=True, eq=False)
class Estimate:
    """A metric in [0, 1] that was measured on images.

    Args:
        value: NaN where it is not defined.
        influence: Of each image, (N,); see `amiss.metrics.influence`.
        units: The images.
        spread: How the variance depends on the true value.
    """

    value: float
    influence: NDArray[np.float64]
    units: Units
    spread: Spread

    @cached_property
    def variance(self) -> float:
        """Measured variance; 0 at 1.000, where it says nothing."""
        return self.units.covariance(self.influence, self.influence)

    def interval(self, confidence: float = 0.95) -> Interval:
        """Score interval of the true value, in [0, 1]; all of that with a single unit in a class, NaN without a value.

        Args:
            confidence: In (0, 1).
        """
        from scipy.special import stdtrit  # type: ignore[import-untyped, unused-ignore]

        tail = (1 - check_rate("confidence", confidence)) / 2
        if math.isnan(self.value) or self.units.least == 0:
            return math.nan, math.nan
        if self.units.least == 1 or not np.isfinite(self.influence).all():
            return 0.0, 1.0
        reach = float(stdtrit(self.units.freedom(self.influence), 1 - tail)) ** 2 * self._ratio
        return self._end(0.0, reach), self._end(1.0, reach)

    def widened(self, ends: Interval) -> Interval:
        """An interval that holds for fixed good images, such as of a quantile, widened by what those move the value.

        Often a few good images do most of that, and their variance is only known to so many degrees of freedom.
        """
        from scipy.special import stdtrit  # type: ignore[import-untyped, unused-ignore]

        axis = np.where(self.units.defective, 0.0, self.influence)
        freedom = max(1.0, self.units.influential(axis) - 1)
        moved = float(stdtrit(freedom, 0.975)) ** 2 * self.units.covariance(axis, axis)
        down, up = (math.sqrt((self.value - end) ** 2 + moved) for end in ends)
        return max(0.0, self.value - down), min(1.0, self.value + up)

    @property
    def _ratio(self) -> float:
        spread, expected = self.spread, self.spread.model(self.value)
        variance = self.variance * (1 + SKEWED / self.units.least)
        ratio = variance / expected if expected > 1e-12 else spread.start
        units = self.units.influential(self.influence) if spread.few else self.units.least
        return max(spread.floor, (ratio * units + spread.start * spread.prior) / (units + spread.prior))

    def _end(self, outside: float, reach: float) -> float:
        """The value furthest towards 0 or 1 that the measured one does not speak against, by bisection."""
        inside = self.value
        for _ in range(52):
            middle = (inside + outside) / 2
            if (self.value - middle) ** 2 <= reach * self.spread.model(middle):
                inside = middle
            else:
                outside = middle
        return inside


def estimate_auroc(units: Units, scores: NDArray[Any]) -> Estimate:
    """AUROC of image scores (N,). The model is Newcombe's, for as many independent images as the units are worth."""
    influence = auroc_influence(units.defective, scores)
    good, bad = units.sizes(influence)
    pairs, mean = max(1.0, good * bad), (good + bad) / 2 - 1

    def model(t: float) -> float:
        return t * (1 - t) * (1 + mean * (1 - t) / (2 - t) + mean * t / (1 + t)) / pairs

    return Estimate(auroc(units.defective, scores), influence, units, Spread(model, prior=4, floor=1))


def estimate_precision(units: Units, scores: NDArray[Any]) -> Estimate:
    """Average precision of image scores (N,).

    Where defects score nearly alike, one good image above them lowers all steps of recall, the m-th by 1 / m: the sum
    of these, ln m, times as much as the model says. The data do not show it before there is such an image, so half of
    that is what the ratio of variances starts from.
    """
    influence = precision_influence(units.defective, scores)
    harmonic = math.log(max(1, units.count(defective=True))) + 0.577
    spread = replace(share_spread(units, floor=1), prior=3, start=max(1.0, harmonic / 2), few=True)
    return Estimate(average_precision(units.defective, scores), influence, units, spread)


def estimate_shares(values: Mapping[str, float], measure: Weighted, units: Units) -> dict[str, Estimate]:
    """Any smooth metrics, such as areas over pixels.

    Args:
        values: Each metric of the images by name, exact.
        measure: The same metrics, and perhaps others, of weighted images.
        units: The images.
    """
    influences, spread = left_out(measure, units), share_spread(units, floor=0.5)
    return {name: Estimate(value, influences[name], units, spread) for name, value in values.items()}


def share_spread(units: Units, floor: float) -> Spread:
    """As of the share of defective units that are found (Boyd et al.)."""
    count = max(1, units.count(defective=True))
    return Spread(lambda t: t * (1 - t) / count, prior=8, floor=floor)
