"""What every decision rule must satisfy: one small function per check, each with a message that says what went wrong.

For authors of rules, ours and plugged in::

    from amiss.testing import check_rule

    def test_my_rule():
        check_rule(lambda: MyRule(alpha=0.05))

`CHECKS` lists the single checks, to run each as a test of its own. A check that does not apply raises
`unittest.SkipTest`, which pytest and unittest report as skipped: a rule whose alpha is None promises nothing, so its
promise is not checked. A rule may refuse scores that it cannot use (`CalibrationError`), such as many equal ones; it is
judged on those that it accepts, and must accept most sets of uniform scores. Scores are synthetic and seeded; no
detector and no image is needed.
"""

from __future__ import annotations

import contextlib
import json
import math
import unittest
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from amiss.core.errors import CalibrationError, NotReadyError
from amiss.core.lots import Lots
from amiss.core.rule import Rule
from amiss.core.scores import Decision, Scores
from amiss.rules import RULES, create_rule
from amiss.testing.expect import require

Make = Callable[[], Rule]
"""Makes the rule under test, new and not calibrated."""

MOST = 20_000
"""A rule that needs more calibration images than this is not checked: it would take too long."""

REPEATS = 2000
"""Calibration sets drawn to check a promise. One new image is judged by each: the judgements are independent."""

SCORES = 100_000
"""Scores drawn at most to check a promise: a rule that needs many images is checked on fewer sets of them."""

LEVEL = 1e-4
"""Probability with which an honest rule would fail a statistical check, were the seeds not fixed."""


def check_rule(make_rule: Make) -> None:
    """Run every check of `CHECKS` that applies.

    Args:
        make_rule: See `Make`.

    Raises:
        AssertionError: At the first check that fails.
    """
    for check in CHECKS:
        with contextlib.suppress(unittest.SkipTest):
            check(make_rule)


def check_constructor_stores(make_rule: Make) -> None:
    """A new rule knows no images, and says so when it is asked for them."""
    rule = make_rule()
    require(rule.n == 0, f"a new rule says it was calibrated on {rule.n} images")
    try:
        _ = rule.normal
    except NotReadyError:
        return
    raise AssertionError("a new rule shows calibration scores; it must raise NotReadyError")


def check_calibrate_copies(make_rule: Make) -> None:
    """`calibrate` returns a calibrated copy: the rule and the scores it was given stay as they were."""
    rule, normal = make_rule(), _enough(make_rule())
    before, given = rule.config(), normal.image.copy()
    calibrated = rule.calibrate(normal)
    require(calibrated is not rule and type(calibrated) is type(rule), "calibrate must return a new rule of its type")
    require(rule.n == 0 and rule.config() == before, "calibrate has changed the rule it was called on")
    require(calibrated.n == len(normal), f"calibrated on {len(normal)} images, but n is {calibrated.n}")
    require(np.array_equal(normal.image, given), "calibrate has changed the scores it was given")
    again = rule.calibrate(Scores(normal.image[::-1].copy()))
    require(again.threshold == calibrated.threshold, "the order of the calibration images changes the threshold")


def check_decide_is_pure(make_rule: Make) -> None:
    """The same answer twice, nothing changed, and no image is judged by its neighbours in the batch."""
    rule, scores = _calibrated(make_rule), _maps(12)
    image, score_map = scores.image.copy(), np.array(scores.map)
    first, second = rule.decide(scores), rule.decide(scores)
    require(np.array_equal(scores.image, image) and np.array_equal(score_map, np.array(scores.map)), "decide changes")
    require(_same(first, second), "decide gives another answer the second time")
    for index in range(len(scores)):
        alone = rule.decide(Scores.of_map(score_map[index : index + 1]))
        same = np.array_equal(alone.p_value[0], first.p_value[index], equal_nan=True)
        same = same and alone.label[0] == first.label[index]
        require(bool(same), f"image {index} alone gets another answer than in a batch of {len(scores)}")


