"""Fixed: a threshold that somebody gives. It promises nothing, but tells what it would do to good parts."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from amiss.core.checks import check_real
from amiss.core.rule import IMAGES, Rule
from amiss.core.sentence import Sentence
from amiss.core.words import percent
from amiss.rules.lots import basis, rate_bound, whose, would_be_rejected

FIXED = Sentence(
    "fixed threshold {threshold}: no false-alarm rate is promised; {count} of {basis} lie above it, so the rate{whose} "
    "is below {bound} with 95 % confidence.",
    "bench/promises.py count-bound",
)


class Fixed(Rule):
    """Alarm when the score is larger than a given number.

    Assumes:
        Whoever gave the threshold knows why. With calibration images the rate seen on them is stated.

    Args:
        threshold: Any finite number, in units of the score.

    Raises:
        InputError: The threshold is not a finite number.

    Example:
        >>> import numpy as np
        >>> from amiss.core.scores import Scores
        >>> Fixed(2.0).decide(Scores(np.array([1.0, 2.0, 3.0]))).label.tolist()
        [False, False, True]
    """

    name = "fixed"
    counts_lots: ClassVar[bool] = True

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self._threshold = check_real("threshold", threshold)

    def check(self, n: int, unit: str = IMAGES) -> None:
        """Any number of images will do."""

    @property
    def alpha(self) -> float | None:
        return None

    @property
    def threshold(self) -> float:
        return self._threshold

    def in_short(self) -> str:
        return would_be_rejected(self)

    def statement(self) -> str:
        if self.n == 0:
            return f"fixed threshold {self._threshold:g}: no false-alarm rate is promised, and none was measured."
        count = int((self.normal > np.float32(self._threshold)).sum())
        return FIXED(
            threshold=f"{self._threshold:g}",
            count=count,
            basis=basis(self),
            whose=whose(self),
            bound=percent(rate_bound(self, count)),
        )

    def config(self) -> dict[str, Any]:
        return {"threshold": self._threshold}
