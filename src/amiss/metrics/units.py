"""Which images are independent evidence: images of one part, or of one lot, are one unit and are counted together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amiss.core.errors import InputError
from amiss.metrics.counts import check_binary

PRIOR = 2
"""Units as many as these speak for images of one unit being copies of each other, until the data say otherwise."""


@dataclass(frozen=True, eq=False)
class Units:
    """N images, their classes, and the unit that each belongs to.

    A unit may hold images of both classes, as where one view of a part shows its defect and another does not.

    Args:
        defective: True = defective, (N,).
        unit: Number of the unit of each image, 0 to K - 1 without gaps, (N,).
    """

    defective: NDArray[np.bool_]
    unit: NDArray[np.intp]

    @cached_property
    def k(self) -> int:
        """Number of units."""
        return int(self.unit.max(initial=-1)) + 1

    def count(self, *, defective: bool) -> int:
        """Number of units with an image of this class."""
        return len(np.unique(self.unit[self.defective == defective]))

    @cached_property
    def least(self) -> int:
        """Number of units of the class that has fewer."""
        return min(self.count(defective=False), self.count(defective=True))

    def subset(self, chosen: NDArray[Any]) -> Units:
        """Some of the images, by a mask or by numbers."""
        numbers = np.unique(self.unit[chosen], return_inverse=True)[1]
        return Units(self.defective[chosen], np.asarray(numbers, np.intp))

    def merged(self, most: int) -> Units:
        """At most about so many units: neighbours in number are joined, where each evaluation is expensive."""
        return self if self.k <= most else replace(self, unit=self.unit * most // self.k)

    def sums(self, influence: NDArray[np.float64]) -> NDArray[np.float64]:
        """Influences (N,) added up within each class and unit, (2, K): good images first."""
        return np.array(
            [np.bincount(self.unit[one], influence[one], self.k) for one in (~self.defective, self.defective)]
        )

    def covariance(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
        """Covariance of two metrics of these images, from the influence of each image on either, (N,).

        The sum over units of the products of what all their images do together (Obuchowski 1997, for AUROC), each
        class corrected for its number of units.
        """
        scale = self._scale
        return float(((scale @ self.sums(first)) * (scale @ self.sums(second))).sum())

    def freedom(self, influence: NDArray[np.float64]) -> float:
        """Degrees of freedom of the variance, by Satterthwaite, at least 1."""
        counts = np.array([self.count(defective=False), self.count(defective=True)])
        parts = ((self._scale[:, None] * self.sums(influence)) ** 2).sum(axis=1)
        total = float((parts**2 / np.maximum(1, counts - 1)).sum())
        return max(1.0, float(parts.sum()) ** 2 / total if total > 0 else float(counts.sum() - 2))

    def sizes(self, influence: NDArray[np.float64]) -> tuple[float, float]:
        """As how many independent images those of each class count: good and defective ones.

        Between the number of units and that of images: the variance that independent images would have over that of
        these units (Kish's design effect). Where few units have an influence the estimate leans to the number of units,
        and where none has it is that.
        """
        sums = self.sums(influence)
        found = []
        for row, defective in enumerate((False, True)):
            images, units = int((self.defective == defective).sum()), self.count(defective=defective)
            if images == 0:
                found.append(0.0)
                continue
            alone = float((influence[self.defective == defective] ** 2).sum())
            most = images / units
            squares = sums[row] ** 2
            effect = float(squares.sum()) / alone if alone > 0 else most
            telling = float(squares.sum()) ** 2 / float((squares**2).sum()) if squares.any() else 0.0
            effect = (effect * telling + most * PRIOR) / (telling + PRIOR)
            found.append(images / min(most, max(1.0, effect)))
        return found[0], found[1]

    def influential(self, influence: NDArray[np.float64]) -> float:
        """As how many units of equal influence those of these images count: 0 where none has any."""
        squares = self.sums(influence).ravel() ** 2
        total = float((squares**2).sum())
        return float(squares.sum()) ** 2 / total if total > 0 else 0.0

    @cached_property
    def _scale(self) -> NDArray[np.float64]:
        counts = np.array([self.count(defective=False), self.count(defective=True)], np.float64)
        return np.sqrt(counts / np.maximum(1, counts - 1))


def units_of(defective: ArrayLike, unit: ArrayLike | None = None) -> Units:
    """Units of images, checked.

    Args:
        defective: 1 or True = defective, (N,).
        unit: Whatever number names the unit of each image, (N,); by default each image is a unit of its own.

    Raises:
        InputError: Classes that are not binary or not (N,), or not one number per image.

    Example:
        >>> units = units_of([0, 0, 1, 1, 1], [7, 7, 8, 8, 9])
        >>> units.k, units.count(defective=True)
        (3, 2)
    """
    classes = check_binary(defective, "defective")
    names = np.arange(classes.size) if unit is None else np.asarray(unit)
    if classes.ndim != 1 or names.shape != classes.shape:
        raise InputError(f"each image must have one class and one unit, got {classes.shape} and {names.shape}")
    return Units(classes, np.asarray(np.unique(names, return_inverse=True)[1], np.intp))
