"""Limits for a stated rate of false alarms, at the number of calibration scores there really is.

A chart compares a stream with n calibration scores. Whoever draws these n scores anew gets another chart with another
rate of false alarms: a fresh good score falls into the n + 1 gaps between them with probabilities that are not
1/(n + 1) each, but distributed as Dirichlet(1, ..., 1), whatever the scores are, as long as ties are rare. So a
calibration set is drawn by drawing these probabilities, and the run length that belongs to it is computed by a Markov
chain, see `amiss.monitoring.run_length`.

The limit is chosen so that the false alarms of all calibration sets together are one in `arl` parts: the mean over
calibration sets of 1 / (average run length) is 1 / arl. This is the promise of a conformal p-value, for a chart. The
mean of the run lengths themselves is not a basis for a limit: at n = 20 a few lucky calibration sets run for millions
of parts and lift it to any value, while every second set alarms far too often.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.checks import check_count, check_real
from amiss.core.errors import InputError
from amiss.monitoring.normal_score import cell_scores, check_n
from amiss.monitoring.run_length import Law

Floats = NDArray[np.float64]

ARL = 370.0
"""Default average run length: one false alarm in 370 parts, that of Shewhart's three-sigma chart."""

MOST = 1_000_000
"""Largest average run length that a chart is designed for."""

MARTINGALE_SHARE = 0.2
"""Of the false alarms that shifts allow, the share that the martingale may have; it has no run length."""

MANY = 2000
"""More calibration scores than this are designed for as this many: the limit is then a little too wide."""


@dataclass(frozen=True)
class Design:
    """The limit of a chart and what it means.

    Args:
        chart: Its name.
        n: Number of calibration scores.
        arl: One false alarm in so many parts, over calibration sets: 1 / (mean of 1 / run length).
        arl_interval: 95 % interval of that number, for the calibration sets are drawn at random.
        limit: Alarm beyond it; in units of the chart.
        arl_typical: Average run length of the middle calibration set (median).
        arl_low: Average run length that nine of ten calibration sets exceed.
        delay: Average number of parts until the middle calibration set notices the change that the chart is made for.
        change: That change, in words.
    """

    chart: str
    n: int
    arl: float
    arl_interval: tuple[float, float]
    limit: float
    arl_typical: float
    arl_low: float
    delay: float
    change: str

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "arl_interval": list(self.arl_interval)}


def check_arl(arl: float) -> float:
    """An average run length that can be designed for.

    Raises:
        InputError: Not a number from 20 to 1,000,000.
    """
    value = check_real("arl", arl, least=20)
    if value > MOST:
        raise InputError(f"arl must be a number of parts from 20 to {MOST}, such as 370, got {arl:g}")
    return value


@dataclass(frozen=True)
class Share:
    """What each group of charts (of scores, of images) may do, so that all of them keep a promise about whole streams.

    Args:
        arl: One false alarm in so many parts, by each group.
        delta: Largest probability that the martingale ever alarms.
    """

    arl: float
    delta: float

    def chance(self, parts: int, groups: int, martingale: bool) -> float:
        """Largest probability that anything alarms in `parts` parts while nothing changes, over calibration sets.

        Run lengths are nearly exponential, and their mean rate over calibration sets is 1 / arl; mixing them makes an
        alarm less likely than this.
        """
        return min(1.0, -math.expm1(-groups * parts / self.arl) + martingale * self.delta)


def share_of_shifts(shifts: int, parts: int, groups: int, delta: float) -> Share:
    """The share that lets at most one of `shifts` streams of `parts` parts alarm while nothing changes.

    Args:
        shifts: At least 2.
        parts: Parts of one shift, at least 1.
        groups: Groups of charts: 1 for scores alone, 2 with images.
        delta: The martingale gets at most this.

    Raises:
        InputError: A number out of range.

    Example:
        >>> share = share_of_shifts(20, 200, groups=1, delta=0.01)
        >>> round(share.arl), share.delta, round(share.chance(200, 1, True), 6)
        (4899, 0.01, 0.05)
    """
    allowed = 1 / check_count("shifts", shifts, least=2)
    delta = min(delta, MARTINGALE_SHARE * allowed)
    return Share(groups * check_count("parts of a shift", parts) / -math.log1p(delta - allowed), delta)


