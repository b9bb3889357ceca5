"""Whether verdicts on the same parts agree: Fleiss' and Cohen's kappa for yes or no, with intervals over parts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amiss.core.checks import check_rate
from amiss.core.errors import InputError

Ints = NDArray[np.int64]
Interval = tuple[float, float]

GOOD_ABOVE, POOR_BELOW = 0.75, 0.40
"""Limits of AIAG, Measurement Systems Analysis, 4th edition: kappa above 0.75 is good agreement, below 0.40 poor."""


@dataclass(frozen=True)
class Kappa:
    """Agreement beyond chance.

    Args:
        value: At most 1; 0 is what chance gives. NaN where every verdict is the same: chance then explains all of it.
        interval: 95 % interval over parts.
        n: Number of parts.
    """

    value: float
    interval: Interval
    n: int

    def summary(self) -> dict[str, Any]:
        """Plain JSON values; None where not defined."""
        known = not math.isnan(self.value)
        return {
            "value": self.value if known else None,
            "interval": list(self.interval) if known else None,
            "n": self.n,
            "aiag_limits": [POOR_BELOW, GOOD_ABOVE],
        }


def fleiss_kappa(yes: ArrayLike, verdicts: ArrayLike, confidence: float = 0.95) -> Kappa:
    """Fleiss' kappa (1971) of several verdicts, yes or no, on each part.

    Kappa is 1 - (share of pairs of verdicts on a part that differ) / (share that chance gives). The interval joins
    those of the two shares, each counted over parts, by the method of variance estimates recovery (Donner and Zou
    2012). Unlike an interval from a standard error it has a width when all verdicts agree; it covers 95 % or more.

    Args:
        yes: For each part how often the verdict was yes, (P,).
        verdicts: For each part the number of verdicts, at least 2, (P,).
        confidence: Of the interval, in (0, 1).

    Raises:
        InputError: Shapes differ, no part, or counts out of range.

    Example:
        >>> kappa = fleiss_kappa([3, 3, 0, 0, 1, 0, 0, 3], [3] * 8)
        >>> round(kappa.value, 3), [round(end, 2) for end in kappa.interval]
        (0.829, [0.22, 1.0])
    """
    x, m = _counts(yes, verdicts)
    check_rate("confidence", confidence)
    share = x.sum() / m.sum()
    chance = share**2 + (1 - share) ** 2
    if chance == 1:
        return Kappa(math.nan, (math.nan, math.nan), len(x))
    agree = float(((x * (x - 1) + (m - x) * (m - x - 1)) / (m * (m - 1))).mean())
    value = float((agree - chance) / (1 - chance))
    return Kappa(value, _fleiss_interval(x, m, confidence), len(x))


def cohen_kappa(right_yes: ArrayLike, right_no: ArrayLike, confidence: float = 0.95) -> Kappa:
    """Cohen's kappa (1960) of verdicts and truth, where several verdicts on one part count as one part.

    How many parts are truly yes is the design of the study, so kappa depends on two shares, of right verdicts on either
    kind of part. The interval is the range of kappa over the exact intervals of both, each at the confidence that makes
    their pair hold with `confidence`: it covers at least that. Where it is known that verdicts on one part repeat each
    other, nothing narrower is honest.

    Args:
        right_yes: For each part that is truly yes, the share of right verdicts, (P1,).
        right_no: The same for each part that is truly no, (P0,).
        confidence: Of the interval, in (0, 1).

    Returns:
        NaN where one kind is missing.

    Raises:
        InputError: A share outside [0, 1].

    Example:
        >>> kappa = cohen_kappa([1, 1, 1, 0.5], [1, 1, 1, 1, 1, 0])
        >>> round(kappa.value, 3), [round(end, 2) for end in kappa.interval]
        (0.694, [-0.44, 1.0])
    """
    each = math.sqrt(check_rate("confidence", confidence))
    yes, no = part_share(right_yes, each), part_share(right_no, each)
    n = yes.n + no.n
    if 0 in (yes.n, no.n):
        return Kappa(math.nan, (math.nan, math.nan), n)
    prevalence = yes.n / n

    def kappa(hit: float, pass_: float) -> float:
        said = prevalence * hit + (1 - prevalence) * (1 - pass_)
        agree = prevalence * hit + (1 - prevalence) * pass_
        chance = prevalence * said + (1 - prevalence) * (1 - said)
        return (agree - chance) / (1 - chance)

    low, high = (kappa(yes.interval[end], no.interval[end]) for end in (0, 1))
    return Kappa(kappa(yes.value, no.value), (low, high), n)


@dataclass(frozen=True)
class PartShare:
    """A mean over parts of a share within each, with an interval that counts parts; NaN without any."""

    value: float
    interval: Interval
    n: int

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"rate": None if self.n == 0 else self.value, "interval": list(self.interval), "n": self.n}


def part_share(shares: ArrayLike, confidence: float = 0.95) -> PartShare:
    """The mean of shares in [0, 1], with the Clopper-Pearson interval of so many parts.

    A share of some verdicts never varies more than a single yes or no with the same mean, so the interval of a single
    one is used, whatever the verdicts on one part have in common.

    Example:
        >>> found = part_share([0, 0, 0.5, 0, 0])
        >>> round(found.value, 3), [round(end, 3) for end in found.interval]
        (0.1, [0.0, 0.629])
    """
    from scipy.special import betaincinv

    values = np.asarray(shares, np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise InputError(f"shares must be numbers from 0 to 1, one per part, got an array of shape {values.shape}")
    n, total, tail = len(values), float(values.sum()), (1 - check_rate("confidence", confidence)) / 2
    if n == 0:
        return PartShare(math.nan, (0.0, 1.0), 0)
    low = float(betaincinv(total, n - total + 1, tail)) if total > 0 else 0.0
    high = float(betaincinv(total + 1, n - total, 1 - tail)) if total < n else 1.0
    return PartShare(total / n, (low, high), n)


def _counts(yes: ArrayLike, verdicts: ArrayLike) -> tuple[Ints, Ints]:
    x, m = np.asarray(yes), np.asarray(verdicts)
    if x.ndim != 1 or x.shape != m.shape or len(x) == 0:
        raise InputError(f"yes and verdicts must be one number per part, got shapes {x.shape} and {m.shape}")
    if (x != np.round(x)).any() or (m != np.round(m)).any() or (m < 2).any() or (x < 0).any() or (x > m).any():
        raise InputError("each part must have at least 2 verdicts, and from 0 to all of them yes")
    return x.astype(np.int64), m.astype(np.int64)


def _fleiss_interval(x: Ints, m: Ints, confidence: float) -> Interval:
    """Distances of kappa to its values at the ends of either interval, added in quadrature."""
    most = (m // 2) * (m - m // 2) / (m * (m - 1) / 2)  # the largest share of pairs that can differ
    apart = x * (m - x) / (m * (m - 1) / 2)
    differ, yes = part_share(apart / most, confidence), part_share(x / m, confidence)
    scale, share, mean = float(most.mean()), float(x.sum() / m.sum()), float(apart.mean())

    def kappa(pairs: float, at: float) -> float:
        return 1 - pairs / max(2 * at * (1 - at), 1e-9)

    value = kappa(mean, share)
    ends = [*yes.interval, *([0.5] if yes.interval[0] < 0.5 < yes.interval[1] else [])]
    moved = [value, *(kappa(mean, end) for end in ends)]
    low = value - math.hypot(value - kappa(scale * differ.interval[1], share), value - min(moved))
    high = value + math.hypot(kappa(scale * differ.interval[0], share) - value, max(moved) - value)
    return max(-1.0, low), min(1.0, high)
