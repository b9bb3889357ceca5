"""Control charts: `Cusum` and `Ewma` of normal scores, `AlarmRate` of parts above the threshold."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amiss.core.checks import check_choice, check_count, check_real
from amiss.core.errors import InputError
from amiss.monitoring.design import (
    ARL,
    MANY,
    Design,
    calibration_law,
    check_arl,
    describe,
    find_limit,
    sets_for,
)
from amiss.monitoring.normal_score import check_n, check_numbers
from amiss.monitoring.run_length import Law, counting_run_length, cusum_run_length, ewma_run_length

Floats = NDArray[np.float64]

_ONE_SD = "every score moves by one standard deviation"


class Cusum:
    """Cumulative sum of normal scores: S = max(0, S + z - k), alarm when S is beyond the limit.

    Small lasting shifts add up, chance does not. It is not set back after an alarm, so it also shows whether the shift
    lasts.

    Args:
        k: Taken off each part. Half the shift to be found, in standard deviations: 0.5 finds one sigma soonest.
        direction: "up" for rising scores, "down" for falling ones (then -z is summed).

    Raises:
        InputError: k not from 0.1 to 1.5, or another direction.

    Example:
        >>> chart = Cusum()
        >>> chart.path([0.2, 1.5, 1.5, -2.0]).tolist()
        [0.0, 1.0, 2.0, 0.0]
        >>> round(chart.design(100, arl=370).limit, 1)
        4.3
    """

    def __init__(self, k: float = 0.5, direction: str = "up") -> None:
        self.k = check_real("k", k, least=0.1)
        if k > 1.5:
            raise InputError(f"k must be between 0.1 and 1.5, got {k:g}: few normal scores are larger than 2")
        self.direction = check_choice("direction", direction, ("up", "down"))
        self.name = "cusum" if direction == "up" else "cusum-down"

    def path(self, z: ArrayLike) -> Floats:
        """The chart after each part, (N,); starts at 0."""
        steps = check_numbers("normal scores", z) * (1 if self.direction == "up" else -1) - self.k
        total = np.concatenate([[0.0], np.cumsum(steps)])
        return np.asarray((total - np.minimum.accumulate(total))[1:], np.float64)

    def run_length(self, limit: float, *, shift: float = 0.0) -> float:
        """Average run length when n is so large that z is standard normal, moved by `shift` in the direction."""
        return float(cusum_run_length(Law.normal(shift), self.k, limit)[0])

    def design(self, n: int, *, arl: float = ARL, seed: int = 0) -> Design:
        """The limit for one false alarm in `arl` parts with n calibration scores. Takes a second or two.

        Args:
            n: Number of calibration scores, at least 20; more than 2000 count as 2000.
            arl: See `Design`.
            seed: Seed of the calibration sets that are drawn; one seed, one limit.

        Raises:
            CalibrationError: n is below 20.
            InputError: `arl` is not from 20 to 1,000,000.
        """
        return replace(_cusum_design(self.k, check_n(n), check_arl(arl), seed), chart=self.name)


class Ewma:
    """Exponentially weighted mean of normal scores: E = (1 - weight) E + weight z, with limits on both sides.

    The limits are narrow for the first parts, as is the spread of E, and settle at
    limit * sqrt(weight / (2 - weight)).

    Args:
        weight: Weight of the newest part, 0.05 to 0.9; smaller finds smaller shifts, later.

    Raises:
        InputError: Another weight.

    Example:
        >>> Ewma(0.5).path([1.0, 1.0, -2.0]).tolist()
        [0.5, 0.75, -0.625]
        >>> lower, upper = Ewma(0.1).bounds(2.7, 100)
        >>> upper[[0, 99]].round(3).tolist()
        [0.27, 0.619]
    """

    name = "ewma"

    def __init__(self, weight: float = 0.1) -> None:
        self.weight = check_real("weight", weight, least=0.05)
        if weight > 0.9:
            raise InputError(f"weight must be between 0.05 and 0.9, such as 0.1, got {weight:g}")

    def path(self, z: ArrayLike) -> Floats:
        """The chart after each part, (N,); starts at 0."""
        from scipy.signal import lfilter

        return np.asarray(lfilter([self.weight], [1, self.weight - 1], check_numbers("normal scores", z)), np.float64)

    def bounds(self, limit: float, count: int) -> tuple[Floats, Floats]:
        """Lower and upper limit at each of the first `count` parts; `limit` in standard deviations of E."""
        age = np.arange(1, count + 1)
        upper = limit * np.sqrt(self.weight / (2 - self.weight) * (1 - (1 - self.weight) ** (2 * age)))
        return -upper, upper

    def run_length(self, limit: float, *, shift: float = 0.0, widening: bool = True) -> float:
        """Average run length when n is so large that z is standard normal, moved by `shift`.

        With `widening` false the limits are the final ones from the first part on, as in the tables of textbooks.
        """
        return float(ewma_run_length(Law.normal(shift), self.weight, limit, widening=widening)[0])

    def design(self, n: int, *, arl: float = ARL, seed: int = 0) -> Design:
        """The limit for one false alarm, of either side, in `arl` parts; arguments as in `Cusum.design`.

        Raises:
            CalibrationError: n is below 20.
            InputError: `arl` is not from 20 to 1,000,000.
        """
        return _ewma_design(self.weight, check_n(n), check_arl(arl), seed)


class AlarmRate:
    """Cumulative sum of parts above the threshold: every such part adds `every`, every part takes 1 off, never below 0.

    It notices that more parts alarm, also while the typical part scores as ever: more defects. It is made for odds of
    alarm that rise fivefold.

    Args:
        rank: The threshold is the rank-th largest of the n calibration scores, or just above the next: a good part is
            beyond it in rank of n + 1 cases, on average.
        n: Number of calibration scores.

    Raises:
        CalibrationError: n is below 20.
        InputError: More than half of the calibration scores lie above the threshold.

    Example:
        >>> chart = AlarmRate(rank=5, n=99)
        >>> chart.every
        9
        >>> chart.path([True, False, True]).tolist()
        [8, 7, 15]
    """

    name = "rate"

    def __init__(self, rank: int, n: int) -> None:
        self.rank, self.n = check_count("rank", rank), check_n(n)
        self.expected = rank / (n + 1)
        if self.expected > 0.5:
            raise InputError(
                f"at most half of the calibration scores may lie above the threshold, got {rank - 1} of {n}"
            )
        self.every = max(2, round(1 / _level_rate(self.expected, self.worse(self.expected))))

    @staticmethod
    def worse(rate: Any) -> Any:
        """The rate that the chart is made to notice: five times the odds."""
        return 5 * rate / (1 + 4 * rate)

    def path(self, above: ArrayLike) -> NDArray[np.int64]:
        """The chart after each part, (N,), from True = above the threshold, (N,)."""
        steps = np.where(np.asarray(above, bool), self.every, 0) - 1
        total = np.concatenate([[0], np.cumsum(steps)])
        return np.asarray((total - np.minimum.accumulate(total))[1:], np.int64)

    def design(self, *, arl: float = ARL) -> Design:
        """The limit for one false alarm in at least `arl` parts; the chart alarms when it is *at or* beyond.

        The true rate of alarms of good parts is distributed as Beta(rank, n + 1 - rank) over calibration sets; the
        design is a quadrature over it, nothing is drawn at random.

        Raises:
            InputError: `arl` is not from 20 to 1,000,000.
        """
        return _rate_design(self.rank, self.n, check_arl(arl))


def _level_rate(low: float, high: float) -> float:
    """The share of yes at which the likelihoods of two rates agree: k of their CUSUM."""
    return math.log((1 - low) / (1 - high)) / math.log(high * (1 - low) / (low * (1 - high)))


@lru_cache(maxsize=64)
def _cusum_design(k: float, n: int, arl: float, seed: int) -> Design:
    def lengths(limit: float, law: Law) -> Floats:
        return cusum_run_length(law, k, limit)

    return _z_design("cusum", lengths, n, arl, seed, start=4.0)


@lru_cache(maxsize=64)
def _ewma_design(weight: float, n: int, arl: float, seed: int) -> Design:
    def lengths(limit: float, law: Law) -> Floats:
        return ewma_run_length(law, weight, limit)

    return _z_design(Ewma.name, lengths, n, arl, seed, start=2.7)


def _z_design(
    name: str, lengths: Callable[[float, Law], Floats], n: int, arl: float, seed: int, start: float
) -> Design:
    """First for very many calibration scores, which is quick, and from there for n."""
    known = Law.normal()
    guess = find_limit(lambda limit: lengths(limit, known), arl, start)
    few, draws = min(n, MANY), sets_for(n)
    law = calibration_law(few, draws=draws, seed=seed)
    at_limit = lru_cache(maxsize=1)(lambda limit: lengths(limit, law))
    limit = find_limit(at_limit, arl, guess)
    moved = calibration_law(few, 1.0, draws=draws, seed=seed)
    some = Law(moved.values, moved.weights[: min(draws // 2, 500)])
    delay = float(np.median(lengths(limit, some)))
    return describe(name, n, limit, at_limit(limit), delay, _ONE_SD)


@lru_cache(maxsize=64)
def _rate_design(rank: int, n: int, arl: float) -> Design:
    from scipy.special import betaincinv

    chart = AlarmRate(rank, n)
    rates = np.asarray(betaincinv(rank, n + 1 - rank, (np.arange(200) + 0.5) / 200), np.float64)
    low, high = 1, 1
    while (1 / counting_run_length(rates, chart.every, high)).mean() > 1 / arl:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        good = (1 / counting_run_length(rates, chart.every, middle)).mean() <= 1 / arl
        low, high = (low, middle) if good else (middle, high)
    lengths = counting_run_length(rates, chart.every, high)
    delay = float(np.median(counting_run_length(chart.worse(rates), chart.every, high)))
    change = f"{100 * chart.worse(chart.expected):.2g} % instead of {100 * chart.expected:.2g} % of the parts alarm"
    return describe(AlarmRate.name, n, float(high), lengths, delay, change, sampled=False)
