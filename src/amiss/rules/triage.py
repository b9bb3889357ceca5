"""Triage: two thresholds. Below both a part is accepted, above both it is rejected, between them a person judges."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from amiss.core.checks import check_rate
from amiss.core.errors import CalibrationError, InputError, NotReadyError
from amiss.core.lots import Lots
from amiss.core.rule import IMAGES, Rule
from amiss.core.scores import Scores
from amiss.core.sentence import Sentence
from amiss.core.words import one_in, percent, sure
from amiss.rules.certified import Certified
from amiss.rules.conformal import Conformal
from amiss.rules.lots import basis, rate_bound, whose
from amiss.rules.ranks import RankRule

ABOUT = Sentence(
    "About {accept} will not be accepted at once, and about {reject} will be rejected without a person.",
    "bench/promises.py rank-mean",
)
ON_AVERAGE = Sentence(
    "triage: at most {accept} of good parts{whose} are not accepted at once and at most {reject} are rejected, on "
    "average over calibration sets of {basis}; for this very set the rates are below {first} and {second}, each with "
    "95 % confidence.",
    "bench/promises.py this-set",
)
CERTAIN = Sentence(
    "triage: at most {accept} of good parts{whose} are not accepted at once (exactly {first}) and at most {reject} are "
    "rejected (exactly {second}), each with {confidence} confidence, from {basis} of which {above} and {far} lie above "
    "the thresholds.",
    "bench/promises.py certified",
)


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
    counts_lots: ClassVar[bool] = True

    def __init__(self, accept: float, reject: float, confidence: float | None = None) -> None:
        super().__init__()
        if not check_rate("reject", reject) < check_rate("accept", accept):
            raise InputError(
                f"reject must be smaller than accept, such as accept = 0.05 and reject = 0.005, got {accept!r} and "
                f"{reject!r}: what is rejected at once was not accepted at once"
            )
        self.accept, self.reject = float(accept), float(reject)
        self.confidence = None if confidence is None else check_rate("confidence", confidence)

        self._accepts, self._rejects = self._rule(self.accept), self._rule(self.reject)

    def calibrate(self, normal: Scores, lots: Lots | None = None) -> Self:
        calibrated = super().calibrate(normal, lots)
        calibrated._accepts = self._accepts.calibrate(normal, lots)
        calibrated._rejects = self._rejects.calibrate(normal, lots)
        return calibrated

    def check(self, n: int, unit: str = IMAGES) -> None:
        needs = [(rank_rule.needed(share), what) for rank_rule, share, what in self._both()]
        missing = [(needed, what) for needed, what in needs if needed > n]
        if missing:
            words = "; ".join(f"{what} needs {needed}: {needed - n} more" for needed, what in missing)
            raise CalibrationError(f"triage: got {n} {unit}. {words}.")

    def _both(self) -> tuple[tuple[RankRule, float, str], tuple[RankRule, float, str]]:
        return (
            (self._accepts, self.accept, f"to accept all but {percent(self.accept)} at once"),
            (self._rejects, self.reject, f"to reject at most {percent(self.reject)}"),
        )

    def _rule(self, share: float) -> RankRule:
        return Conformal(share) if self.confidence is None else Certified(share, self.confidence)

    @property
    def threshold(self) -> float:
        self._check_ready()
        return self._rejects.threshold

    @property
    def review_threshold(self) -> float | None:
        self._check_ready()
        return self._accepts.threshold

    @property
    def alpha(self) -> float | None:
        return self.reject if self.n else None

    @property
    def review_alpha(self) -> float | None:
        return self.accept if self.n else None

    def _check_ready(self) -> None:
        if self.n == 0:
            raise NotReadyError("the rule 'triage' is not calibrated yet; call calibrate(scores of good images)")

    def in_short(self) -> str:
        shares = (self.mean_rate(self.review_threshold or self.threshold), self.mean_rate(self.threshold))
        return ABOUT(accept=one_in(shares[0]), reject=one_in(shares[1]))

    def statement(self) -> str:
        self._check_ready()
        level = 0.95 if self.confidence is None else self.confidence
        ranks = [rank_rule.rank for rank_rule, _, _ in self._both()]
        first, second = (percent(rate_bound(self, rank - 1, level)) for rank in ranks)
        empty = (
            " Both thresholds are the same score: nothing goes to a person."
            if self.threshold == self.review_threshold
            else ""
        )
        known = {"accept": percent(self.accept), "reject": percent(self.reject), "whose": whose(self)}
        known |= {"basis": basis(self), "first": first, "second": second}
        if self.confidence is None:
            return ON_AVERAGE(**known) + empty
        return CERTAIN(**known, confidence=sure(level), above=ranks[0] - 1, far=ranks[1] - 1) + empty

    def config(self) -> dict[str, Any]:
        return {"accept": self.accept, "reject": self.reject, "confidence": self.confidence}