def check_monotone(make_rule: Make) -> None:
    """A higher score never turns anomalous into review or good, nor review into good, and its p-value never grows."""
    rule = _calibrated(make_rule)
    scores = np.unique(np.concatenate([rule.normal, np.linspace(-1, 2, 301), [-1e30, rule.threshold, 1e30]]))
    decision = rule.decide(Scores(scores))
    rising = np.diff(decision.review + 2 * decision.label.astype(int)) >= 0
    require(bool(rising.all()), "a higher score turns anomalous into good or review, or review into good")
    if rule.tells_rates:
        require(bool((np.diff(decision.p_value) <= 0).all()), "a higher score has a larger p-value")
    require(bool(decision.label[-1]) and not decision.label[0], "a score of 1e30 must alarm, one of -1e30 must not")


def check_mask_agrees_with_label(make_rule: Make) -> None:
    """An image is anomalous or for review exactly when a pixel is in the mask; without a map there is no mask."""
    rule, scores = _calibrated(make_rule), _maps(40)
    decision = rule.decide(scores)
    if decision.mask is None or scores.map is None:
        raise AssertionError("scores with a map must give a mask")
    require(decision.mask.shape == scores.map.shape, f"mask {decision.mask.shape} for a map {scores.map.shape}")
    found = decision.label | decision.review
    require(np.array_equal(found, decision.mask.any(axis=(1, 2))), "label or review, and mask.any(), differ")
    require(rule.decide(Scores(scores.image)).mask is None, "scores without a map must give no mask")


def check_review(make_rule: Make) -> None:
    """What a person judges lies between two thresholds, is never called anomalous too, and has a promise of its own."""
    rule = _calibrated(make_rule)
    lowest = rule.threshold if rule.review_threshold is None else rule.review_threshold
    require(lowest <= rule.threshold, f"review_threshold {lowest:g} is above the threshold {rule.threshold:g}")
    edges = np.array([lowest, rule.threshold], np.float32)
    around = [edges, np.nextafter(edges, np.float32(-np.inf)), np.nextafter(edges, np.float32(np.inf))]
    scores = np.sort(np.concatenate([rule.normal, *around]))
    decision = rule.decide(Scores(scores))
    require(not (decision.label & decision.review).any(), "an image is both anomalous and for review")
    between = (scores > np.float32(lowest)) & (scores <= np.float32(rule.threshold))
    require(np.array_equal(decision.review, between), "review is not what lies between the two thresholds")
    require((rule.review_threshold is None) == (rule.review_alpha is None), "a review threshold comes with its promise")
    if rule.alpha is not None and rule.review_alpha is not None:
        require(rule.alpha < rule.review_alpha, f"alpha {rule.alpha:g} is not below that of review {rule.review_alpha}")


def check_decision_says_what_it_is(make_rule: Make) -> None:
    """The decision carries the rule's name, n, alpha and threshold."""
    rule = _calibrated(make_rule)
    decision = rule.decide(_maps(3))
    said = (decision.rule, decision.n, decision.alpha, decision.threshold)
    wanted = (rule.name, rule.n, rule.alpha, rule.threshold)
    require(said == wanted, f"the decision says {said}, the rule {wanted}")
    require(len(decision.label) == len(decision.p_value) == len(decision.regions) == 3, "one entry per image")


def check_config_round_trip(make_rule: Make) -> None:
    """`config()` is plain JSON and makes the same rule again."""
    rule = make_rule()
    config = json.loads(json.dumps(rule.config(), allow_nan=False))
    again = create_rule(rule.name, **config) if RULES.get(rule.name) is type(rule) else type(rule)(**config)
    require(type(again) is type(rule) and again.config() == rule.config(), f"{config} makes another rule")
    normal = _draw(_least(rule) + 500)
    require(again.calibrate(normal).threshold == rule.calibrate(normal).threshold, f"{config} decides otherwise")


def check_statement_mentions_n(make_rule: Make) -> None:
    """What a person reads names the number of images behind it."""
    rule = _calibrated(make_rule)
    require(f"n = {rule.n} " in rule.statement(), f"'n = {rule.n}' is not in {rule.statement()!r}")


def check_no_images(make_rule: Make) -> None:
    """Nothing can be calibrated on no images."""
    _require_too_few(make_rule(), 0)


