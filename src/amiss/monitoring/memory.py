"""Streams in which a part resembles the one before: the memory is taken out, and what is left is charted.

A chart designed for independent parts alarms too often when normal scores follow z_t = phi z_(t-1) + noise. The
residuals (z_t - phi z_(t-1)) / sqrt(1 - phi^2) are independent and standard normal again, so the same limits hold for
them (Alwan and Roberts 1988). A lasting shift of one standard deviation moves them by sqrt((1 - phi) / (1 + phi)) only:
that much less each part tells, whatever the chart.

Changes that come and go look like memory too, and one stream cannot tell which it is. So it is taken out only where the
user says that parts of the line always resemble the one before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amiss.monitoring.change import Dependence, Stretch, autocorrelation
from amiss.monitoring.normal_score import check_numbers

Floats = NDArray[np.float64]

MOST = 0.95
"""A larger correlation cannot be told from a level that wanders; it is taken as this."""

LIKELY = 1.282
"""Quantile of the correlation of independent streams from which on it is taken out: waiting for clear evidence would
leave a small memory in, and taking out one that is not there costs little."""


@dataclass(frozen=True)
class Memory:
    """The lag-1 correlation of a stream, and what is taken out of it.

    Args:
        phi: Estimated correlation, in [0, 0.95]; 0 where it is below nine of ten that independent parts show.
        n: Number of parts that it was estimated from.
        clear: Parts resemble their neighbours more than in 99 of 100 independent streams.
    """

    phi: float
    n: int
    clear: bool = False

    @property
    def taken(self) -> float:
        """What is taken out: phi and its standard error, since a memory that is left in costs more than one too many.

        With phi alone up to 51 % of unchanged streams of 200 parts alarmed where 42 % may (`bench/memory_charts.py`).
        """
        return self.phi and min(MOST, self.phi + math.sqrt((1 - self.phi**2) / self.n))

    @property
    def shift_left(self) -> float:
        """How much of a lasting shift is left in the residuals, as a share."""
        return math.sqrt((1 - self.taken) / (1 + self.taken))

    def residuals(self, z: ArrayLike) -> Floats:
        """Normal scores without the memory, (N,); about independent and standard normal while nothing changes.

        Example:
            >>> Memory(0.6, 10**9).residuals([1.0, 0.62, 1.4]).round(1).tolist()
            [1.0, 0.0, 1.3]
        """
        values = check_numbers("normal scores", z)
        if self.phi == 0:
            return values
        before = np.concatenate([[0.0], values[:-1]])
        rest = (values - self.taken * before) / math.sqrt(1 - self.taken**2)
        rest[:1] = values[:1]
        return rest


NONE = Memory(0.0, 0)
"""No memory: parts are independent."""


def find_memory(z: ArrayLike, changed: Stretch | None = None) -> Memory:
    """The memory of a stream, by the lag-1 correlation of its normal scores, corrected for its bias.

    The correlation of N values with their mean taken off is too small by about (1 + 4 phi) / N (Kendall 1954).

    Args:
        z: Normal scores, (N,).
        changed: A stretch whose mean is not that of the rest, and would count as memory.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> find_memory(rng.normal(size=200)).clear
        False
    """
    seen: Dependence = autocorrelation(z, changed)
    if seen.n == 0 or (seen.correlation + 1 / seen.n) * math.sqrt(seen.n) < LIKELY:
        return Memory(0.0, seen.n)
    phi = (seen.correlation + 1 / seen.n) / (1 - 4 / seen.n)
    return Memory(min(MOST, max(0.0, phi)), seen.n, seen.significant)