def sets_for(n: int) -> int:
    """How many calibration sets to draw: the rate of false alarms is then certain to 4 % at n = 50, 2 % at 1000.

    Example:
        >>> sets_for(50), sets_for(1000)
        (3000, 800)
    """
    return 2 * round(max(400, min(1500, 225_000 / n)))


@lru_cache(maxsize=4)
def calibration_law(n: int, shift: float = 0.0, *, draws: int, seed: int = 0) -> Law:
    """The normal score of a fresh good part, one distribution for each of `draws` random calibration sets.

    Every set comes with its mirror image, which steadies means over sets: the second half mirrors the first.

    Args:
        n: Number of calibration scores.
        shift: The part's score is raised by so many standard deviations, taken as normally distributed; when it is 0
            the distribution does not matter.
        draws: Number of calibration sets, even.
        seed: Random seed.

    Example:
        >>> calibration_law(50, draws=10).weights.shape
        (10, 51)
    """
    from scipy.special import ndtr, ndtri

    rng = np.random.default_rng([check_count("seed", seed, least=0), n])
    parts = rng.standard_exponential((check_count("draws", draws, least=2) // 2, check_n(n) + 1))
    weights = parts / parts.sum(axis=1, keepdims=True)
    weights = np.concatenate([weights, weights[:, ::-1]])
    if shift:
        below = np.minimum(np.cumsum(weights, axis=1)[:, :-1], 1.0)
        weights = np.diff(ndtr(ndtri(below) - shift), axis=1, prepend=0.0, append=1.0)
    return Law(cell_scores(n), weights)


def find_limit(run_length: Callable[[float], Floats], arl: float, start: float, highest: float = 1e3) -> float:
    """The limit at which the mean of 1 / run length is 1 / arl, or a little less; more so where it jumps at the limit.

    Args:
        run_length: Limit to run lengths of all calibration sets, (B,); grows with the limit, perhaps in steps.
        arl: See `Design`.
        start: A guess.
        highest: No limit beyond it; returned when it is not wide enough.
    """

    def excess(limit: float) -> float:
        return float(np.log(arl * (1 / run_length(limit)).mean()))

    low = high = start
    too_many = fewer = excess(start)
    while fewer > 0 and high < highest:
        low, too_many, high = high, fewer, min(highest, 1.2 * high)
        fewer = excess(high)
    while too_many <= 0:
        high, fewer, low = low, too_many, low / 1.2
        too_many = excess(low)
    while fewer < -0.01 and high - low > 1e-3 * high:
        share = float(np.clip(too_many / (too_many - fewer) + 0.02, 0.1, 0.9))
        middle = low + share * (high - low)
        found = excess(middle)
        if found > 0:
            low, too_many = middle, found
        else:
            high, fewer = middle, found
    return high


def describe(
    chart: str, n: int, limit: float, lengths: Floats, delay: float, change: str, *, sampled: bool = True
) -> Design:
    """A `Design` from the run lengths that calibration sets have at its limit.

    Args:
        chart: Its name.
        n: Number of calibration scores.
        limit: See `Design`.
        lengths: Run lengths of calibration sets, (B,).
        delay: See `Design`.
        change: See `Design`.
        sampled: The sets are random draws, in pairs of one and its mirror image; False: they are a quadrature.
    """
    rates = 1 / lengths
    pairs = rates.reshape(2, -1).mean(axis=0) if sampled else rates
    error = 1.96 * float(pairs.std(ddof=1)) / len(pairs) ** 0.5 if sampled else 0.0
    rate = float(rates.mean())
    return Design(
        chart=chart,
        n=n,
        arl=1 / rate,
        arl_interval=(1 / (rate + error), 1 / max(rate - error, 1e-12)),
        limit=limit,
        arl_typical=float(np.median(lengths)),
        arl_low=float(np.quantile(lengths, 0.1)),
        delay=delay,
        change=change,
    )
