"""The contract of ingredient 3: a rule turns scores into decisions, calibrated on normals that learning never saw."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import CalibrationError, InputError, NotReadyError
from amiss.core.lots import NEW_LOTS, THESE_LOTS, Lots
from amiss.core.scores import Decision, Region, Scores
from amiss.core.sentence import Sentence
from amiss.core.words import one_in

ABOUT = Sentence("About {parts} will be rejected.", "bench/promises.py rank-mean")
SMALLEST = Sentence(
    "No p-value is below {least}: {units} cannot tell rarer scores apart.",
    "tests/rules/test_rules_by_definition.py::test_the_smallest_p_value",
)

IMAGES, LOTS = "good calibration images", "lots of good calibration images"
"""What n counts: the units of evidence."""


class Rule(ABC):
    """A decision rule. The constructor stores; `calibrate` returns a calibrated copy; `decide` is pure.

    Every rule is a threshold on the image score: an image is anomalous when its score is *larger*. Since the image
    score is the maximum of the map, the same threshold makes the mask, and P(any false pixel on a normal image) is
    bounded by the same number.

    Where lots are known and the promise is for new ones, the lot is the unit of evidence (`by_lot`): each lot counts
    once, by the share of its scores above the threshold.
    """

    name: ClassVar[str]

    counts_lots: ClassVar[bool] = False
    """Whether its promise for new lots holds: it takes the lot as the unit then. Otherwise new lots are refused."""

    tells_rates: ClassVar[bool] = True
    """Whether its calibration scores are taken for those of good parts to come, so that they bound a rate."""

    def __init__(self) -> None:
        self._normal: NDArray[np.float32] | None = None
        self._lots: Lots | None = None
        self._classes: NDArray[np.int64] | None = None
        self._relative: NDArray[np.float64] | None = None
        self._weight_from: NDArray[np.float64] | None = None

    def calibrate(self, normal: Scores, lots: Lots | None = None) -> Self:
        """A copy of this rule that knows how normal images score.

        Args:
            normal: Scores of normal images that the detector did not learn from. Only the image scores are used:
                pixels of one image depend on each other, so one number per image is calibrated.
            lots: The lot of each, and whose parts the promise is for; None where lots are not known.

        Raises:
            CalibrationError: Fewer images, or lots, than the promise needs.
            InputError: Not one lot per score.
        """
        if len(normal) == 0:
            raise CalibrationError("no normal images to calibrate with; give at least 9 (for alpha = 10 %)")
        if lots is not None and len(lots.numbers) != len(normal):
            raise InputError(f"there must be one lot per score, got {len(lots.numbers)} for {len(normal)} scores")
        self.check_all(len(normal), None if lots is None or lots.future != NEW_LOTS else lots.count)
        order = np.argsort(normal.image) if lots is None else np.lexsort((lots.numbers, normal.image))
        calibrated = copy.copy(self)
        calibrated._normal = normal.image[order]
        calibrated._lots = None if lots is None else lots[order]
        calibrated._classes = None if normal.classes is None else normal.classes[order]
        calibrated._relative = None
        calibrated._weight_from = calibrated._weights()
        return calibrated

    def weighted(self, weights: NDArray[np.floating]) -> Self:
        """A copy of this calibrated rule in which some calibration scores count more than others.

        For parts to come that look otherwise than the calibration images, see `amiss.monitoring.shift`.

        Args:
            weights: Of each score of `normal`, in its order, (n,), above 0; the next part weighs 1.

        Raises:
            CalibrationError: The rule counts all scores alike, or they are worth too few once weighted.
            InputError: Not one number above 0 per score.
        """
        raise CalibrationError(f"{self.name}: this rule counts all good images alike; take the rule conformal")

    def check_all(self, n: int, lots: int | None = None) -> None:
        """Refuse what cannot support the promise. Costs nothing: call it first.

        Args:
            n: Number of normal images, or parts where several show one.
            lots: Number of lots they come from when the promise is for new lots, otherwise None.

        Raises:
            CalibrationError: Too few, or lots where the rule does not count them.
        """
        if lots is None:
            self.check(n)
            return
        if not self.counts_lots:
            raise CalibrationError(
                f"{self.name}: this rule counts parts and promises nothing for new lots, got {lots} lots. "
                f"{_for_these(n, lots)}"
            )
        try:
            self.check(lots, LOTS)
        except CalibrationError as error:
            raise CalibrationError(f"{error} {_for_these(n, lots)}") from error

    @abstractmethod
    def check(self, n: int, unit: str = IMAGES) -> None:
        """Raise a `CalibrationError` when n units cannot support the promise; `unit` is `IMAGES` or `LOTS`."""

    @property
    @abstractmethod
    def threshold(self) -> float:
        """Scores larger than this are anomalous."""

    @property
    def review_threshold(self) -> float | None:
        """Scores larger than this, up to `threshold`, are sent to a person for review; None without review."""
        return None

    @property
    def review_alpha(self) -> float | None:
        """The promised share of good images above `review_threshold`, in (0, 1); None where nobody is asked."""
        return None

    @property
    @abstractmethod
    def alpha(self) -> float | None:
        """The false-alarm rate that is promised, in (0, 1), or None."""

    def in_short(self) -> str:
        """The promise in one sentence for people who count parts: about how many good ones will be rejected."""
        return ABOUT(parts=one_in(self.mean_rate(self.threshold)))

    def mean_rate(self, threshold: float) -> float:
        """The false-alarm rate of a threshold that is a calibration score, on average over calibration sets, in (0, 1].

        It is the p-value of a score that is just larger.
        """
        return float(self.p_value(np.nextafter(np.float32(threshold), np.float32(np.inf))))

    def p_value_words(self) -> str:
        """How small a p-value can be, to be said where p-values are shown; nothing before calibration."""
        return (
            SMALLEST(
                least=f"{float(self.p_value(np.array(np.inf))):.2g}",
                units=f"{self.units} lots" if self.by_lot else f"n = {self.n} good images",
            )
            if self.n
            else ""
        )

    @abstractmethod
    def statement(self) -> str:
        """The promise in one or two sentences for a statistician, with n, alpha and an interval."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The constructor's arguments as plain JSON values."""

    @property
    def n(self) -> int:
        """Number of normal images this rule was calibrated on; 0 before."""
        return 0 if self._normal is None else len(self._normal)

    @property
    def normal(self) -> NDArray[np.float32]:
        """The calibration scores, ascending, (n,)."""
        if self._normal is None:
            raise NotReadyError(f"the rule {self.name!r} is not calibrated yet; call calibrate(scores of good images)")
        return self._normal

    @property
    def lots(self) -> Lots | None:
        """The lot of each calibration score, in the order of `normal`; None where lots are not known."""
        return self._lots

    @property
    def classes(self) -> NDArray[np.int64] | None:
        """The class that each calibration image shows, in the order of `normal`; None where none are known."""
        return self._classes

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """What each score of `normal` counts for, (n,), where the next part counts 1; None where all count 1."""
        return self._relative

    @property
    def by_lot(self) -> bool:
        """Whether the promise is for new lots, so that the lot is the unit of evidence."""
        return self._lots is not None and self._lots.future == NEW_LOTS

    @property
    def units(self) -> int:
        """Number of units of evidence: lots where the promise is for new lots, otherwise n."""
        return self._lots.count if self._lots is not None and self.by_lot else self.n

    @property
    def resolution(self) -> int:
        """The n for which 1 / (n + 1) is the smallest p-value: n itself, or the number of lots, the images of the
        smallest class, or what weights leave of n; at least 1. Only after calibration, of rules with p-values."""
        return max(1, round(1 / float(self.p_value(np.array(np.inf)))) - 1)

    def top(self, count: int) -> NDArray[np.float64]:
        """Share of each unit's scores that are among the `count` largest of all, (units,); 0 or 1 for parts."""
        if self._lots is None or not self.by_lot:
            return np.repeat([0.0, 1.0], [self.n - count, count])
        found = np.bincount(self._lots.numbers[self.n - count :], minlength=self.units)
        return np.asarray(found / self._lots.sizes, np.float64)

    def p_value(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """Conformal p-values: (1 + number of normals that score at least as high) / (n + 1). Any shape.

        Where the promise is for new lots each lot counts with the share of its normals that score at least as high, and
        the number of lots takes the place of n (Lee, Barber and Willett 2023). Where scores are weighted each counts
        with its weight, and their sum takes the place of n (Tibshirani et al. 2019).
        """
        if self._weight_from is None:
            return np.full(np.shape(scores), np.nan)
        as_high = self._weight_from[np.searchsorted(self.normal, np.asarray(scores, np.float32), side="left")]
        return np.asarray((1.0 + as_high) / (self._weight_from[0] + 1.0), np.float64)

    def _weights(self) -> NDArray[np.float64]:
        """For k = 0 to n the weight of the n - k largest calibration scores, (n + 1,): each unit weighs 1 in all."""
        weights = self._relative
        if self._lots is not None and self.by_lot:
            weights = 1 / self._lots.sizes[self._lots.numbers]
        if weights is None:
            return np.arange(self.n, -1, -1, dtype=np.float64)
        return np.concatenate([np.cumsum(weights[::-1])[::-1], [0.0]])

    def decide(self, scores: Scores) -> Decision:
        """Label images, pixels and regions. Regions are filled by `amiss.postprocess`; here they are empty."""
        threshold, lowest = self.threshold, self.review_threshold
        lowest = threshold if lowest is None else lowest
        label = scores.image > np.float32(threshold)
        empty: tuple[tuple[Region, ...], ...] = ((),) * len(scores)
        return Decision(
            p_value=self.p_value(scores.image),
            label=label,
            review=(scores.image > np.float32(lowest)) & ~label,
            mask=None if scores.map is None else scores.map > np.float32(lowest),
            regions=empty,
            threshold=threshold,
            alpha=self.alpha,
            n=self.n,
            rule=self.name,
        )


def _for_these(n: int, lots: int) -> str:
    """What to do where lots are too few for a promise about new ones."""
    which = "this lot" if lots == 1 else f"these {lots} lots"
    alone = "One lot says nothing about how much the next differs. " if lots == 1 else ""
    return (
        f"{alone}Calibrate with more lots, or ask for further parts of {which} only, with future={THESE_LOTS!r} "
        f"(--future {THESE_LOTS}): then n = {n} parts count."
    )
