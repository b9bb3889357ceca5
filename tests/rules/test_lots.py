"""Rules with the lot as unit: by definition, against simulated Dirichlet weights, and kept for parts of new lots."""

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from amiss.core.errors import CalibrationError, InputError
from amiss.core.lots import Lots
from amiss.core.scores import Scores
from amiss.rules import Bootstrap, Certified, Conformal, Fixed, Quantile, Sigma, Tail, Triage
from amiss.rules.lots import chance_above, new_lots_bound, one_of_each, rate_bound
from amiss.rules.ranks import false_alarm_bound

LOTS = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=5), min_size=9, max_size=14)


def calibrated(rule, lots, future="new-lots"):
    """From one list of scores per lot."""
    numbers = np.concatenate([np.full(len(lot), number) for number, lot in enumerate(lots)])
    return rule.calibrate(Scores(np.concatenate([np.asarray(lot, float) for lot in lots])), Lots(numbers, future))


def p_value_by_definition(lots, score):
    return (1 + sum(Fraction(sum(bool(s >= score) for s in lot), len(lot)) for lot in lots)) / Fraction(len(lots) + 1)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(LOTS, st.sampled_from([0.1, 0.15, 0.3, 0.5]))
def test_conformal_alarms_exactly_when_the_p_value_over_lots_is_at_most_alpha(lots, alpha):
    rule = calibrated(Conformal(alpha), lots)
    candidates = np.arange(-1, 8, 0.5)
    decision = rule.decide(Scores(candidates))
    for score, label, p_value in zip(candidates, decision.label, decision.p_value, strict=True):
        exact = p_value_by_definition(lots, score)
        assert p_value == pytest.approx(float(exact), abs=1e-12)
        assert label == (exact <= Fraction(alpha) + Fraction(1, 10**9)), (score, exact)
    assert rule.units == len(lots) and rule.n == sum(map(len, lots))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(LOTS, st.sampled_from([(0.3, 0.9), (0.4, 0.8)]))
def test_certified_takes_the_largest_rank_that_keeps_the_promise(lots, asked):
    alpha, confidence = asked
    rule = calibrated(Certified(alpha, confidence), lots)
    doubts = [chance_above(rule.top(rank - 1), alpha) for rank in range(1, rule.n + 1)]
    assert rule.rank == max(rank for rank, doubt in enumerate(doubts, 1) if doubt <= 1 - confidence + 1e-9)
    assert doubts == sorted(doubts)
    above = [np.mean(np.asarray(lot) > rule.threshold) for lot in lots]
    assert np.all(rule.top(rule.rank - 1) >= np.array(above) - 1e-12)  # ties are counted as alarms


@pytest.mark.parametrize(("count", "lots"), [(0, 1), (0, 59), (1, 20), (5, 30), (20, 20)])
def test_with_whole_lots_above_the_bound_is_that_of_clopper_and_pearson(count, lots):
    shares = np.repeat([1.0, 0.0], [count, lots - count])
    wanted = stats.beta.ppf(0.95, count + 1, lots - count) if count < lots else 1.0
    assert new_lots_bound(shares) == pytest.approx(wanted, abs=1e-7)
    for rate in (0.02, 0.3):
        exact = stats.beta.sf(rate, count + 1, lots - count) if count < lots else 1.0
        assert chance_above(shares, rate) == pytest.approx(exact, abs=1e-12)
        nearly = np.clip(shares, 1e-9, 1 - 1e-9)
        assert chance_above(nearly, rate) == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("lots", [1, 2, 7, 40])
def test_the_chance_is_that_of_dirichlet_weights(lots):
    rng = np.random.default_rng(lots)
    shares = np.round(rng.beta(0.3, 4, lots), 2)
    weights = rng.dirichlet(np.ones(lots + 1), 100_000)
    rates = weights[:, :-1] @ shares + weights[:, -1]
    for rate in np.quantile(rates, [0.05, 0.5, 0.95]):
        assert chance_above(shares, rate) == pytest.approx((rates > rate).mean(), abs=0.007)
    assert chance_above(shares, new_lots_bound(shares, 0.9)) == pytest.approx(0.1, abs=1e-6)


@pytest.mark.parametrize(
    "rule",
    [Conformal(0.05), Certified(0.1, 0.9), Quantile(0.9), Triage(0.2, 0.05), Triage(0.2, 0.1, 0.8), Sigma(2), Fixed(1)],
    ids=lambda rule: rule.name,
)
def test_lots_of_one_part_each_are_parts(rule):
    normal = Scores(np.random.default_rng(3).normal(size=70))
    parts, lots = rule.calibrate(normal), rule.calibrate(normal, Lots(np.arange(70)))
    assert lots.threshold == pytest.approx(parts.threshold) and lots.review_threshold == parts.review_threshold
    assert lots.alpha == parts.alpha
    scores = np.linspace(-3, 3, 41)
    assert np.allclose(lots.p_value(scores), parts.p_value(scores))
    text = lots.statement().replace(" of new lots", "").replace(" of 70 lots", "").replace("at most 11", "11")
    assert re.sub(r"needs (\d+) lots", r"needs n = \1", text) == parts.statement() or rule.name == "quantile"


