"""Bootstrap: the empirical quantile, and how far it would move with other calibration images."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from amiss.core.checks import check_count, check_rate
from amiss.core.words import percent
from amiss.rules.quantile import Quantile


class Bootstrap(Quantile):
    """Alarm above the empirical (1 - alpha) quantile, stated with the bootstrap interval of that threshold.

    The calibration scores are drawn anew, with replacement, and each resample gives its quantile; the middle 95 % of
    these are the interval (Efron 1979, percentile method). No resample holds a score above the largest one seen, so the
    interval says nothing of what lies beyond it: near the maximum it is too short. Nominal like `Quantile`: `alpha` of
    the calibrated rule is None.

    Assumes:
        As `Quantile`; and for the interval, that the calibration images stand for all good ones.

    Args:
        alpha: Nominal false-alarm rate in (0, 1).
        resamples: How many; 2000 settle which calibration score is the end of the interval.
        seed: Seed of the resamples.

    Raises:
        InputError: alpha is not a rate, or resamples or seed is not such a number.

    Example:
        >>> import numpy as np
        >>> from amiss.core.scores import Scores
        >>> rule = Bootstrap(0.1).calibrate(Scores(np.arange(100)))
        >>> rule.threshold, rule.interval
        (89.0, (82.0, 94.0))
    """

    name = "bootstrap"
    counts_lots: ClassVar[bool] = False  # its interval draws parts

    def __init__(self, alpha: float, resamples: int = 2000, seed: int = 0) -> None:
        super().__init__(1 - check_rate("alpha", alpha))
        self.nominal = float(alpha)
        self.resamples = check_count("resamples", resamples, least=100)
        self.seed = check_count("seed", seed, least=0)

    @property
    def interval(self) -> tuple[float, float]:
        """The threshold's 95 % bootstrap interval, in units of the score.

        The r-th largest of n uniform numbers is Beta(n + 1 - r, r), so it is drawn at once, and points at the score
        that is the r-th largest of a resample.

        Raises:
            NotReadyError: Before `calibrate`.
        """
        rank, n = self.rank, self.n
        uniform = np.random.default_rng(self.seed).beta(n + 1 - rank, rank, self.resamples)
        drawn = self.normal[np.minimum((uniform * n).astype(int), n - 1)]
        low, high = np.quantile(drawn, [0.025, 0.975], method="inverted_cdf")
        return float(low), float(high)

    def statement(self) -> str:
        low, high = self.interval
        reach = percent(self.least_alpha(self.n))
        edge = (
            " The interval ends at the largest score seen, beyond which resamples cannot look: it is too short."
            if high == float(self.normal[-1])
            else ""
        )
        return (
            f"{super().statement()} Other calibration images would move the threshold {self.threshold:.4g} within "
            f"{low:.4g} to {high:.4g} (95 % interval, {self.resamples} resamples).{edge} Rates below {reach} cannot be "
            f"seen with n = {self.n} images."
        )

    def config(self) -> dict[str, Any]:
        return {"alpha": self.nominal, "resamples": self.resamples, "seed": self.seed}
