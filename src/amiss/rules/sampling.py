"""Proofs that are likely to succeed: how many parts in one sample, or in two, for a rate that is truly smaller."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from amiss.core.checks import check_rate
from amiss.core.errors import InputError
from amiss.rules.planning import MOST, chance_of_success, fewest_parts, parts_needed
from amiss.rules.sequential import Prospect, anytime_needed, sequential_prospect

SPENT = (0.1, 0.2, 0.35, 0.5, 0.65, 0.8)
"""Shares of the doubt that the first of two samples may use up."""

MORE_EVENTS = 8
"""The second sample allows up to so many events more than the first."""

FEW_ENOUGH = 1_000_000
"""Parts up to which two samples and a sequential proof are computed."""


@dataclass(frozen=True)
class Single:
    """One sample: n parts, at most `events` among them; `chance` is that it succeeds at the true rate."""

    n: int
    events: int
    chance: float


@dataclass(frozen=True)
class Double:
    """Two samples.

    The proof succeeds when the first n1 parts have at most `events1` events. With more than `events2` it has failed.
    Otherwise n2 further parts are taken, and it succeeds when both samples together have at most `events2`.

    Args:
        n1: Parts in the first sample.
        events1: See above.
        n2: Parts in the second.
        events2: See above.
        average: Parts on average, at the true rate.
        chance: That it succeeds, at the true rate.
        error: That it succeeds although the true rate is the one to be shown; at most 1 - confidence.
    """

    n1: int
    events1: int
    n2: int
    events2: int
    average: float
    chance: float
    error: float


@dataclass(frozen=True)
class Proofs:
    """Three ways to show a rate. The last is None where it would take more than a million parts.

    Args:
        rate: To be shown.
        true_rate: What it is thought to be.
        confidence: Of the proof.
        power: Chance to succeed, at least.
        single: One sample.
        double: Two samples; None where none is cheaper than one.
        sequential: A look after every part, given up after `most` parts.
    """

    rate: float
    true_rate: float
    confidence: float
    power: float
    single: Single
    double: Double | None
    sequential: Prospect | None


def plan_proofs(rate: float, true_rate: float, confidence: float = 0.95, power: float = 0.9) -> Proofs:
    """The parts needed so that a proof that the rate is at most `rate` succeeds with probability `power`.

    Raises:
        InputError: An argument out of range, a true rate that is not below `rate`, or one so close to it that more
            than a billion parts are needed.

    Example:
        >>> found = plan_proofs(0.05, 0.01)
        >>> found.single  # doctest: +ELLIPSIS
        Single(n=153, events=3, chance=0.931...)
        >>> found.double.average < found.single.n, found.double.error <= 0.05
        (True, True)
    """
    check_rate("rate", rate)
    check_rate("power", power)
    check_rate("confidence", confidence)
    if check_rate("true rate", true_rate) >= rate:
        raise InputError(f"true rate must be below the rate to be shown, {rate:g}, got {true_rate:g}")
    single = _single(rate, true_rate, confidence, power)
    if single.n > FEW_ENOUGH:
        return Proofs(rate, true_rate, confidence, power, single, None, None)
    double = _double(rate, true_rate, confidence, power, single)
    return Proofs(rate, true_rate, confidence, power, single, double, _sequential(rate, true_rate, confidence, power))


def _single(rate: float, true_rate: float, confidence: float, power: float) -> Single:
    def row(events: int) -> Single:
        n = parts_needed(rate, confidence, events)
        return Single(n, events, chance_of_success(n, true_rate, events))

    low, high = -1, 0
    while row(high).chance < power:
        low, high = high, 2 * high + 1
        if high / rate > MOST / 4:
            raise InputError(f"true rate must be clearly below {rate:g} to be shown with few parts, got {true_rate:g}")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if row(middle).chance >= power else (middle, high)
    return row(high)


def _double(rate: float, true_rate: float, confidence: float, power: float, single: Single) -> Double | None:
    """The pair of samples with the fewest parts on average, of those likely enough to succeed."""
    doubt = 1 - confidence
    best: Double | None = None
    for events1 in range(max(0, single.events - MORE_EVENTS), single.events + 1):
        for spent in SPENT:
            n1 = parts_needed(rate, 1 - spent * doubt, events1)
            if best is not None and n1 >= best.average:
                continue
            for events2 in range(max(events1 + 1, single.events), events1 + MORE_EVENTS + 1):
                found = _second(n1, events1, events2, rate, true_rate, doubt)
                cheaper = best is None or found.average < best.average
                if found.chance >= power and found.average < single.n and cheaper:
                    best = found
    return best


def _second(n1: int, events1: int, events2: int, rate: float, true_rate: float, doubt: float) -> Double:
    """The smallest second sample that keeps the error, and what the pair costs."""

    def success(n2: int, at: float) -> float:
        return _success(n1, events1, n2, events2, at)

    high = fewest_parts(lambda n2: success(n2, rate) <= doubt, 0, n1, rate)
    goes_on = chance_of_success(n1, true_rate, events2) - chance_of_success(n1, true_rate, events1)
    chance, error = success(high, true_rate), success(high, rate)
    return Double(n1, events1, high, events2, n1 + high * goes_on, chance, error)


def _success(n1: int, events1: int, n2: int, events2: int, at: float) -> float:
    """P(first sample succeeds) + P(it leaves the matter open, and both together succeed)."""
    from scipy.special import bdtr
    from scipy.stats import binom

    seen = np.arange(events1 + 1, events2 + 1)
    return float(bdtr(events1, n1, at) + (binom.pmf(seen, n1, at) * bdtr(events2 - seen, n2, at)).sum())


def _sequential(rate: float, true_rate: float, confidence: float, power: float) -> Prospect | None:
    """Given up as early as the wanted chance allows."""
    events = 0
    while (most := anytime_needed(rate, confidence, events)) <= FEW_ENOUGH:
        if chance_of_success(most, true_rate, events) >= power:  # so the exact chance, of all looks, is no smaller
            return sequential_prospect(rate, true_rate, confidence, most, power)
        events += 1 + events // 4
    return None