def check_too_few_images(make_rule: Make) -> None:
    """One image fewer than the promise needs is an error, from `check` and from `calibrate` alike."""
    least = _least(make_rule())
    _require_promise(_calibrated(make_rule))
    if least > 1:
        _require_too_few(make_rule(), least - 1)
        try:
            make_rule().check(least - 1)
        except CalibrationError:
            return
        raise AssertionError(f"check({least - 1}) is silent, but calibrate would refuse")


def check_p_value_range(make_rule: Make) -> None:
    """p-values lie in [1/(n+1), 1]: n images cannot show that anything is rarer."""
    rule = _calibrated(make_rule)
    p_value = rule.decide(Scores(np.array([-1e30, 0, 0.5, 1, 1e30]))).p_value
    _require_p_values(rule, p_value)
    require(p_value.min() >= 1 / (rule.n + 1) - 1e-12, f"p-value {p_value.min()} is below 1/(n+1), n = {rule.n}")
    require(p_value.max() <= 1, f"p-value {p_value.max()} is above 1")


def check_p_values_uniform(make_rule: Make) -> None:
    """On new normal images P(p <= t) <= t for every t, and with continuous scores it is no smaller than it must be."""
    n, draws = _least(make_rule()), np.random.default_rng(0)
    p_value = _judge(make_rule, n, draws, ties=False).p_value
    _require_p_values(make_rule(), p_value)
    spread = p_value - draws.random(len(p_value)) / (n + 1)  # p has steps of 1/(n+1); spread evenly it is uniform
    require(stats.kstest(spread, "uniform").pvalue > LEVEL, "p-values of new normal images are not uniform (KS test)")
    tied = _judge(make_rule, n, draws, ties=True).p_value
    for values, what in ((p_value, "continuous"), (tied, "tied")):
        if not len(values):
            continue
        test = stats.kstest(values, "uniform", alternative="greater")
        require(test.pvalue > LEVEL, f"p-values of new normal images with {what} scores are too small (KS test)")


def check_false_alarms(make_rule: Make) -> None:
    """New normal images raise an alarm at most as often as alpha promises, with and without ties; review as well."""
    least = _least(make_rule())
    for n in (least, 2 * least + 1):
        rule = make_rule().calibrate(_draw(n))
        alpha = _require_promise(rule)
        for ties in (False, True):
            judged = _judge(make_rule, n, np.random.default_rng(n), ties=ties)
            _require_rate(judged.label, alpha, n, "false alarms")
            if rule.review_alpha is not None:
                _require_rate(judged.label | judged.review, rule.review_alpha, n, "good images not accepted")


def check_lots(make_rule: Make) -> None:
    """For new lots, lots of equal parts are worth one part each, however many: more parts add no evidence.

    A rule that does not count lots must refuse to promise anything for new ones.
    """
    rule, least = make_rule(), _least(make_rule())
    single = Scores(np.sort(_draw(2 * least + 1).image))
    numbers = np.repeat(np.arange(len(single)), np.where(np.arange(len(single)) < least, 8, 1))
    many = Scores(single.image[numbers])
    if not rule.counts_lots:
        _require_refusal(rule, many, Lots(numbers))
        return
    parts, lots = rule.calibrate(single), rule.calibrate(many, Lots(numbers))
    require(math.isclose(lots.threshold, parts.threshold, rel_tol=1e-6), "equal parts of a lot move the threshold")
    scores = np.concatenate([single.image, [-1e30, 1e30]])
    same = np.allclose(lots.p_value(scores), parts.p_value(scores), equal_nan=True)
    require(bool(same), "equal parts of a lot change the p-values")
    require(lots.alpha == parts.alpha, "equal parts of a lot change alpha")
    if least > 1:
        few = numbers < least - 1
        _require_refusal(rule, Scores(many.image[few]), Lots(numbers[few]))


