"""How many parts a promise or a proof needs, before any image is taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from amiss.core.checks import check_count, check_rate
from amiss.core.errors import InputError
from amiss.rules.conformal import Conformal

EVENTS = (0, 1, 2, 5)
"""Allowed numbers of false alarms or escapes that a plan lists."""

MOST = 10**9
"""Largest number of parts that a plan may ask for."""


def parts_needed(rate: float, confidence: float = 0.95, events: int = 0) -> int:
    """Smallest n such that at most `events` in n independent parts show that the true rate is at most `rate`.

    This is the n at which the one-sided Clopper-Pearson bound falls to the rate: P(Binomial(n, rate) <= events) <=
    1 - confidence. The same n lets `Certified` take the (events + 1)-th largest calibration score as its threshold.

    Args:
        rate: Rate of false alarms among good parts, or of escapes among defective ones, in (0, 1).
        confidence: In (0, 1).
        events: How many may be seen, at least 0.

    Raises:
        InputError: An argument out of range, or a rate so small that more than a billion parts are needed.

    Example:
        >>> parts_needed(0.01), parts_needed(0.01, events=1), parts_needed(0.005)
        (299, 473, 598)
    """
    from scipy.special import bdtr

    check_rate("rate", rate)
    doubt = 1 - check_rate("confidence", confidence)
    check_count("events", events, least=0)

    def shown(n: int) -> bool:
        return bool(bdtr(events, n, rate) <= doubt * (1 + 1e-12))

    return fewest_parts(shown, events, events + 1, rate)


def fewest_parts(shown: Callable[[int], bool], low: int, high: int, rate: float) -> int:
    """The smallest n for which `shown`, which holds for all larger ones too, by doubling and bisection.

    Args:
        shown: Whether n parts suffice.
        low: Parts that never suffice.
        high: Where to begin, above `low` and at least 1.
        rate: To be shown, for the error.

    Raises:
        InputError: More than `MOST` parts would be needed.

    Example:
        >>> fewest_parts(lambda n: n >= 300, 0, 1, 0.01)
        300
    """
    while not shown(high):
        low, high = high, 2 * high
        if high > MOST:
            raise InputError(f"rate must be such that at most {MOST} parts show it, got {rate:g}")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shown(middle) else (middle, high)
    return high


def rate_shown(n: int, confidence: float = 0.95, events: int = 0) -> float:
    """Smallest rate that `events` in n parts show: the one-sided upper Clopper-Pearson bound, in (0, 1].

    Example:
        >>> round(rate_shown(299), 5), rate_shown(0)
        (0.00997, 1.0)
    """
    from scipy.special import betaincinv

    check_rate("confidence", confidence)
    check_count("n", n, least=0)
    if check_count("events", events, least=0) >= n:
        return 1.0
    return float(betaincinv(events + 1, n - events, confidence))


def chance_of_success(n: int, true_rate: float, events: int) -> float:
    """P(at most `events` in n parts), when the true rate is this: how likely a proof succeeds.

    Example:
        >>> round(chance_of_success(299, 0.001, 0), 3)
        0.741
    """
    from scipy.special import bdtr

    return float(bdtr(events, n, check_rate("true rate", true_rate)))


@dataclass(frozen=True)
class Row:
    """One way to show a rate: n parts with at most `events` among them.

    `chance` is how likely that is to succeed when the true rate is a tenth of the one to be shown.
    """

    events: int
    n: int
    chance: float


@dataclass(frozen=True)
class PartsPlan:
    """How many parts are needed.

    Args:
        rate: To be shown.
        confidence: With which.
        rows: For each allowed number of events the parts needed.
        on_average: Good parts that `Conformal` needs for this rate: it holds on average over calibration sets only. For
            parts of new lots these numbers, like those of the first row, are numbers of lots.
    """

    rate: float
    confidence: float
    rows: tuple[Row, ...]
    on_average: int


def plan(rate: float, confidence: float = 0.95, events: Sequence[int] = EVENTS) -> PartsPlan:
    """The parts needed for a rate, for several numbers of allowed events.

    Raises:
        InputError: An argument out of range.

    Example:
        >>> [(row.events, row.n) for row in plan(0.005).rows]
        [(0, 598), (1, 947), (2, 1258), (5, 2100)]
    """
    needed = [parts_needed(rate, confidence, count) for count in events]
    rows = [Row(count, n, chance_of_success(n, rate / 10, count)) for count, n in zip(events, needed, strict=True)]
    return PartsPlan(rate, confidence, tuple(rows), Conformal(rate).needed(rate))


def held_out_total(n: int, share: float) -> int:
    """Good parts to collect in all when a share of them is held out to calibrate and n must be held out.

    Example:
        >>> held_out_total(598, 0.2)
        2990
    """
    return math.ceil(n / check_rate("share", share) - 1e-9)