@pytest.mark.parametrize(("size", "between"), [(1, 1.0), (8, 1.0), (8, 0.4), (8, 0.0)])
def test_the_promises_hold_for_parts_of_new_lots(size, between):
    """800 calibrations; where lots are all that differs the rates are known exactly."""
    rng, conformal, certified, bounds = np.random.default_rng(size), [], [], 0
    for _ in range(800):
        lot, part = rng.normal(size=(11, 1)), rng.normal(size=(11, size))
        lots = np.sqrt(between) * lot + np.sqrt(1 - between) * part
        rule = calibrated(Conformal(0.1), lots)
        conformal.append(stats.norm.sf(rule.threshold))
        certified.append(stats.norm.sf(calibrated(Certified(0.2, 0.9), lots).threshold))
        bounds += chance_above(rule.top(rule.rank - 1), conformal[-1]) < 0.05
    error = 4 * np.std(conformal) / np.sqrt(800)
    assert np.mean(conformal) <= 0.1 + error
    kept = np.mean(np.array(certified) <= 0.2)
    assert kept >= 0.9 - 4 * np.sqrt(0.09 / 800)
    assert bounds / 800 <= 0.05 + 4 * np.sqrt(0.0475 / 800)
    if between == 1:
        assert np.mean(conformal) == pytest.approx(1 / 12, abs=error)  # rank 1 of 11: 1 / 12
        assert kept == pytest.approx(1 - 0.8**11, abs=0.03)


def test_for_further_parts_of_these_lots_parts_count():
    lots = np.random.default_rng(0).normal(size=(3, 20))
    rule = calibrated(Conformal(0.05), lots, "these-lots")
    alone = Conformal(0.05).calibrate(Scores(lots.ravel()))
    assert rule.threshold == alone.threshold and rule.units == 60 and not rule.by_lot
    assert rule.p_value(lots).tolist() == alone.p_value(lots).tolist() and "new lots" not in rule.statement()


@pytest.mark.parametrize(
    ("rule", "lots", "words"),
    [
        (Conformal(0.05), 18, r"5 % needs 19 lots of good calibration images, got 18: 1 more"),
        (Conformal(), 1, r"10 % needs 9 lots .* One lot says nothing .* further parts of this lot only"),
        (Certified(0.05), 58, r"needs 59 lots .* n = 116 parts count"),
        (Triage(0.2, 0.05), 10, r"triage: got 10 lots .* needs 19: 9 more"),
        (Sigma(3), 7, r"sigma: 8 lots"),
        (Tail(0.01), 299, r"tail: alpha = 1 % needs 300 lots"),
        (Quantile(0.9), 8, r"quantile: .* needs 9 lots"),
        (Bootstrap(0.1), 30, r"bootstrap: this rule counts parts and promises nothing for new lots, got 30"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_too_few_lots_are_refused_in_words(rule, lots, words):
    scores = np.random.default_rng(0).normal(size=(lots, 2))
    with pytest.raises(CalibrationError, match=words):
        calibrated(rule, scores)
    assert calibrated(Fixed(1.0), scores).statement().startswith("fixed threshold 1: no false-alarm rate is promised")


def test_lots_are_checked():
    with pytest.raises(InputError, match="future must be"):
        Lots(np.arange(3), "next")
    with pytest.raises(InputError, match="without gaps"):
        Lots(np.array([0, 2]))
    with pytest.raises(InputError, match="one whole number per score"):
        Lots(np.array([0.0, 1.0]))
    with pytest.raises(InputError, match="one lot per score, got 3 for 4"):
        Conformal(0.5).calibrate(Scores(np.arange(4)), Lots(np.arange(3)))


def test_one_lot_bounds_next_to_nothing():
    rule = calibrated(Fixed(10.0), [np.arange(9)])
    assert rate_bound(rule, 0) == pytest.approx(0.95) and "of 1 lot lie" in rule.statement()
    alone = Fixed(10.0).calibrate(Scores(np.arange(9)))
    assert rate_bound(alone, 0) == pytest.approx(false_alarm_bound(1, 9))


def test_tail_and_sigma_use_independent_scores():
    rng = np.random.default_rng(5)
    lots = rng.normal(size=(320, 1)) + 0.1 * rng.normal(size=(320, 3))
    rule = calibrated(Tail(0.01), lots)
    drawn = one_of_each(rule)
    assert len(drawn) == 320 and np.all(np.diff(drawn) >= 0) and set(drawn) <= set(lots.astype(np.float32).ravel())
    home = {float(np.float32(score)): lot for lot, scores in enumerate(lots) for score in scores}
    assert sorted(home[float(score)] for score in drawn) == list(range(320))
    assert rule.threshold == Tail(0.01).calibrate(Scores(drawn)).threshold
    assert "n = 960 good images of 320 lots, one image of each" in rule.statement()

    few = calibrated(Sigma(3), lots[:12])
    mean, deviation = lots[:12].mean(), np.sqrt(lots[:12].mean(axis=1).var(ddof=1) + 2 / 3 * 0.01)
    assert few.threshold == pytest.approx(mean + 3 * deviation, rel=0.03)
    assert few.nominal == pytest.approx(stats.t.sf(3 / np.sqrt(1 + 1 / 12), 11), rel=0.05)  # lots decide
