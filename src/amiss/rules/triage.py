"""Triage: two thresholds. Below both a part is accepted, above both it is rejected, between them a person judges."""

from __future__ import annotations

from typing import Any

from amiss.core.checks import check_rate
from amiss.core.errors import CalibrationError, InputError
from amiss.core.rule import Rule
from amiss.core.words import percent
from amiss.rules.certified import Certified
from amiss.rules.conformal import Conformal
from amiss.rules.ranks import RankRule, false_alarm_bound


class Triage(Rule):
    """Accept what looks good, reject what does not, and leave what lies between to a person.

    Two rules in one: both thresholds are order statistics of the same calibration scores, of `Conformal`, or of
    `Certified` when a confidence is given. Choose `accept` by how many good parts people have time to look at.

    Assumes:
        As `Conformal` or `Certified`. With a confidence each bound holds with it; both at once with somewhat less.

    Args:
        accept: At most this share of good parts is not accepted at once, so at most this share goes to a person.
        reject: At most this share of good parts is rejected without a person; smaller than `accept`.
        confidence: Confidence level of each bound over calibration sets, in (0, 1); None: both hold on average.

    Raises:
        InputError: Not rates, or reject is not smaller than accept.

    Example:
        >>> import numpy as np
        >>> from amiss.core.scores import Scores
        >>> rule = Triage(accept=0.10, reject=0.01).calibrate(Scores(np.arange(99)))
        >>> rule.review_threshold, rule.threshold
        (89.0, 98.0)
        >>> decision = rule.decide(Scores(np.array([50, 95, 120])))
        >>> decision.review.tolist(), decision.label.tolist()
        ([False, True, False], [False, False, True])
    """

    name = "triage"

    def __init__(self, accept: float, reject: float, confidence: float | None = None) -> None:
        super().__init__()
        if not check_rate("reject", reject) < check_rate("accept", accept):
            raise InputError(
                f"reject must be smaller than accept, such as accept = 0.05 and reject = 0.005, got {accept!r} and "
                f"{reject!r}: what is rejected at once was not accepted at once"
            )
        self.accept, self.reject = float(accept), float(reject)
        self.confidence = None if confidence is None else check_rate("confidence", confidence)

    def check(self, n: int) -> None:
        needs = [(rank_rule.needed(share), what) for rank_rule, share, what in self._both()]
        missing = [(needed, what) for needed, what in needs if needed > n]
        if missing:
            words = "; ".join(f"{what} needs {needed}: {needed - n} more" for needed, what in missing)
            raise CalibrationError(f"triage: got {n} good calibration images. {words}.")

    def _both(self) -> tuple[tuple[RankRule, float, str], tuple[RankRule, float, str]]:
        return (
            (self._rule(self.accept), self.accept, f"to accept all but {percent(self.accept)} at once"),
            (self._rule(self.reject), self.reject, f"to reject at most {percent(self.reject)}"),
        )

    def _rule(self, share: float) -> RankRule:
        return Conformal(share) if self.confidence is None else Certified(share, self.confidence)

    @property
    def threshold(self) -> float:
        return float(self.normal[-self._rule(self.reject).rank_of(self.n)])

    @property
    def review_threshold(self) -> float | None:
        return float(self.normal[-self._rule(self.accept).rank_of(self.n)])

    @property
    def alpha(self) -> float | None:
        return self.reject if self.n else None

    @property
    def review_alpha(self) -> float | None:
        return self.accept if self.n else None

    def statement(self) -> str:
        shares = f"at most {percent(self.accept)} of good parts are not accepted at once"
        rejected = f"at most {percent(self.reject)} are rejected"
        level = 0.95 if self.confidence is None else self.confidence
        ranks = [rank_rule.rank_of(len(self.normal)) for rank_rule, _, _ in self._both()]
        first, second = (percent(false_alarm_bound(rank, self.n, level)) for rank in ranks)
        empty = (
            " Both thresholds are the same score: nothing goes to a person."
            if self.threshold == self.review_threshold
            else ""
        )
        if self.confidence is None:
            return (
                f"triage: {shares} and {rejected}, on average over calibration sets of n = {self.n} good images; for "
                f"this very set the rates are below {first} and {second}, each with 95 % confidence.{empty}"
            )
        return (
            f"triage: {shares} (exactly {first}) and {rejected} (exactly {second}), each with {percent(level)} "
            f"confidence, from n = {self.n} good images of which {ranks[0] - 1} and {ranks[1] - 1} lie above the "
            f"thresholds.{empty}"
        )

    def config(self) -> dict[str, Any]:
        return {"accept": self.accept, "reject": self.reject, "confidence": self.confidence}
