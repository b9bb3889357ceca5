"""FewShot: what is left when there are fewer good images than any rate of false alarms needs."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from amiss.core.rule import IMAGES, Rule
from amiss.core.sentence import Sentence
from amiss.core.words import percent
from amiss.rules.conformal import Conformal
from amiss.rules.ranks import LARGEST_ALPHA

NEEDED = Conformal().needed(LARGEST_ALPHA)
"""From so many parts on `Conformal` promises something, and ``alpha="auto"`` means that."""

UNKNOWN = Sentence(
    "How many good parts will be rejected is not known.",
    "tests/rules/test_few_shot.py::test_the_rate_can_be_anything",
)
RULE_OF_THUMB = Sentence(
    "few_shot: no false-alarm rate is promised from n = {n} good {images}, and none was measured; alpha = {alpha} "
    "needs {needed}. The threshold is the largest of their scores, a rule of thumb. Calibrate on good parts as soon "
    "as there are more.",
    "tests/rules/test_few_shot.py::test_the_rate_can_be_anything",
)


class FewShot(Rule):
    """Alarm above the largest score of the few good images there are. A rule of thumb that promises nothing.

    `amiss.fit` takes it in place of `Conformal("auto")` where fewer than 9 parts calibrate, and that one in place of
    this where there are more. Each image was then scored by a detector that had learned from the others only, and a
    single one as altered copies of itself. Neither are scores of good parts to come, so there are no p-values, no
    bound of a rate and no table of other rates.

    Assumes:
        The next good part is no stranger to the detector than these were.

    Example:
        >>> import numpy as np
        >>> from amiss.core.scores import Scores
        >>> rule = FewShot().calibrate(Scores(np.array([1.0, 3.0])))
        >>> rule.threshold, rule.alpha, rule.p_value(np.array([2.0])).tolist()
        (3.0, None, [nan])
    """

    name = "few_shot"
    counts_lots: ClassVar[bool] = True
    tells_rates: ClassVar[bool] = False

    def check(self, n: int, unit: str = IMAGES) -> None:
        """Any number of images will do."""

    @property
    def threshold(self) -> float:
        return float(self.normal[-1])

    @property
    def alpha(self) -> float | None:
        return None

    def p_value(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """Not a number, of any shape: what these scores say about good parts to come is not known."""
        return np.full(np.shape(scores), np.nan)

    def p_value_words(self) -> str:
        return "There are no p-values: the good images are too few for them." if self.n else ""

    def in_short(self) -> str:
        return UNKNOWN()

    def statement(self) -> str:
        if self.n == 0:
            return "few_shot: no false-alarm rate is promised, and nothing was measured."
        return RULE_OF_THUMB(
            n=self.n, images="image" if self.n == 1 else "images", alpha=percent(LARGEST_ALPHA), needed=NEEDED
        )

    def config(self) -> dict[str, Any]:
        return {}
