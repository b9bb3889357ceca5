"""Triage: both of its promises, its zone between, and what it says of too few parts."""

import numpy as np
import pytest
from scipy import stats

from amiss.core.errors import CalibrationError, InputError, NotReadyError
from amiss.core.scores import Scores
from amiss.rules import Certified, Conformal, Triage


def fitted(rule, n):
    return rule.calibrate(Scores(np.arange(n, dtype=float)))


@pytest.mark.parametrize("n", [199, 250, 1000])
def test_each_threshold_is_that_of_a_rule_of_its_own(n):
    rule = fitted(Triage(0.05, 0.005), n)
    assert rule.review_threshold == fitted(Conformal(0.05), n).threshold
    assert rule.threshold == fitted(Conformal(0.005), n).threshold
    rule = fitted(Triage(0.05, 0.02, confidence=0.9), n)
    assert rule.review_threshold == fitted(Certified(0.05, 0.9), n).threshold
    assert rule.threshold == fitted(Certified(0.02, 0.9), n).threshold


def test_three_answers():
    rule = fitted(Triage(0.1, 0.02), 99)
    decision = rule.decide(Scores(np.array([0.0, 89.0, 89.5, 97.0, 97.5])))
    assert (rule.review_threshold, rule.threshold) == (89.0, 97.0)
    assert decision.review.tolist() == [False, False, True, True, False]
    assert decision.label.tolist() == [False, False, False, False, True]
    assert decision.alpha == rule.alpha == 0.02 and rule.review_alpha == 0.1


@pytest.mark.parametrize(("n", "ties"), [(99, False), (150, False), (99, True)])
def test_both_rates_hold_on_average(n, ties):
    draws = np.random.default_rng(n).random((4000, n + 1))
    draws = np.floor(draws * 40) / 40 if ties else draws
    decisions = [Triage(0.1, 0.01).calibrate(Scores(row[:-1])).decide(Scores(row[-1:])) for row in draws]
    rejected = sum(decision.label[0] for decision in decisions)
    asked = sum(decision.review[0] for decision in decisions)
    assert rejected <= stats.binom.isf(1e-4, 4000, 0.01)
    assert rejected + asked <= stats.binom.isf(1e-4, 4000, 0.1)
    if not ties:
        assert rejected + asked >= stats.binom.ppf(1e-4, 4000, (n + 1) // 10 / (n + 1))


def test_with_a_confidence_each_rate_holds_for_that_share_of_calibration_sets():
    n, draws = 200, np.random.default_rng(0).random((2000, 200))
    rules = [Triage(0.1, 0.02, 0.9).calibrate(Scores(row)) for row in draws]
    for rates, alpha in (([1 - r.threshold for r in rules], 0.02), ([1 - r.review_threshold for r in rules], 0.1)):
        kept = np.mean(np.array(rates) <= alpha)
        rank = fitted(Certified(alpha, 0.9), n).rank
        exact = stats.beta(rank, n + 1 - rank).cdf(alpha)
        assert exact >= 0.9 and kept == pytest.approx(exact, abs=4.5 * (0.1 * 0.9 / 2000) ** 0.5)


@pytest.mark.parametrize(
    ("confidence", "n", "words"),
    [
        (None, 50, ["50 good", "to reject at most 0.5 % needs 199: 149 more"]),
        (None, 10, ["to accept all but 5 % at once needs 19: 9 more; to reject at most 0.5 % needs 199: 189 more"]),
        (0.95, 60, ["to reject at most 0.5 % needs 598: 538 more"]),
    ],
)
def test_too_few_parts_are_counted_for_each_threshold(confidence, n, words):
    with pytest.raises(CalibrationError) as caught:
        fitted(Triage(0.05, 0.005, confidence), n)
    for word in words:
        assert word in str(caught.value)
    assert ("to accept" in str(caught.value)) == (n < 19)


def test_statements_give_each_rate_with_n_and_a_bound():
    said = fitted(Triage(0.05, 0.01), 199).statement()
    for word in ("5 % of good parts are not accepted", "1 % are rejected", "n = 199 ", "7.76 %", "2.37 %"):
        assert word in said
    assert stats.beta(10, 190).ppf(0.95) == pytest.approx(0.07757, abs=1e-4)
    assert stats.beta(2, 198).ppf(0.95) == pytest.approx(0.02363, abs=1e-4)
    said = fitted(Triage(0.05, 0.01, 0.95), 299).statement()
    assert "95 % confidence" in said and "n = 299 " in said and "exactly 0.997 %" in said


def test_equal_thresholds_are_said_to_ask_nobody():
    rule = fitted(Triage(0.06, 0.05), 19)
    assert rule.threshold == rule.review_threshold and "nothing goes to a person" in rule.statement()
    constant = Triage(0.5, 0.1).calibrate(Scores(np.full(30, 2.0)))
    decision = constant.decide(Scores(np.array([2.0, 3.0])))
    assert decision.label.tolist() == [False, True] and not decision.review.any()


@pytest.mark.parametrize("arguments", [(0.01, 0.05), (0.05, 0.05), (0.05, "auto"), (5, 0.01), (0.05, 0.01, 95)])
def test_arguments_out_of_range(arguments):
    with pytest.raises(InputError, match=r"must be .*, got"):
        Triage(*arguments)


def test_before_calibration():
    rule = Triage(0.1, 0.01)
    assert rule.alpha is None and rule.review_alpha is None
    for ask in (lambda: rule.threshold, lambda: rule.review_threshold, rule.statement):
        with pytest.raises(NotReadyError, match="'triage' is not calibrated"):
            ask()
