"""The contract of ingredient 3: a rule turns scores into decisions, calibrated on normals that learning never saw."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import CalibrationError, NotReadyError
from amiss.core.scores import Decision, Region, Scores


class Rule(ABC):
    """A decision rule. The constructor stores; `calibrate` returns a calibrated copy; `decide` is pure.

    Every rule is a threshold on the image score: an image is anomalous when its score is *larger*. Since the image
    score is the maximum of the map, the same threshold makes the mask, and P(any false pixel on a normal image) is
    bounded by the same number.
    """

    name: ClassVar[str]

    def __init__(self) -> None:
        self._normal: NDArray[np.float32] | None = None

    def calibrate(self, normal: Scores) -> Self:
        """A copy of this rule that knows how normal images score.

        Args:
            normal: Scores of normal images that the detector did not learn from. Only the image scores are used:
                pixels of one image depend on each other, so one number per image is calibrated.

        Raises:
            CalibrationError: Fewer images than the promise needs.
        """
        if len(normal) == 0:
            raise CalibrationError("no normal images to calibrate with; give at least 9 (for alpha = 10 %)")
        self.check(len(normal))
        calibrated = copy.copy(self)
        calibrated._normal = np.sort(normal.image)
        return calibrated

    @abstractmethod
    def check(self, n: int) -> None:
        """Raise a `CalibrationError` when n normal images cannot support the promise. Costs nothing: call it first."""

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

    @abstractmethod
    def statement(self) -> str:
        """The promise in one or two sentences for a person, with n, alpha and an interval."""

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

    def p_value(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """Conformal p-values: (1 + number of normals that score at least as high) / (n + 1). Any shape."""
        if self._normal is None:
            return np.full(np.shape(scores), np.nan)
        as_high = self.n - np.searchsorted(self._normal, np.asarray(scores, np.float32), side="left")
        return np.asarray((1.0 + as_high) / (self.n + 1.0), np.float64)

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
