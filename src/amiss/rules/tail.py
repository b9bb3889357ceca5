"""Tail: a distribution fitted to the largest calibration scores, for rates that n alone cannot support."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from amiss.core.checks import check_count, check_rate
from amiss.core.errors import CalibrationError, InputError, NotReadyError
from amiss.core.lots import Lots
from amiss.core.rule import IMAGES, Rule
from amiss.core.scores import Scores
from amiss.core.sentence import Sentence
from amiss.core.words import one_in, percent
from amiss.rules.goodness import anderson_darling
from amiss.rules.lots import basis, one_of_each, rate_bound, whose
from amiss.rules.pareto import Floats, excess_at, fit_pareto, share_above
from amiss.rules.ranks import check_reachable

TAIL = 0.1
"""Share of the calibration scores that is fitted."""

LEAST = 300
"""Calibration images without which the tail is too small to test the fit."""

FEWEST, MOST = 25, 250
"""Scores that are fitted: fewer cannot show a misfit; with more the largest tenth would reach beyond the tail."""

LARGEST_ALPHA = 0.05
"""Half of the tail: above it there is nothing to extrapolate."""

REACH = 4
"""Smallest alpha: so many times below 1 / (n + 1), the smallest that `Conformal` supports."""

LEVEL = 0.05
"""A fit whose p-value is below this is refused; so is one honest sample of twenty."""

TIES = 0.1
"""Share of the fitted scores that may equal another one: a tail that goes on smoothly beyond them has no ties, and the
test of the fit does not see rounding before it is coarse."""

ANYWAY_LEVEL = 0.98
"""Confidence of the bound that holds for any distribution, stated as 95 %: samples that show what is wrong are refused,
so that those which pass are the unlucky ones."""

AIM = 0.9
"""Of alpha: the share that the bootstrap aims at. It takes the fit for the truth, and samples that look unlike it are
refused, so rates come out about a tenth higher than it says (`bench/promises.py tail-mean`)."""

BOUND_LEVEL = 0.975
"""Confidence of the bound by the bootstrap, stated as 95 %, for the same reason (`bench/promises.py tail-bound`)."""

RESAMPLES = 1000
_CHUNK = 2_000_000  # numbers held at once while resamples are fitted

IN_SHORT = Sentence(
    "About {parts} will be rejected, if the good parts of the line are of no other kind than these.",
    "bench/promises.py tail-mean",
)
ON_AVERAGE = Sentence(
    "tail: at most {alpha} of good parts{whose} raise an alarm, on average over calibration sets of {basis}, if "
    "the scores beyond follow the distribution fitted to the largest {count} (generalised Pareto, shape {shape}, "
    "Anderson-Darling p = {p}).",
    "bench/promises.py tail-mean",
)
THIS_SET = Sentence(
    "For this very set the rate is then below {bound} with 95 % confidence.", "bench/promises.py tail-bound"
)
ANYWAY = Sentence(
    "No test on {units} can show that they do: a second kind of good parts, rarer than {rare}, may be missing "
    "among them. Whatever the distribution, the rate is below {bound} with 95 % confidence.",
    "bench/promises.py tail-anyway",
)


@dataclass(frozen=True)
class TailFit:
    """What was fitted.

    Args:
        start: Score where the tail begins.
        count: Number of calibration scores above it.
        shape: Shape of the generalised Pareto distribution; negative = bounded, positive = heavy.
        scale: Its scale, in units of the score.
        p_value: p-value of the Anderson-Darling test of the fit, in (0, 1].
        threshold: Score that a share alpha of good parts exceeds, on average over calibration sets.
        bound: With 95 % confidence the false-alarm rate is below this, if the tail is as fitted.
    """

    start: float
    count: int
    shape: float
    scale: float
    p_value: float
    threshold: float
    bound: float


class Tail(Rule):
    """Alarm above a threshold extrapolated from the largest tenth of the calibration scores.

    Beyond a high score the excess of nearly every distribution tends to a generalised Pareto distribution (Balkema and
    de Haan 1974, Pickands 1975). It is fitted to the excesses, tested (Anderson-Darling, p-value by parametric
    bootstrap), and refused where it does not fit. The threshold is not the plain quantile of the fit, which is exceeded
    up to twice as often as asked for when n is small: the same bootstrap finds the one that a share alpha exceeds on
    average over calibration sets, the uncertainty of the fit included. For new lots one score of each lot, drawn with
    the seed, is fitted: these are independent, and scores of one lot are not.

    Assumes:
        As `Conformal`; and the scores beyond those seen follow the distribution of the largest ones seen. The test
        cannot show that they do, only that they do not: a second kind of good parts of 0.5 % is missing in 22 % of
        samples of 300, and passes in most others. So the bound that holds for any distribution is stated as well.

    Args:
        alpha: False-alarm rate in (0, 0.05]. Needs n >= 300 and n >= 1 / (4 alpha) - 1.
        seed: Seed of the bootstrap.

    Raises:
        InputError: alpha or seed is out of range.

    Example:
        >>> import numpy as np
        >>> from amiss.core.scores import Scores
        >>> normal = np.random.default_rng(0).exponential(size=400)
        >>> rule = Tail(0.001).calibrate(Scores(normal))
        >>> rule.fit.count, bool(rule.threshold > normal.max())
        (40, True)
    """

    name = "tail"
    counts_lots: ClassVar[bool] = True

    def __init__(self, alpha: float, seed: int = 0) -> None:
        super().__init__()
        if check_rate("alpha", alpha) > LARGEST_ALPHA:
            raise InputError(
                f"alpha must be at most {LARGEST_ALPHA}, to which the rule tail extrapolates, got {alpha!r}. "
                "Take the rule conformal for larger ones"
            )
        self._alpha = float(alpha)
        self.seed = check_count("seed", seed, least=0)
        self._fit: TailFit | None = None

    def needed(self, alpha: float) -> int:
        """Smallest number of units that supports alpha."""
        return max(LEAST, math.ceil(1 / (REACH * alpha) - 1 - 1e-9))

    def check(self, n: int, unit: str = IMAGES) -> None:
        needed = self.needed(self._alpha)
        if n < needed:
            raise CalibrationError(
                f"tail: alpha = {percent(self._alpha)} needs {needed} {unit}, got {n}: {needed - n} more "
                f"{'is' if needed - n == 1 else 'are'} needed."
            )

    def calibrate(self, normal: Scores, lots: Lots | None = None) -> Tail:
        calibrated = super().calibrate(normal, lots)
        fitted = one_of_each(calibrated, self.seed)
        calibrated._fit = fit_tail(fitted.astype(np.float64), self._alpha, self.seed)
        check_reachable(calibrated)
        return calibrated

    @property
    def fit(self) -> TailFit:
        """What was fitted.

        Raises:
            NotReadyError: Before `calibrate`.
        """
        if self._fit is None:
            raise NotReadyError("the rule 'tail' is not calibrated yet; call calibrate(scores of good images)")
        return self._fit

    @property
    def alpha(self) -> float | None:
        return self._alpha if self.n else None

    @property
    def threshold(self) -> float:
        return self.fit.threshold

    def in_short(self) -> str:
        return IN_SHORT(parts=one_in(self._alpha))

    def statement(self) -> str:
        fit, least = self.fit, 1 / (self.units + 1)
        units = f"{self.units} lots" if self.by_lot else f"n = {self.n} images"
        fitted = f"{basis(self)}, one image of each" if self.by_lot else basis(self)
        reach = (
            f"This is extrapolated: {units} alone support {percent(least)} at best."
            if self._alpha < least - 1e-12
            else f"As many {units.split()[-1]} support this alpha without that assumption: prefer the rule conformal."
        )
        above = int((self.normal > np.float32(fit.threshold)).sum())
        anyway = rate_bound(self, above, ANYWAY_LEVEL)
        words = (
            ON_AVERAGE(
                alpha=percent(self._alpha),
                whose=whose(self),
                basis=fitted,
                count=fit.count,
                shape=f"{fit.shape:.2f}",
                p=f"{fit.p_value:.2g}",
            ),
            THIS_SET(bound=percent(fit.bound)),
            ANYWAY(units=units, rare=percent(rate_bound(self, 0)), bound=percent(anyway)),
            reach,
        )
        return " ".join(words)

    def config(self) -> dict[str, Any]:
        return {"alpha": self._alpha, "seed": self.seed}


def fit_tail(normal: Floats, alpha: float, seed: int) -> TailFit:
    """Fit, test and extrapolate.

    Args:
        normal: Calibration scores, ascending, (n,) with n >= 300.
        alpha: False-alarm rate to extrapolate to.
        seed: Seed of the bootstrap.

    Raises:
        CalibrationError: Too many equal scores, the fit is bad, or it is too uncertain for alpha.
    """
    n = len(normal)
    start, excess = _tail_of(normal, alpha)
    count = len(excess)
    rng = np.random.default_rng(seed)
    (shape,), (scale,) = fit_pareto(excess[None])
    misfit = anderson_darling(1 - share_above(excess, shape, scale))
    shapes, scales, misfits = _resample(count, shape, scale, rng)
    p_value = (1 + int((misfits >= misfit).sum())) / (RESAMPLES + 1)
    if p_value < LEVEL:
        raise CalibrationError(
            f"tail: the largest {count} of n = {n} scores do not follow a generalised Pareto distribution "
            f"(Anderson-Darling p = {p_value:.2g}), so alpha = {percent(alpha)} cannot be extrapolated. Look at the "
            f"good images that score highest, or take the rule conformal: {math.ceil(1 / alpha - 1 - 1e-9)} images."
        )
    begins = (count + 1) / (n + 1)  # mean share of good parts above `start`
    above = rng.beta(count + 1, n - count, RESAMPLES)  # that share, for other calibration sets

    def rates(level: float) -> Floats:
        """False-alarm rates of other calibration sets, the threshold of each the plain quantile of its own fit."""
        return above * share_above(excess_at(np.full(RESAMPLES, level / begins), shapes, scales), shape, scale)

    level = _level(rates, alpha, n)
    threshold = start + float(excess_at(np.asarray(level / begins), shape, scale))
    bound = float(np.quantile(rates(level), BOUND_LEVEL))
    return TailFit(start, count, float(shape), float(scale), p_value, threshold, bound)


def _tail_of(normal: Floats, alpha: float) -> tuple[float, Floats]:
    """Where the tail begins, and how far the scores above lie beyond, ascending."""
    n = len(normal)
    size = max(min(int(TAIL * n), MOST), math.ceil(2 * alpha * n))
    start = float(normal[-size - 1])
    excess = normal[normal > start] - start
    needed = max(FEWEST, math.ceil(1.5 * alpha * n))
    if len(excess) < needed:
        raise CalibrationError(
            f"tail: {len(excess)} of n = {n} scores lie above {start:g}, where the largest {size} should, and {needed} "
            "are needed: too many scores are equal. Take the rule conformal."
        )
    different = len(np.unique(excess))
    if len(excess) - different > TIES * len(excess):
        raise CalibrationError(
            f"tail: only {different} of the largest {len(excess)} of n = {n} scores differ: they are rounded, and a "
            "rounded tail cannot be extrapolated. Take the rule conformal."
        )
    return start, excess


def _resample(count: int, shape: float, scale: float, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Shapes, scales and Anderson-Darling statistics of samples of the fitted distribution, (RESAMPLES,) each."""
    rows = max(1, _CHUNK // (count * (30 + int(math.sqrt(count)))))
    parts = []
    for first in range(0, RESAMPLES, rows):
        uniform = 1 - rng.random((min(rows, RESAMPLES - first), count))  # in (0, 1]
        sample = np.sort(excess_at(uniform, np.asarray(shape), np.asarray(scale)), axis=1)
        shapes, scales = fit_pareto(sample)
        misfits = anderson_darling(1 - share_above(sample, shapes[:, None], scales[:, None]))
        parts.append((shapes, scales, misfits))
    shapes, scales, misfits = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return shapes, scales, misfits


def _level(rates: Callable[[float], Floats], alpha: float, n: int) -> float:
    """The level at which `rates` are `AIM` alpha on average, at most that; found by bisecting its logarithm."""
    low, high, aim = math.log(AIM * alpha) - 7, math.log(AIM * alpha), AIM * alpha
    if rates(math.exp(low)).mean() > aim:
        raise CalibrationError(
            f"tail: the fit to n = {n} scores is too uncertain for alpha = {percent(alpha)}. "
            "Calibrate with more good images, or ask for a larger alpha."
        )
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if rates(math.exp(middle)).mean() <= aim else (low, middle)
    return math.exp(low)
