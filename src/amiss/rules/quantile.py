"""Quantile: the rule of the textbooks. A threshold that a share q of the calibration scores do not exceed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from amiss.core.checks import check_rate
from amiss.core.sentence import Sentence
from amiss.core.words import percent
from amiss.rules.lots import basis, rate_bound, whose
from amiss.rules.ranks import RankRule

NOMINAL = Sentence(
    "{name}: nominally {nominal} of good parts{whose} raise an alarm; {count} of {basis} lie above the threshold. No "
    "rate is promised: the mean over such calibration sets is {mean}, and for this very set the rate is below {bound} "
    "with 95 % confidence.",
    "bench/promises.py rank-mean",
)


class Quantile(RankRule):
    """Alarm above the empirical quantile: the smallest calibration score that at most a share 1 - q lies above.

    That is the ceil(q n)-th smallest score, without interpolation (NumPy's method "inverted_cdf"). A share 1 - q of the
    calibration images lies above it, but of new good parts more do: r / (n + 1) on average for the r-th largest score,
    with r = floor((1 - q) n) + 1. For new lots shares are means over lots, each counted once. So 1 - q is nominal and
    `alpha` is None; `Conformal` corrects for this.

    Assumes:
        New normal images come from where the calibration images came from, n is so large that the sample quantile is
        the true one, and learning saw none of those images.

    Args:
        q: In (0, 1), such as 0.99. With fewer than 1 / (1 - q) - 1 images even the largest score would be exceeded
            more often than nominal, and the rule refuses.

    Raises:
        InputError: q is not a rate.

    Example:
        >>> import numpy as np
        >>> from amiss.core.scores import Scores
        >>> Quantile(0.9).calibrate(Scores(np.arange(10))).threshold
        8.0
    """

    name = "quantile"

    def __init__(self, q: float) -> None:
        super().__init__(1 - check_rate("q", q))
        self.q = float(q)

    @property
    def alpha(self) -> float | None:
        return None

    def needed(self, alpha: float) -> int:
        """From here on the largest score is exceeded at most as often as nominal: 1 / (n + 1) <= alpha."""
        return math.ceil(1 / alpha - 1 - 1e-9)

    def least_alpha(self, n: int) -> float:
        return 1 / (n + 1)

    def _rank(self, alpha: float, n: int) -> int:
        return min(n, math.floor(alpha * n + 1e-9) + 1)

    def _rank_by_lot(self, alpha: float) -> int:
        return self._rank_below(alpha * self.units)

    def statement(self) -> str:
        count = int((self.normal > np.float32(self.threshold)).sum())
        mean = (1 + float(self.top(self.rank - 1).sum())) / (self.units + 1)
        return NOMINAL(
            name=self.name,
            nominal=percent(self.resolve(self.units)),
            whose=whose(self),
            count=count,
            basis=basis(self),
            mean=f"{'at most ' if self.by_lot else ''}{percent(mean)}",
            bound=percent(rate_bound(self, self.rank - 1)),
        )

    def config(self) -> dict[str, Any]:
        return {"q": self.q}
