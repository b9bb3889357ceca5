"""Rules whose threshold is the rank-th largest of n calibration scores, and what such a rank can promise."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Self

import numpy as np

from amiss.core.checks import check_rate
from amiss.core.errors import CalibrationError, NotReadyError
from amiss.core.lots import Lots
from amiss.core.rule import IMAGES, Rule
from amiss.core.scores import Scores
from amiss.core.words import percent

ALPHAS = (0.01, 0.02, 0.05, 0.10)
"""Rates that people choose from."""

USUAL_ALPHA = 0.05
"""What ``alpha="auto"`` means where n supports it; a smaller one lets more defects escape, and is to be asked for."""

LARGEST_ALPHA = 0.10
"""With fewer images ``alpha="auto"`` is the smallest that n supports, up to this."""


class RankRule(Rule):
    """Common part of `Conformal` and `Certified`: resolve alpha, then take the rank-th largest score.

    For new lots the rank is the largest that keeps the promise with each lot counted once.
    """

    counts_lots: ClassVar[bool] = True

    def __init__(self, alpha: float | str) -> None:
        super().__init__()
        self._asked: float | str = "auto" if alpha == "auto" else check_rate("alpha", alpha)  # type: ignore[arg-type]
        self._found = 0

    @abstractmethod
    def needed(self, alpha: float) -> int:
        """Smallest number of units that supports alpha."""

    @abstractmethod
    def least_alpha(self, n: int) -> float:
        """Smallest alpha that n units support."""

    @abstractmethod
    def _rank(self, alpha: float, n: int) -> int:
        """Largest rank that keeps the promise."""

    @abstractmethod
    def _rank_by_lot(self, alpha: float) -> int:
        """Largest rank that keeps the promise for new lots, of the calibrated rule."""

    def calibrate(self, normal: Scores, lots: Lots | None = None) -> Self:
        calibrated = super().calibrate(normal, lots)
        calibrated._asked = alpha = calibrated.resolve(calibrated.units)
        by_lot = calibrated.by_lot
        calibrated._found = calibrated._rank_by_lot(alpha) if by_lot else calibrated._rank(alpha, calibrated.n)
        return calibrated

    def resolve(self, n: int, unit: str = IMAGES) -> float:
        """The alpha in force with n units of evidence.

        Raises:
            CalibrationError: n supports no such alpha; says how many are missing and what n supports today.
        """
        if isinstance(self._asked, str):
            wanted = LARGEST_ALPHA
            if self.needed(wanted) <= n:
                return USUAL_ALPHA if self.needed(USUAL_ALPHA) <= n else self.least_alpha(n)
        else:
            wanted = self._asked
            if self.needed(wanted) <= n:
                return wanted
        missing = self.needed(wanted) - n
        best = f" {n} support alpha = {percent(self.least_alpha(n))} at best." if n else ""
        raise CalibrationError(
            f"{self.name}: alpha = {percent(wanted)} needs {self.needed(wanted)} {unit}, got {n}: {missing} more "
            f"{'is' if missing == 1 else 'are'} needed.{best}"
        )

    def check(self, n: int, unit: str = IMAGES) -> None:
        self.resolve(n, unit)

    @property
    def alpha(self) -> float | None:
        return self.resolve(self.units) if self.n else None

    @property
    def rank(self) -> int:
        """The threshold is the rank-th largest calibration score; rank - 1 of them lie above it.

        Raises:
            NotReadyError: Before `calibrate`.
        """
        if self.n == 0:
            raise NotReadyError(f"the rule {self.name!r} is not calibrated yet; call calibrate(scores of good images)")
        return self._found

    @property
    def threshold(self) -> float:
        return float(self.normal[-self.rank])

    def what_less_needs(self) -> str:
        """How many images, or lots, a smaller alpha needs where there are too few; one sentence, or nothing."""
        needs = {alpha: self.needed(alpha) for alpha in reversed(ALPHAS) if alpha < self.resolve(self.units)}
        words = [
            f"{percent(alpha)} needs {f'{needed} lots' if self.by_lot else f'n = {needed}'}"
            for alpha, needed in needs.items()
            if needed > self.units
        ]
        return "" if not words else f" {' and '.join([', '.join(words[:-1]), words[-1]] if words[1:] else words)}."

    def _rank_below(self, weight: float) -> int:
        """The largest rank with at most this weight above it, each lot weighing 1 in all."""
        above = self._weights()
        return self.n + 1 - max(1, int((above > weight + 1e-9).sum()))

    def config(self) -> dict[str, Any]:
        return {"alpha": self._asked}


def false_alarm_bound(rank: int, n: int, confidence: float = 0.95) -> float:
    """Upper bound of the false-alarm rate of the threshold "rank-th largest of n normal scores".

    That rate is distributed as Beta(rank, n + 1 - rank) for continuous scores, and is smaller with ties. At most a rate
    r holds with the probability that a binomial number of n and r is `rank` or more, so r is found by halving. SciPy
    knows this too, but loading it takes a quarter of the time to a first verdict.

    Example:
        >>> round(false_alarm_bound(1, 59), 5)
        0.04951
    """
    below = np.arange(rank)
    log_choose = np.concatenate([[0.0], np.cumsum(np.log(n - below[:-1]) - np.log(below[1:]))])
    low, high = 0.0, 1.0
    while high - low > 1e-14 * high:
        rate = (low + high) / 2
        if not low < rate < high:
            break
        fewer = np.exp(log_choose + below * np.log(rate) + (n - below) * np.log1p(-rate)).sum()
        low, high = (rate, high) if 1 - fewer < confidence else (low, rate)
    return float(high)


def count_bound(count: int, n: int, confidence: float = 0.95) -> float:
    """Upper bound of the false-alarm rate of a threshold that `count` of n normal scores lie above.

    The bound of Clopper and Pearson, exact for a threshold that was given. For one computed from the same scores, such
    as their mean and standard deviations, it is checked by simulation (`tests/rules`).

    Example:
        >>> round(count_bound(0, 299), 5), count_bound(20, 20)
        (0.00997, 1.0)
    """
    return 1.0 if count == n else false_alarm_bound(count + 1, n, confidence)


def confidence_of(rank: int, n: int, alpha: float) -> float:
    """P(false-alarm rate <= alpha) for the threshold "rank-th largest of n normal scores"."""
    from scipy.special import betainc

    return float(betainc(rank, n + 1 - rank, alpha))


def check_reachable(rule: Rule) -> None:
    """A threshold must be a number that scores (float32) can have.

    Raises:
        CalibrationError: It is larger than any.
    """
    if not abs(rule.threshold) <= float(np.finfo(np.float32).max):
        raise CalibrationError(
            f"{rule.name}: the threshold {rule.threshold:g} is larger than any score can be. Take the rule conformal."
        )
