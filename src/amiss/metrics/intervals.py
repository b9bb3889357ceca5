"""How far a share that was counted can be trusted: exact intervals, and wider ones where parts of a lot are alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from amiss.core.checks import check_rate
from amiss.core.errors import InputError
from amiss.core.words import counted_percent
from amiss.metrics.counts import check_binary


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
        3 of 120 (2.5 %, 95 % interval 0.5 to 7.1 %)
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
        if self.worth is None or self.n == 0:
            return clopper_pearson(self.count, self.n)
        return _exact(self.count * self.worth / self.n, self.worth, 0.025)

    def summary(self) -> dict[str, Any]:
        """Plain JSON values; the rate is None when n = 0."""
        rate = self.rate if self.n else None
        plain: dict[str, Any] = {"count": self.count, "n": self.n, "rate": rate, "interval": list(self.interval)}
        return plain if self.worth is None else plain | {"worth": self.worth}

    def __str__(self) -> str:
        if self.n == 0:
            return "0 of 0 (rate unknown)"
        low, high = (counted_percent(share) for share in self.interval)
        low = low.removesuffix(" %")
        return f"{self.count} of {self.n} ({counted_percent(self.rate)}, 95 % interval {low} to {high})"


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

    n is divided by the design effect, the variance of the share over lots relative to that of independent parts, and
    made smaller again for the few lots that it was estimated from; the exact interval is taken for what is left (Korn
    and Graubard 1998). Without an event, or with nothing else, nothing is seen of a design effect.

    Args:
        events: Whether it happened, for each part, (n,).
        lots: The lot of each part, any numbers, (n,); at least two.

    Example:
        >>> lots = [number // 10 for number in range(60)]
        >>> print(rate_over_lots([1] * 10 + [0] * 50, lots))
        10 of 60 (16.7 %, 95 % interval 0.018 to 81.7 %)
    """
    from scipy.special import stdtrit  # type: ignore[import-untyped, unused-ignore]

    happened = check_binary(events, "events")
    inside = np.unique(np.asarray(lots), return_inverse=True)[1]
    n, count, groups = len(happened), int(happened.sum()), int(inside.max(initial=-1)) + 1
    if groups < 2 or n < 2:
        raise InputError(f"lots must be at least 2 to speak for others, got {groups}")
    apart = np.bincount(inside, happened - count / n)
    alone = count * (n - count) / n
    effect = groups / (groups - 1) * float((apart**2).sum()) / alone * (n - 1) / n if alone > 0 else 1.0
    few = (float(stdtrit(n - 1, 0.975)) / float(stdtrit(groups - 1, 0.975))) ** 2
    return Rate(count, n, min(float(n), n / max(1.0, effect) * few))


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
