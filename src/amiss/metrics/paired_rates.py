"""Two detectors' verdicts on the same parts: how far their rates differ, whether one is no worse, how many it takes.

Of n parts, `only_first` are judged right by the first detector alone and `only_second` by the second alone. All that
the data say of the difference of the two rates is in these two counts and n.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amiss.core.checks import check_count, check_rate, check_real
from amiss.core.errors import InputError

Floats = NDArray[np.float64]

MOST_PARTS = 1_000_000
"""More parts are not planned for."""


@dataclass(frozen=True)
class RateDifference:
    """Rate of the second detector minus that of the first, on the same parts.

    Args:
        n: Number of parts.
        value: The difference, in [-1, 1]; NaN when n = 0.
        interval: Tango's score interval of it.
        confidence: Of the interval.
        lots: Number of lots where the interval is over lots; None where it is over parts.
    """

    n: int
    value: float
    interval: tuple[float, float]
    confidence: float
    lots: int | None = None

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        value = self.value if self.n else None
        return {**vars(self), "value": value, "interval": list(self.interval)}


def rate_difference(
    only_first: int, only_second: int, n: int, confidence: float = 0.95, worth: float | None = None
) -> RateDifference:
    """The difference of two paired rates with Tango's (1998) score interval, which holds with few parts as well.

    Args:
        only_first: Parts that only the first detector judges right.
        only_second: Parts that only the second judges right.
        n: All parts.
        confidence: In (0, 1).
        worth: As how many independent parts they count, see `amiss.metrics.intervals.worth_over_lots`; None for n.

    Raises:
        InputError: Counts that do not fit together.

    Example:
        >>> found = rate_difference(1, 9, 100)
        >>> round(found.value, 2), [round(end, 3) for end in found.interval]
        (0.08, [0.023, 0.154])
    """
    b, c, n = _checked(only_first, only_second, n)
    z = _quantile((1 + check_rate("confidence", confidence)) / 2)
    if n == 0:
        return RateDifference(0, float("nan"), (-1.0, 1.0), confidence)
    m = float(n if worth is None else worth)
    low, high = (_end(one * m / n, other * m / n, m, z) for one, other in ((b, c), (c, b)))
    return RateDifference(n, (b - c) / n, (low, -high), confidence)


@dataclass(frozen=True)
class NonInferiority:
    """Whether the second detector's rate is at most `margin` below the first's.

    Args:
        margin: In rate, such as 0.05 for five percentage points.
        bound: The difference, second minus first, is at least this, with the confidence (one-sided, Tango's score).
        confidence: Of the bound.
        n: Number of parts.
        lots: Number of lots that the bound counts; None where it counts parts.
    """

    margin: float
    bound: float
    confidence: float
    n: int
    lots: int | None = None

    @property
    def shown(self) -> bool:
        """The bound is above -margin."""
        return self.n > 0 and self.bound > -self.margin

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**vars(self), "shown": self.shown}


def non_inferiority(
    only_first: int, only_second: int, n: int, margin: float, confidence: float = 0.95
) -> NonInferiority:
    """Is the second detector no worse than the first by more than a margin?

    Args:
        only_first: As in `rate_difference`.
        only_second: The same.
        n: The same.
        margin: In (0, 1).
        confidence: In (0, 1).

    Raises:
        InputError: Counts that do not fit together, or a number out of range.

    Example:
        >>> non_inferiority(3, 2, 200, margin=0.05).shown, non_inferiority(3, 2, 30, margin=0.05).shown
        (True, False)
    """
    b, c, n = _checked(only_first, only_second, n)
    bound = _end(b, c, n, _quantile(check_rate("confidence", confidence))) if n else -1.0
    return NonInferiority(check_rate("margin", margin), bound, confidence, n)


def power_of_difference(n: int, only_first: float, only_second: float, level: float = 0.05) -> float:
    """Chance that McNemar's exact two-sided test tells two detectors apart.

    Args:
        n: Number of parts.
        only_first: Probability that only the first is right on a part.
        only_second: Probability that only the second is.
        level: Of the test.

    Example:
        >>> round(power_of_difference(200, 0.02, 0.10), 3)
        0.905
    """
    from scipy.stats import binom

    _check_shares(only_first, only_second)
    tosses = np.arange(n + 1)
    critical = _critical(n, level)  # the largest count of the rarer side that is significant, -1 for none
    differ = only_first + only_second
    if differ == 0:
        return 0.0
    weights, share = binom.pmf(tosses, n, differ), only_second / differ
    significant = binom.cdf(critical, tosses, share) + binom.sf(tosses - critical - 1, tosses, share)
    return float((weights * np.where(critical >= 0, significant, 0.0)).sum())


def power_of_non_inferiority(
    n: int, only_first: float, only_second: float, margin: float, confidence: float = 0.95
) -> float:
    """Chance that `non_inferiority` is shown; arguments as there and in `power_of_difference`. By enumeration.

    Example:
        >>> round(power_of_non_inferiority(300, 0.05, 0.05, 0.05), 2)
        0.84
    """
    from scipy.stats import binom

    _check_shares(only_first, only_second)
    z = _quantile(check_rate("confidence", confidence))
    differ = only_first + only_second
    if differ == 0:
        return float(_score(np.zeros(1), np.zeros(1), n, -margin)[0] > z)
    low, high = (int(end) for end in binom.ppf([1e-7, 1 - 1e-7], n, differ))
    power = 0.0
    for tosses in range(low, high + 1):
        b = np.arange(tosses + 1)
        shown = _score(b.astype(float), (tosses - b).astype(float), n, -margin) > z
        power += float(binom.pmf(tosses, n, differ) * (binom.pmf(b, tosses, only_second / differ) * shown).sum())
    return power


def parts_for_difference(only_first: float, only_second: float, power: float = 0.9, level: float = 0.05) -> int:
    """Smallest number of parts, to within 1 %, from which on the difference is found with this chance.

    Raises:
        InputError: No difference, or one that takes more than a million parts.

    Example:
        >>> parts_for_difference(0.02, 0.10)
        197
    """
    _check_shares(only_first, only_second)
    if only_first == only_second:
        raise InputError("the two rates must differ; for two that may be equal give a margin")
    return _smallest(lambda n: power_of_difference(n, only_first, only_second, level), power)


def parts_for_non_inferiority(
    only_first: float, only_second: float, margin: float, power: float = 0.9, confidence: float = 0.95
) -> int:
    """The same for `non_inferiority`.

    Raises:
        InputError: The second is truly worse by the margin or more, or more than a million parts are needed.

    Example:
        >>> parts_for_non_inferiority(0.05, 0.05, margin=0.05)
        362
    """
    _check_shares(only_first, only_second)
    if only_second - only_first <= -check_rate("margin", margin) + 1e-9:
        raise InputError(f"the second rate must be less than the margin {margin:g} below the first")
    return _smallest(lambda n: power_of_non_inferiority(n, only_first, only_second, margin, confidence), power)


def _smallest(power_of: Any, power: float) -> int:
    """Power of a test with whole numbers is a saw: so the last n that is too small is what is looked for, nearly."""
    wanted = check_rate("power", power)
    low, high = 1, 16
    while power_of(high) < wanted:
        low, high = high, 2 * high
        if high > MOST_PARTS:
            raise InputError(f"more than {MOST_PARTS} parts would be needed; take a larger difference or margin")
    while high - low > max(1, low // 200):
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(middle) >= wanted else (middle, high)
    return high


def _checked(only_first: int, only_second: int, n: int) -> tuple[int, int, int]:
    """Parts that only the second judges right, that only the first does, and all."""
    b, c = check_count("only_second", only_second, least=0), check_count("only_first", only_first, least=0)
    if b + c > check_count("n", n, least=0):
        raise InputError(f"only_first + only_second must be at most n = {n}, got {only_first} + {only_second}")
    return b, c, n


def _check_shares(only_first: float, only_second: float) -> None:
    for name, share in (("only_first", only_first), ("only_second", only_second)):
        check_real(name, share, least=0.0)
    if only_first + only_second > 1:
        raise InputError(f"only_first + only_second must be at most 1, got {only_first:g} + {only_second:g}")


def _critical(n: int, level: float) -> NDArray[np.intp]:
    """For 0 to n tosses of a fair coin the largest count on one side whose two-sided p-value is at most the level."""
    from scipy.special import bdtr
    from scipy.stats import binom

    tosses = np.arange(n + 1)
    found = np.asarray(binom.ppf(check_rate("level", level) / 2, np.maximum(tosses, 1), 0.5), int)
    found = np.where(2 * bdtr(found, np.maximum(tosses, 1), 0.5) <= level, found, found - 1)
    return np.where(tosses == 0, -1, found)


def _quantile(share: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(share))


def _score(b: Floats, c: Floats, n: float, difference: float) -> Floats:
    """Tango's statistic of (b - c) / n against a difference; b and c are counts, arrays of one shape."""
    d = difference
    middle = -b - c + (2 * n - b + c) * d
    root = np.sqrt(np.maximum(middle**2 + 8 * n * c * d * (1 - d), 0))
    least = np.maximum((root - middle) / (4 * n), 0.0)
    variance = n * (2 * least + d * (1 - d))
    with np.errstate(divide="ignore", invalid="ignore"):
        away = b - c - n * d
        return np.where(variance > 1e-12, away / np.sqrt(np.maximum(variance, 1e-300)), np.sign(away) * 1e9)


def _end(b: float, c: float, n: float, z: float) -> float:
    """The lower end: the largest difference below the estimate that the statistic rejects."""
    from scipy.optimize import brentq

    def beyond(difference: float) -> float:
        return float(_score(np.array([b], float), np.array([c], float), n, difference)[0]) - z

    low, high = -1 + 1e-12, (b - c) / n
    if beyond(low) <= 0:
        return -1.0
    return float(brentq(beyond, low, min(high, 1 - 1e-12), xtol=1e-12)) if high > low else -1.0


def as_counts(first_right: ArrayLike, second_right: ArrayLike) -> tuple[int, int, int]:
    """Parts that only the first, and that only the second judges right, and all, from two lists of yes or no.

    Example:
        >>> as_counts([True, True, False], [True, False, True])
        (1, 1, 3)
    """
    one, two = np.asarray(first_right, bool), np.asarray(second_right, bool)
    if one.shape != two.shape or one.ndim != 1:
        raise InputError(f"both must be one verdict per part, got shapes {one.shape} and {two.shape}")
    return int((one & ~two).sum()), int((two & ~one).sum()), len(one)
