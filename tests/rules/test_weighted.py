"""Weighted calibration scores: p-values, threshold and bound against their definitions in plain NumPy."""

import numpy as np
import pytest

from amiss.core.errors import CalibrationError, InputError
from amiss.core.lots import THESE_LOTS, Lots
from amiss.core.scores import Scores
from amiss.rules import RULES, Certified, Conformal, Sigma
from amiss.rules.lots import rate_bound, weighted_bound
from amiss.rules.ranks import false_alarm_bound
from amiss.rules.trade import trade


def calibrated(n=200, alpha=0.05, seed=0, decimals=8):
    rng = np.random.default_rng(seed)
    rule = Conformal(alpha).calibrate(Scores(rng.normal(size=n).round(decimals)))
    return rule, rng.uniform(0.4, 1.4, n)


@pytest.mark.parametrize("decimals", [8, 1])
def test_p_values_are_shares_of_weight_with_the_next_part_among_them(decimals):
    rule, weights = calibrated(decimals=decimals)
    weighted = rule.weighted(weights)
    for score in (-9.0, -0.5, 0.3, float(rule.normal[-3]), 9.0):
        as_high = weights[rule.normal >= np.float32(score)].sum()
        assert float(weighted.p_value(np.float32(score))) == pytest.approx((1 + as_high) / (1 + weights.sum()))
    assert "No p-value is below " in weighted.p_value_words()


@pytest.mark.parametrize("decimals", [8, 1])
def test_the_threshold_is_the_lowest_score_whose_successor_has_a_p_value_of_at_most_alpha(decimals):
    rule, weights = calibrated(decimals=decimals)
    weighted = rule.weighted(weights)
    kept = [s for s in rule.normal if (1 + weights[rule.normal > s].sum()) / (1 + weights.sum()) <= 0.05]
    assert weighted.threshold == min(kept)
    above = weighted.decide(Scores(rule.normal + np.float32(0.0))).label
    assert above.tolist() == (rule.normal > np.float32(min(kept))).tolist()
    assert rule.weights is None and rule.threshold == calibrated(decimals=decimals)[0].threshold


def test_equal_weights_of_1_change_nothing():
    rule, _ = calibrated(n=99)
    same = rule.weighted(np.ones(99))
    scores = np.linspace(-3, 3, 50)
    assert same.threshold == rule.threshold and same.worth == 99
    np.testing.assert_allclose(same.p_value(scores), rule.p_value(scores))
    assert weighted_bound(np.ones(99), 4) == pytest.approx(false_alarm_bound(5, 99), abs=0.004)


def test_parts_that_are_likelier_now_pull_the_threshold_their_way():
    rule, _ = calibrated()
    high, low = np.where(rule.normal > 0, 1.4, 0.7), np.where(rule.normal > 0, 0.7, 1.4)
    assert rule.weighted(high).threshold >= rule.threshold > rule.weighted(low).threshold


def test_the_statement_says_what_it_rests_on():
    rule, weights = calibrated()
    words = rule.weighted(weights).statement()
    worth = weights.sum() ** 2 / (weights**2).sum()
    assert f"n = 200 good images, weighted to look like the recent ones and then worth {worth:.0f}" in words
    assert "if a good part scores as ever under the same light" in words and "5 %" in words


def test_other_alphas_are_weighted_too():
    rule, weights = calibrated(n=400)
    weighted = rule.weighted(weights)
    rows = trade(weighted)
    assert [row.alpha for row in rows if row.in_use] == [0.05] and len(rows) >= 2
    for row in rows:
        assert row.threshold == Conformal(row.alpha).calibrate(Scores(rule.normal)).weighted(weights).threshold
        assert row.bound == rate_bound(row.rule, row.rule.rank - 1) > row.alpha


def test_too_little_weight_is_refused_in_numbers():
    rule, _ = calibrated(n=60)
    few = np.full(60, 1e-3)
    few[:5] = 1.0
    with pytest.raises(CalibrationError, match=r"n = 60 good images count as 2, and alpha = 5 % needs 19"):
        rule.weighted(few)
    with pytest.raises(CalibrationError, match="count as 6, and"):
        rule.weighted(np.full(60, 0.1))


@pytest.mark.parametrize("weights", [np.ones(59), np.zeros(60), np.full(60, np.nan), np.ones((60, 1)), -np.ones(60)])
def test_weights_are_numbers_above_0(weights):
    with pytest.raises(InputError, match="must be 60 numbers above 0"):
        calibrated(n=60)[0].weighted(weights)


def test_rules_that_count_all_alike_and_new_lots_are_refused():
    scores = Scores(np.random.default_rng(1).normal(size=400))
    for rule in (Certified(0.05), Sigma(3)):
        with pytest.raises(CalibrationError, match="counts all good images alike"):
            rule.calibrate(scores).weighted(np.ones(400))
    lots = np.repeat(np.arange(40), 10)
    with pytest.raises(CalibrationError, match="cannot speak for new lots"):
        Conformal(0.05).calibrate(scores, Lots(lots)).weighted(np.ones(400))
    these = Conformal(0.05).calibrate(scores, Lots(lots, THESE_LOTS))
    assert these.weighted(np.ones(400)).threshold == these.threshold
    assert {name for name, rule in RULES.items() if rule.weighted is not Certified.weighted} == {"conformal"}
