"""Certified: the promise holds for this very calibration set, with a stated confidence."""

from __future__ import annotations

import math
from typing import Any

from amiss.core.checks import check_rate
from amiss.core.sentence import Sentence
from amiss.core.words import one_in, percent, sure
from amiss.rules.lots import basis, chance_above, rate_bound, whose
from amiss.rules.ranks import RankRule, confidence_of, false_alarm_bound

AT_MOST = Sentence("At most {parts}{whose} will be rejected.", "bench/promises.py certified")
CERTIFIED = Sentence(
    "certified: with {confidence} confidence at most {alpha} of good parts{whose} raise an alarm (exactly {bound}), "
    "from {basis} of which {above} lie above the threshold.",
    "bench/promises.py certified",
)


class Certified(RankRule):
    """Alarm above the order statistic whose false-alarm rate is at most alpha with the given confidence.

    The false-alarm rate of the k-th largest of n normal scores is distributed as Beta(k, n + 1 - k). The largest k
    with P(rate <= alpha) >= confidence is taken (a distribution-free tolerance limit: Wilks 1941). For new lots the
    distribution is that of `amiss.rules.lots`, the same where each lot has one part.

    Assumes:
        Calibration images are independent draws of what the line will see, and learning saw none of them.

    Args:
        alpha: Bound of the false-alarm rate in (0, 1), or "auto": 5 %, or the smallest that n supports if that is more.
        confidence: Probability over calibration sets with which the bound holds, in (0, 1).

    Raises:
        InputError: alpha or confidence is not a rate.

    Example:
        >>> rule = Certified(confidence=0.95)
        >>> rule.needed(0.01), rule.needed(0.05)
        (299, 59)
    """

    name = "certified"

    def __init__(self, alpha: float | str = "auto", confidence: float = 0.95) -> None:
        super().__init__(alpha)
        self.confidence = check_rate("confidence", confidence)

    def needed(self, alpha: float) -> int:
        """The maximum of n certifies alpha when (1 - alpha)^n <= 1 - confidence."""
        return math.ceil(math.log1p(-self.confidence) / math.log1p(-alpha) - 1e-9)

    def least_alpha(self, n: int) -> float:
        return false_alarm_bound(1, n, self.confidence) if n else 1.0

    def _rank(self, alpha: float, n: int) -> int:
        low, high = 1, n  # the confidence falls with the rank: bisect
        while low < high:
            middle = (low + high + 1) // 2
            if confidence_of(middle, n, alpha) >= self.confidence:
                low = middle
            else:
                high = middle - 1
        return low

    def _rank_by_lot(self, alpha: float) -> int:
        low, high = 1, self.n
        while low < high:
            middle = (low + high + 1) // 2
            if chance_above(self.top(middle - 1), alpha) <= (1 - self.confidence) * (1 + 1e-9):
                low = middle
            else:
                high = middle - 1
        return low

    def in_short(self) -> str:
        return AT_MOST(parts=one_in(self.resolve(self.units)), whose=whose(self))

    def statement(self) -> str:
        bound = rate_bound(self, self.rank - 1, self.confidence)
        words = CERTIFIED(
            confidence=sure(self.confidence),
            alpha=percent(self.resolve(self.units)),
            whose=whose(self),
            bound=percent(bound),
            basis=basis(self),
            above=self.rank - 1,
        )
        return f"{words}{self.what_less_needs()}"

    def config(self) -> dict[str, Any]:
        return {**super().config(), "confidence": self.confidence}
