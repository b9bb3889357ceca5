"""Conformal: the promise holds on average over calibration sets, with the fewest images."""

from __future__ import annotations

import copy
import math
from typing import Self

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import CalibrationError, InputError
from amiss.core.sentence import Sentence
from amiss.core.words import percent
from amiss.rules.lots import basis, rate_bound, whose
from amiss.rules.ranks import RankRule

ON_AVERAGE = Sentence(
    "conformal: at most {alpha} of good parts{whose} raise an alarm, on average over calibration sets of {basis}",
    "bench/promises.py conformal-mean",
)
THIS_SET = Sentence("for this very set the rate is below {bound} with 95 % confidence.", "bench/promises.py this-set")
WEIGHTED = Sentence(
    "conformal, weighted: at most {alpha} of good parts raise an alarm under recent conditions, on average over "
    "calibration sets of {basis}, if a good part scores as ever under the same light, contrast, sharpness and colour "
    "and nothing else has changed;",
    "bench/shift.py mean",
)
THIS_WEIGHTED = Sentence(
    "for this very set the rate is then below {bound} with 95 % confidence.", "bench/shift.py this-set"
)

LEAST_WORTH = 2
"""Weighted scores must be worth so many times as many as a promise otherwise needs: weights are estimated, and where
few images carry most of the weight the rate comes out too high (`bench/shift.py`)."""


class Conformal(RankRule):
    """Alarm when the conformal p-value is at most alpha.

    With n calibration scores, p(s) = (1 + #{s_i >= s}) / (n + 1). For a normal image exchangeable with the
    calibration images P(p <= alpha) <= alpha, whatever the distribution of the scores (Vovk et al., "Algorithmic
    learning in a random world", 2005). As a threshold: the floor(alpha (n + 1))-th largest calibration score. For new
    lots each of L lots counts with the share of its scores that is at least s, and L takes the place of n.

    `weighted` keeps the promise where parts to come look otherwise than the calibration images: each score counts with
    its likelihood ratio, and the next part with that of recent images (Tibshirani, Barber, Candès and Ramdas 2019).

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
        return self._rank_below(alpha * (float(self._weights()[0]) + 1) - 1)

    def weighted(self, weights: NDArray[np.floating]) -> Self:
        relative = np.asarray(weights, np.float64)
        if relative.shape != self.normal.shape or not (np.isfinite(relative) & (relative > 0)).all():
            raise InputError(f"weights must be {self.n} numbers above 0, one per score, got shape {relative.shape}")
        if self.by_lot:
            raise CalibrationError(
                "conformal: weighted scores cannot speak for new lots; ask for further parts of these lots only, with "
                "future='these-lots' (--future these-lots)"
            )
        alpha, made = self.resolve(self.n), copy.copy(self)
        made._relative = relative
        made._weight_from = made._weights()
        if self.needed(alpha) > made.units:
            raise CalibrationError(
                f"conformal: once weighted, n = {self.n} good images count as {made.units}, and alpha = "
                f"{percent(alpha)} needs {self.needed(alpha)}: too few of them look like the recent ones. Calibrate on "
                "good images taken under the new conditions, or on more of the old ones, or ask for a larger alpha: "
                f"{made.units} support {percent(made.least_alpha(made.units))} at best."
            )
        made._found = made._rank_by_lot(alpha)
        return made

    @property
    def units(self) -> int:
        """As `Rule.units`. Weighted scores: a half of what they are worth (Kish), or their weight if that is less."""
        if self.weights is None:
            return super().units
        return int(min(float(self.weights.sum()), self.worth / LEAST_WORTH) + 1e-9)

    @property
    def worth(self) -> float:
        """As how many scores of equal weight those of `normal` count (Kish), at most n."""
        weights = np.ones(self.n) if self.weights is None else self.weights
        return float(weights.sum() ** 2 / (weights**2).sum())

    def what_less_needs(self) -> str:
        return super().what_less_needs() if self.weights is None else ""

    def statement(self) -> str:
        bound = percent(rate_bound(self, self.rank - 1))
        if self.weights is not None:
            alpha = percent(self.resolve(self.units))
            weighted = f"{basis(self)}, weighted to look like the recent ones and then worth {self.worth:.0f}"
            return f"{WEIGHTED(alpha=alpha, basis=weighted)} {THIS_WEIGHTED(bound=bound)}"
        average = ON_AVERAGE(alpha=percent(self.resolve(self.units)), whose=whose(self), basis=basis(self))
        return f"{average}; {THIS_SET(bound=bound)}{self.what_less_needs()}"
