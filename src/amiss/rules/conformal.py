"""Conformal: the promise holds on average over calibration sets, with the fewest images."""

from __future__ import annotations

import math

from amiss.core.sentence import Sentence
from amiss.core.words import percent
from amiss.rules.lots import basis, rate_bound, whose
from amiss.rules.ranks import RankRule

ON_AVERAGE = Sentence(
    "conformal: at most {alpha} of good parts{whose} raise an alarm, on average over calibration sets of {basis}",
    "bench/promises.py conformal-mean",
)
THIS_SET = Sentence("for this very set the rate is below {bound} with 95 % confidence.", "bench/promises.py this-set")


class Conformal(RankRule):
    """Alarm when the conformal p-value is at most alpha.

    With n calibration scores, p(s) = (1 + #{s_i >= s}) / (n + 1). For a normal image exchangeable with the
    calibration images P(p <= alpha) <= alpha, whatever the distribution of the scores (Vovk et al., "Algorithmic
    learning in a random world", 2005). As a threshold: the floor(alpha (n + 1))-th largest calibration score. For new
    lots each of L lots counts with the share of its scores that is at least s, and L takes the place of n.

    Assumes:
        New normal images come from where the calibration images came from, and learning saw none of those.

    Args:
        alpha: False-alarm rate in (0, 1), or "auto": 5 %, or the smallest that n supports if that is more.

    Raises:
        InputError: alpha is neither a rate nor "auto".

    Example:
        >>> import numpy as np
        >>> from amiss.core.scores import Scores
        >>> rule = Conformal(alpha=0.05).calibrate(Scores(np.arange(19)))
        >>> rule.threshold, rule.p_value(np.array([17.5, 18.5])).tolist()
        (18.0, [0.1, 0.05])
    """

    name = "conformal"

    def __init__(self, alpha: float | str = "auto") -> None:
        super().__init__(alpha)

    def needed(self, alpha: float) -> int:
        """The rule can raise an alarm at all when alpha (n + 1) >= 1."""
        return math.ceil(1 / alpha - 1 - 1e-9)

    def least_alpha(self, n: int) -> float:
        return 1 / (n + 1)

    def _rank(self, alpha: float, n: int) -> int:
        return min(n, math.floor(alpha * (n + 1) + 1e-9))

    def _rank_by_lot(self, alpha: float) -> int:
        return self._rank_below(alpha * (self.units + 1) - 1)

    def statement(self) -> str:
        average = ON_AVERAGE(alpha=percent(self.resolve(self.units)), whose=whose(self), basis=basis(self))
        return f"{average}; {THIS_SET(bound=percent(rate_bound(self, self.rank - 1)))}{self.what_less_needs()}"
