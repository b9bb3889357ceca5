"""When did it change, and do successive parts depend on each other?"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amiss.core.errors import InputError

Floats = NDArray[np.float64]

LEVEL = 0.25
"""A part belongs to the changed stretch while it keeps the mean of the stretch above this many standard deviations."""

TAIL = 50
"""So many quiet parts after a stretch are needed to say that it is over."""


@dataclass(frozen=True)
class Stretch:
    """Parts that a change has concerned. Parts are numbers of usable parts from 0.

    Args:
        first: The first of them.
        end: The first after them.
        strength: Logarithm of how much likelier they are as a changed stretch than as any other parts.
    """

    first: int
    end: int
    strength: float

    @property
    def count(self) -> int:
        """How many parts."""
        return self.end - self.first

    def lasts(self, total: int) -> bool:
        """It reaches the end of a stream of `total` parts, or so nearly that nobody can tell."""
        return total - self.end < TAIL

    def moved(self, by: int) -> Stretch:
        """The same stretch where parts are counted from `by` parts earlier."""
        return replace(self, first=self.first + by, end=self.end + by)


def find_change(z: ArrayLike, direction: str) -> Stretch:
    """The stretch of normal scores that changed most clearly, by maximum likelihood.

    Its end is where a CUSUM with k = 0.25 is highest. Its start is the part from which the stretch, as normal with an
    unknown mean on the given side of 0, is most likelier than standard normal: it maximises (sum of z)^2 / length. How
    near that is depends on the shift, on how many parts it has concerned and on the length of the stream, see
    ``docs/theory/monitoring.md``.

    Args:
        z: Normal scores, (N,).
        direction: "up" or "down".

    Raises:
        InputError: No score.

    Example:
        >>> stretch = find_change([0.1, -0.4, 0.2, -0.3, 1.9, 1.2, 1.5], "up")
        >>> stretch.first, stretch.end
        (4, 7)
    """
    values = np.asarray(z, np.float64) * (1 if direction == "up" else -1)
    totals, length = _before_peak(values, LEVEL)
    gain = np.maximum(totals, 0) ** 2 / length / 2
    first = int(np.argmax(gain))
    return Stretch(first, len(gain), float(gain[first]))


def find_rate_change(above: ArrayLike, expected: float, worse: float) -> Stretch:
    """As `find_change`, for yes or no: the stretch with the most unlikely share of parts above the threshold.

    Args:
        above: True = above the threshold, (N,).
        expected: Share to be expected, in (0, 1).
        worse: The share that the chart was made to notice, larger.

    Raises:
        InputError: No part.

    Example:
        >>> stretch = find_rate_change([0, 0, 0, 0, 0, 1, 0, 1, 1], expected=0.05, worse=0.2)
        >>> stretch.first, stretch.end
        (5, 9)
    """
    totals, length = _before_peak(np.asarray(above, np.float64), (expected + worse) / 2)
    share = np.maximum(totals / length, expected)
    no = np.where(share < 1, (1 - share) * np.log(np.maximum(1 - share, 1e-300) / (1 - expected)), 0.0)
    gain = length * (share * np.log(share / expected) + no)
    first = int(np.argmax(gain))
    return Stretch(first, len(gain), float(gain[first]))


def _before_peak(values: Floats, level: float) -> tuple[Floats, NDArray[np.intp]]:
    """For each possible start: sum and number of values up to where the CUSUM of values - level is highest."""
    if len(values) == 0:
        raise InputError("at least 1 part is needed, got 0")
    walk = np.concatenate([[0.0], np.cumsum(values - level)])
    end = max(1, int(np.argmax(walk - np.minimum.accumulate(walk))))
    return np.cumsum(values[:end][::-1])[::-1], np.arange(end, 0, -1)


@dataclass(frozen=True)
class Dependence:
    """Lag-1 autocorrelation of N values and whether chance explains it: `significant` at 1 %, positive side."""

    correlation: float
    n: int

    @property
    def significant(self) -> bool:
        """Neighbours resemble each other more than in 99 of 100 independent streams."""
        return self.n > 0 and (self.correlation + 1 / self.n) * math.sqrt(self.n) > 2.326


def autocorrelation(z: ArrayLike, changed: Stretch | None = None) -> Dependence:
    """How much successive parts resemble each other, means of a changed stretch and of the rest taken off.

    Args:
        z: Normal scores, (N,).
        changed: A stretch whose mean is not that of the rest, and would count as resemblance.

    Returns:
        With n = 0 when there are fewer than 20 parts, or all values are equal.

    Example:
        >>> autocorrelation([0, 1] * 20).significant, autocorrelation([0] * 20 + [1] * 20).significant
        (False, True)
    """
    values = np.array(z, np.float64)
    stretches = (
        [values]
        if changed is None
        else [values[: changed.first], values[changed.first : changed.end], values[changed.end :]]
    )
    rest = np.concatenate([part - part.mean() for part in stretches if len(part)] or [values])
    power = float((rest**2).sum())
    if len(rest) < 20 or power < 1e-12:
        return Dependence(0.0, 0)
    return Dependence(float((rest[1:] * rest[:-1]).sum()) / power, len(rest))
