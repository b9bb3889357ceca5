"""How far a share that was counted can be trusted: exact intervals, and wider ones where parts of a lot are alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from amiss.core.checks import check_rate
from amiss.core.errors import InputError
from amiss.core.sentence import Sentence
from amiss.core.words import counted_percent, low_to_high
from amiss.metrics.counts import check_binary

COUNTED = Sentence(
    "{count} of {n} ({rate}, 95 % interval {interval})",
    "tests/metrics/test_intervals.py::test_covers_at_least_as_often_as_promised",
)
OVER_LOTS = Sentence(
    "{count} of {n} ({rate}, 95 % interval {interval} for parts of other lots)",
    "tests/metrics/test_intervals.py::test_rare_events_in_few_lots_show_little_of_how_much_lots_differ",
)


@dataclass(frozen=True)
class Rate:
    """A share that was counted, with what is needed to judge it.

    Args:
        count: How often it happened, 0 to `n`.
        n: How often it could have happened.
        worth: As how many independent ones these n count, above 0; None for n itself. See `rate_over_lots`.

    Raises:
        InputError: Not whole numbers with 0 <= count <= n.

    Example:
        >>> print(Rate(3, 120))
        3 of 120 (2.5 %, 95 % interval 0.5 to 7.2 %)
    """

    count: int
    n: int
    worth: float | None = None

    def __post_init__(self) -> None:
        count, n = _whole(self.count, self.n)
        object.__setattr__(self, "count", count)
        object.__setattr__(self, "n", n)

    @property
    def rate(self) -> float:
        """The share, in [0, 1]; NaN when n = 0."""
        return self.count / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper-Pearson interval of the true share, confidence 95 %; for `worth` trials where that is fewer."""
        return self.interval_at(0.95)

    def interval_at(self, confidence: float) -> tuple[float, float]:
        """The same with another confidence, in (0, 1)."""
        if self.worth is None or self.n == 0:
            return clopper_pearson(self.count, self.n, confidence)
        tail = (1 - check_rate("confidence", confidence)) / 2
        return _exact(self.count * self.worth / self.n, self.worth, tail)

    @property
    def others(self) -> Rate:
        """How often it did not happen."""
        return Rate(self.n - self.count, self.n, self.worth)

    def summary(self) -> dict[str, Any]:
        """Plain JSON values; the rate is None when n = 0."""
        rate = self.rate if self.n else None
        plain: dict[str, Any] = {"count": self.count, "n": self.n, "rate": rate, "interval": list(self.interval)}
        return plain if self.worth is None else plain | {"worth": self.worth}

    def __str__(self) -> str:
        if self.n == 0:
            return "0 of 0 (rate unknown)"
        said = COUNTED if self.worth is None else OVER_LOTS
        interval = low_to_high(self.interval)
        return said(count=self.count, n=self.n, rate=counted_percent(self.rate), interval=interval)


def clopper_pearson(count: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact interval of a binomial share: it covers the true one with at least this confidence, for every n.

    Args:
        count: How often it happened, 0 to `n`.
        n: Number of independent trials; with 0 the interval is (0, 1).
        confidence: In (0, 1). Half of the rest is left to each side, also when `count` is 0 or `n`.

    Returns:
        Lower and upper end, in [0, 1].

    Raises:
        InputError: Not whole numbers with 0 <= count <= n, or a confidence out of range.

    Example:
        >>> low, high = clopper_pearson(0, 20)
        >>> low, round(high, 4)
        (0.0, 0.1684)
    """
    count, n = _whole(count, n)
    return _exact(count, n, (1 - check_rate("confidence", confidence)) / 2)


def rate_over_lots(events: ArrayLike, lots: ArrayLike) -> Rate:
    """A share of parts, with an interval for parts of other lots: parts of one lot are no independent evidence.

    The exact interval of as many parts as they are worth, see `worth_over_lots`.

    Args:
        events: Whether it happened, for each part, (n,).
        lots: The lot of each part, any numbers, (n,); at least two.

    Example:
        >>> lots = [number // 10 for number in range(60)]
        >>> print(rate_over_lots([1] * 10 + [0] * 50, lots))
        10 of 60 (16.7 %, 95 % interval 0.020 to 81.1 % for parts of other lots)
    """
    happened = check_binary(events, "events")
    return Rate(int(happened.sum()), len(happened), worth_over_lots(happened.astype(np.float64), lots))


def worth_over_lots(values: ArrayLike, lots: ArrayLike) -> float:
    """As how many independent parts these parts count, when their mean is to speak for parts of other lots.

    Their number is divided by the design effect, the variance of the mean over lots relative to that of independent
    parts, and made smaller again for the few lots that it was estimated from (Korn and Graubard 1998). Rare events
    show little of the effect, so it is drawn to that of lots whose parts are all alike: that counts as one event beside
    those seen, of which each lot counts for one at most. Without an event each lot is worth one part.

    Args:
        values: Of each part, (n,).
        lots: The lot of each part, any numbers, (n,); at least two.

    Raises:
        InputError: Fewer than two lots or parts.

    Example:
        >>> lots = [number // 10 for number in range(600)]
        >>> round(worth_over_lots([0, 1] * 300, lots)), round(worth_over_lots([lot % 2 for lot in lots], lots))
        (504, 57)
    """
    from scipy.special import stdtrit  # type: ignore[import-untyped, unused-ignore]

    found = np.asarray(values, np.float64)
    inside = np.unique(np.asarray(lots), return_inverse=True)[1]
    n, groups = len(found), int(inside.max(initial=-1)) + 1
    if groups < 2 or n < 2:
        raise InputError(f"lots must be at least 2 to speak for others, got {groups}")
    away = found - found.mean()
    alone, together = float((away**2).sum()), float((np.bincount(inside, away) ** 2).sum())
    effect = max(1.0, groups / (groups - 1) * together / alone * (n - 1) / n) if alone > 1e-12 else 1.0
    events = min(groups, n - int(np.unique(found, return_counts=True)[1].max()))
    effect = (effect * events + n / groups) / (events + 1)
    few = (float(stdtrit(n - 1, 0.975)) / float(stdtrit(groups - 1, 0.975))) ** 2
    return min(float(n), n / max(1.0, effect) * few)


def _exact(count: float, n: float, tail: float) -> tuple[float, float]:
    from scipy.special import betaincinv  # type: ignore[import-untyped, unused-ignore]

    low = float(betaincinv(count, n - count + 1, tail)) if count > 0 else 0.0
    high = float(betaincinv(count + 1, n - count, 1 - tail)) if count < n else 1.0
    return low, high


def _whole(count: int, n: int) -> tuple[int, int]:
    whole = all(isinstance(value, (int, np.integer)) and not isinstance(value, bool) for value in (count, n))
    if not whole or not 0 <= count <= n:
        raise InputError(f"count and n must be whole numbers with 0 <= count <= n, got {count!r} of {n!r}")
    return int(count), int(n)
