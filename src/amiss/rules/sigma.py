"""Sigma: mean plus k standard deviations, the rule of the control chart."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from amiss.core.checks import check_real
from amiss.core.errors import CalibrationError
from amiss.core.lots import Lots
from amiss.core.rule import IMAGES, Rule
from amiss.core.scores import Scores
from amiss.core.sentence import Sentence
from amiss.core.words import percent
from amiss.rules.goodness import normality
from amiss.rules.lots import basis, one_of_each, rate_bound, whose, would_be_rejected
from amiss.rules.ranks import check_reachable
from amiss.rules.variance import between_lots

LEAST = 8
"""With fewer scores nobody can tell whether they are normally distributed."""

DOUBT = 0.05
"""A p-value of normality below this makes the statement say that the nominal rate should not be believed."""

SIGMA = Sentence(
    "sigma: mean + {k} standard deviations; nominally {nominal} of good parts{whose} raise an alarm, if scores are "
    "normally distributed: {doubt} (Anderson-Darling p = {p}). No rate is promised: {count} of {basis} lie above the "
    "threshold, so the rate is below {bound} with 95 % confidence.",
    "bench/promises.py count-bound",
)


class Sigma(Rule):
    """Alarm above the mean plus k standard deviations of the calibration scores (Shewhart 1931).

    Nominal rate: the mean and the deviation come from n scores, so a new normally distributed score lies above the
    threshold with probability P(t > k sqrt(n / (n + 1))), t of Student with n - 1 degrees of freedom. Scores of good
    images are seldom normally distributed (a maximum over pixels leans to the right), hence `alpha` is None, and the
    statement tests the assumption.

    For new lots the mean is that of the lots' means, and the variance is that between lots plus that within them; n in
    the nominal rate is then the effective number of independent scores, and Student's t has the degrees of freedom of
    that variance (Satterthwaite). Normality is tested on one score of each lot.

    Assumes:
        Scores of good images are normally distributed, and learning saw none of the calibration images.

    Args:
        k: Standard deviations above the mean, at least 0.

    Raises:
        InputError: k is not such a number.

    Example:
        >>> import numpy as np
        >>> from amiss.core.scores import Scores
        >>> Sigma(2).calibrate(Scores(np.array([4, 4, 4, 4, 6, 6, 6, 6]))).threshold  # doctest: +ELLIPSIS
        7.138...
    """

    name = "sigma"
    counts_lots: ClassVar[bool] = True

    def __init__(self, k: float = 3.0) -> None:
        super().__init__()
        self.k = check_real("k", k, least=0)

    def check(self, n: int, unit: str = IMAGES) -> None:
        if n < LEAST:
            raise CalibrationError(
                f"sigma: {LEAST} {unit} are needed, got {n}: {LEAST - n} more, "
                "for fewer cannot show whether their scores are normally distributed."
            )

    def calibrate(self, normal: Scores, lots: Lots | None = None) -> Sigma:
        calibrated = super().calibrate(normal, lots)
        if calibrated.normal[0] == calibrated.normal[-1]:
            raise CalibrationError(
                f"sigma: all {calibrated.n} good calibration images score {calibrated.normal[0]:g}; scores without "
                "spread have no standard deviation. Take the rule conformal."
            )
        check_reachable(calibrated)
        return calibrated

    @property
    def alpha(self) -> float | None:
        return None

    @property
    def threshold(self) -> float:
        mean, deviation, _, _ = self._moments()
        return mean + self.k * deviation

    def _moments(self) -> tuple[float, float, float, float]:
        """Mean, standard deviation, number of independent scores, and degrees of freedom of the deviation."""
        scores = self.normal.astype(np.float64)
        found = between_lots(scores, self.lots.numbers) if self.lots is not None and self.by_lot else None
        if found is None or self.lots is None:
            return float(scores.mean()), float(scores.std(ddof=1)), float(self.n), self.n - 1.0
        mean = float(np.mean(np.bincount(self.lots.numbers, scores) / self.lots.sizes))
        return mean, math.sqrt(found.lots + found.within), found.effective, found.freedom

    @property
    def nominal(self) -> float:
        """The false-alarm rate, on average over calibration sets of n, if scores are normally distributed.

        Raises:
            NotReadyError: Before `calibrate`.
        """
        from scipy.special import stdtr

        _, _, n, freedom = self._moments()
        return float(stdtr(freedom, -self.k * math.sqrt(n / (n + 1))))

    def in_short(self) -> str:
        return would_be_rejected(self)

    def statement(self) -> str:
        count = int((self.normal > np.float32(self.threshold)).sum())
        p = normality(one_of_each(self))
        doubt = "they do not, so do not believe that rate" if p < DOUBT else "nothing speaks against it"
        return SIGMA(
            k=f"{self.k:g}",
            nominal=percent(self.nominal),
            whose=whose(self),
            doubt=doubt,
            p=f"{p:.2g}",
            count=count,
            basis=basis(self),
            bound=percent(rate_bound(self, count)),
        )

    def config(self) -> dict[str, Any]:
        return {"k": self.k}
