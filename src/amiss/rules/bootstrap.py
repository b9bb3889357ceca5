"""Bootstrap: the empirical quantile, and how far it would be with other calibration images."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from amiss.core.checks import check_count, check_rate
from amiss.core.sentence import Sentence
from amiss.core.words import percent
from amiss.rules.quantile import Quantile

INTERVAL = Sentence(
    "The threshold is {threshold}; with {n} other calibration images it would be {where} (95 % interval, {resamples} "
    "resamples).",
    "bench/promises.py bootstrap-interval",
)
UNSEEN = Sentence(
    "Rates below {least} cannot be seen with n = {n} images.",
    "tests/rules/test_textbook_rules.py::test_the_bootstrap_says_what_n_supports_and_where_it_cannot_look",
)


class Bootstrap(Quantile):
    """Alarm above the empirical (1 - alpha) quantile, stated with the interval of where it would be another time.

    Other calibration images differ from the line's good images as much as these do, so their threshold differs from
    this one more than this one from the truth. Plain resampling (Efron 1979) forgets that, and its interval holds the
    threshold of other images in 79 to 84 % of cases, not in 95 %. Here each resample is drawn from a population that
    is drawn itself: the good images of the line fall into the n + 1 gaps between the calibration scores with
    probabilities that are distributed as Dirichlet(1, ..., 1), whatever the scores are. The interval is the middle 95 %
    of the resampled thresholds, each rounded outwards to a score that was seen; it is open where that is beyond all of
    them. Nominal like `Quantile`: `alpha` of the calibrated rule is None.

    Assumes:
        As `Quantile`; and for the interval, that the calibration images stand for all good ones.

    Args:
        alpha: Nominal false-alarm rate in (0, 1).
        resamples: How many, at least 100; 2000 settle which calibration score is the end of the interval.
        seed: Seed of the resamples.

    Raises:
        InputError: alpha is not a rate, or resamples or seed is not such a number.

    Example:
        >>> import numpy as np
        >>> from amiss.core.scores import Scores
        >>> rule = Bootstrap(0.1).calibrate(Scores(np.arange(100)))
        >>> rule.threshold, rule.interval
        (89.0, (79.0, 96.0))
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
        """Where the threshold of n other calibration images lies with a probability of 95 %, in units of the score.

        The share of good parts below that threshold is Beta(n + 1 - r, r) for the r-th largest of n, and so many of the
        scores seen here lie below it as a binomial number of n with that share.

        Returns:
            Lower and upper end; -inf or inf where it is beyond all scores seen.

        Raises:
            NotReadyError: Before `calibrate`.
        """
        rank, n = self.rank, self.n
        rng = np.random.default_rng(self.seed)
        below = rng.binomial(n, rng.beta(n + 1 - rank, rank, self.resamples))
        low, high = np.quantile(below, [0.025, 0.975], method="inverted_cdf").astype(int)
        edges = np.concatenate([[-np.inf], self.normal, [np.inf]])  # the smallest score seen is edges[1]
        return float(edges[low]), float(edges[high + 1])

    def statement(self) -> str:
        low, high = self.interval
        where = f"within {low:.4g} to {high:.4g}"
        if math.isinf(high):
            where = f"above {low:.4g}, perhaps beyond the largest score seen" if math.isfinite(low) else "anywhere"
        elif math.isinf(low):
            where = f"below {high:.4g}"
        interval = INTERVAL(threshold=f"{self.threshold:.4g}", n=self.n, where=where, resamples=self.resamples)
        return f"{super().statement()} {interval} {UNSEEN(least=percent(self.least_alpha(self.n)), n=self.n)}"

    def config(self) -> dict[str, Any]:
        return {"alpha": self.nominal, "resamples": self.resamples, "seed": self.seed}
