"""Sigma: mean plus k standard deviations, the rule of the control chart."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from amiss.core.checks import check_real
from amiss.core.errors import CalibrationError
from amiss.core.rule import Rule
from amiss.core.scores import Scores
from amiss.core.words import percent
from amiss.rules.goodness import normality
from amiss.rules.ranks import check_reachable, count_bound

LEAST = 8
"""With fewer scores nobody can tell whether they are normally distributed."""

DOUBT = 0.05
"""A p-value of normality below this makes the statement say that the nominal rate should not be believed."""


class Sigma(Rule):
    """Alarm above the mean plus k standard deviations of the calibration scores (Shewhart 1931).

    Nominal rate: the mean and the deviation come from n scores, so a new normally distributed score lies above the
    threshold with probability P(t > k sqrt(n / (n + 1))), t of Student with n - 1 degrees of freedom. Scores of good
    images are seldom normally distributed (a maximum over pixels leans to the right), hence `alpha` is None, and the
    statement tests the assumption.

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

    def __init__(self, k: float = 3.0) -> None:
        super().__init__()
        self.k = check_real("k", k, least=0)

    def check(self, n: int) -> None:
        if n < LEAST:
            raise CalibrationError(
                f"sigma: {LEAST} good calibration images are needed, got {n}: {LEAST - n} more, "
                "for fewer cannot show whether their scores are normally distributed."
            )

    def calibrate(self, normal: Scores) -> Sigma:
        calibrated = super().calibrate(normal)
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
        scores = self.normal.astype(np.float64)
        return float(scores.mean() + self.k * scores.std(ddof=1))

    @property
    def nominal(self) -> float:
        """The false-alarm rate, on average over calibration sets of n, if scores are normally distributed.

        Raises:
            NotReadyError: Before `calibrate`.
        """
        from scipy.special import stdtr

        n = len(self.normal)
        return float(stdtr(n - 1, -self.k * math.sqrt(n / (n + 1))))

    def statement(self) -> str:
        count = int((self.normal > np.float32(self.threshold)).sum())
        p = normality(self.normal)
        doubt = "they do not, so do not believe that rate" if p < DOUBT else "nothing speaks against it"
        return (
            f"sigma: mean + {self.k:g} standard deviations; nominally {percent(self.nominal)} of good parts raise an "
            f"alarm, if scores are normally distributed: {doubt} (Anderson-Darling p = {p:.2g}). No rate is promised: "
            f"{count} of n = {self.n} good calibration images lie above the threshold, so the rate is "
            f"below {percent(count_bound(count, self.n))} with 95 % confidence."
        )

    def config(self) -> dict[str, Any]:
        return {"k": self.k}