CHECKS: tuple[Callable[[Make], None], ...] = (
    check_constructor_stores,
    check_calibrate_copies,
    check_decide_is_pure,
    check_monotone,
    check_review,
    check_mask_agrees_with_label,
    check_decision_says_what_it_is,
    check_config_round_trip,
    check_statement_mentions_n,
    check_no_images,
    check_too_few_images,
    check_p_value_range,
    check_p_values_uniform,
    check_false_alarms,
    check_lots,
)


def _require_too_few(rule: Rule, n: int) -> None:
    try:
        rule.calibrate(_draw(n))
    except CalibrationError:
        return
    raise AssertionError(f"{n} images are accepted; it must raise CalibrationError")


def _require_refusal(rule: Rule, normal: Scores, lots: Lots) -> None:
    try:
        rule.calibrate(normal, lots)
    except CalibrationError:
        return
    raise AssertionError(f"{lots.count} lots are accepted for parts of new lots; it must raise CalibrationError")


def _require_rate(found: NDArray[np.bool_], alpha: float, n: int, what: str) -> None:
    allowed = stats.binom.isf(LEVEL, len(found), alpha)
    require(
        found.sum() <= allowed,
        f"{found.sum()} {what} of {len(found)} with n = {n}; alpha = {alpha:g} allows {allowed:g}",
    )


def _require_p_values(rule: Rule, p_value: NDArray[np.float64]) -> None:
    """A rule whose scores tell no rates has none at all, and the check does not apply to it; any other has them."""
    missing = np.isnan(p_value)
    require(bool((missing != rule.tells_rates).all()), "p-values are missing, or there are some where none may be")
    if not rule.tells_rates:
        raise unittest.SkipTest(f"{rule.name} has no p-values")


def _require_promise(rule: Rule) -> float:
    if rule.alpha is None:
        raise unittest.SkipTest(f"{rule.name} promises no false-alarm rate")
    return rule.alpha


def _least(rule: Rule) -> int:
    """The smallest number of images that the rule accepts."""
    for n in range(1, MOST):
        with contextlib.suppress(CalibrationError):
            rule.check(n)
            return n
    raise AssertionError(f"{rule.name} accepts no number of images up to {MOST}; give the check an easier promise")


def _draw(n: int) -> Scores:
    return Scores(np.random.default_rng(1).random(n, np.float32))


def _enough(rule: Rule) -> Scores:
    return _draw(2 * _least(rule) + 1)


def _calibrated(make_rule: Make) -> Rule:
    return make_rule().calibrate(_enough(make_rule()))


def _maps(count: int) -> Scores:
    """Score maps of which about half alarm, with one peak per image."""
    draws = np.random.default_rng(2)
    score_map = draws.random((count, 5, 7)) * 0.1
    score_map[:, 2, 3] = np.linspace(-0.5, 1.5, count)
    return Scores.of_map(score_map)


class _Judged(NamedTuple):
    """What new normal images were called, (number of rules that accepted their calibration scores,) each."""

    label: NDArray[np.bool_]
    review: NDArray[np.bool_]
    p_value: NDArray[np.float64]


def _judge(make_rule: Make, n: int, draws: np.random.Generator, *, ties: bool) -> _Judged:
    """One new normal image under each of up to `REPEATS` rules, each calibrated on n normal images."""
    repeats = min(REPEATS, SCORES // n)
    scores = draws.random((repeats, n + 1))
    if ties:
        scores = np.floor(scores * 8) / 8
    rule, decisions = make_rule(), []
    for row in scores:
        with contextlib.suppress(CalibrationError):
            decisions.append(rule.calibrate(Scores(row[:-1])).decide(Scores(row[-1:])))
    require(ties or len(decisions) > 0.8 * repeats, f"{repeats - len(decisions)} of {repeats} sets of scores refused")
    return _Judged(
        np.array([d.label[0] for d in decisions], bool),
        np.array([d.review[0] for d in decisions], bool),
        np.array([d.p_value[0] for d in decisions], float),
    )


def _same(one: Decision, other: Decision) -> bool:
    masks = one.mask is other.mask or np.array_equal(np.array(one.mask), np.array(other.mask))
    fields = ("label", "review", "p_value")
    return masks and all(np.array_equal(getattr(one, field), getattr(other, field), equal_nan=True) for field in fields)
