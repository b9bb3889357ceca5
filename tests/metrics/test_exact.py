"""Intervals from the distribution of counts and order statistics: against drawing them, and what they promise."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from amiss.metrics import f1_interval, fpr_at_tpr_interval, units_of
from amiss.metrics.exact import quantile_interval


@pytest.mark.parametrize(("found", "bad", "alarms", "good"), [(18, 20, 2, 40), (5, 30, 7, 10), (40, 80, 1, 20)])
def test_f1_is_that_of_drawing_both_rates(found, bad, alarms, good):
    rng = np.random.default_rng(0)
    recall, false = rng.beta(found + 0.5, bad - found + 0.5, 10**5), rng.beta(alarms + 0.5, good - alarms + 0.5, 10**5)
    drawn = 2 * bad * recall / (bad * recall + good * false + bad)
    assert f1_interval(found, bad, alarms, good) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.004)


@pytest.mark.parametrize(
    ("bad", "good", "recall", "false"), [(10, 20, 0.9, 0.05), (20, 20, 0.99, 0.01), (25, 10, 0.6, 0.2)]
)
def test_f1_covers_the_truth(bad, good, recall, false):
    """No simulation: every pair of counts with its probability."""
    truth, held = 2 * bad * recall / (bad * recall + good * false + bad), 0.0
    for found, alarms in itertools.product(range(bad + 1), range(good + 1)):
        chance = stats.binom.pmf(found, bad, recall) * stats.binom.pmf(alarms, good, false)
        if chance > 1e-4:
            low, high = f1_interval(found, bad, alarms, good)
            held += chance * (low <= truth <= high)
    assert held > 0.935


def test_f1_at_the_ends():
    assert f1_interval(20, 20, 0, 40)[1] == pytest.approx(1.0) and 0.85 < f1_interval(20, 20, 0, 40)[0] < 0.95
    assert f1_interval(0, 20, 2, 40)[0] == pytest.approx(0.0, abs=1e-9) and f1_interval(0, 20, 2, 40)[1] < 0.25
    assert all(math.isnan(end) for end in f1_interval(0, 0, 1, 5))
    assert f1_interval(5, 5, 0, 0)[1] == pytest.approx(1.0)


def test_false_alarms_at_a_recall_with_infinitely_many_good_images_is_an_interval_of_the_quantile():
    """The rate at each score is then known, and only the place of the 5 % quantile is not: order statistics."""
    bad = np.random.default_rng(1).normal(2, 1, 200)
    good = stats.norm.ppf((np.arange(40_000) + 0.5) / 40_000)
    low, high = fpr_at_tpr_interval(units_of(np.repeat([1, 0], [200, 40_000])), np.concatenate([bad, good]))
    places = stats.binom(200, 0.05).ppf([0.025, 0.975]).astype(int)
    ends = stats.norm.sf(np.sort(bad)[[places[1], places[0]]])
    assert (low, high) == pytest.approx(tuple(ends), abs=0.06)


def test_few_defects_do_not_bound_the_false_alarms_at_a_recall():
    rng = np.random.default_rng(2)
    for bad, bounded in ((40, False), (100, True)):
        scores = np.concatenate([rng.normal(6, 1, bad), rng.normal(size=50)])
        low, high = fpr_at_tpr_interval(units_of(np.repeat([1, 0], [bad, 50])), scores)
        assert low == pytest.approx(0, abs=1e-6) and (high < 0.2) == bounded


def test_false_alarms_at_a_recall_cover_the_truth():
    truth = stats.norm.sf(2 + stats.norm.ppf(0.05))
    rng, units = np.random.default_rng(3), units_of(np.repeat([1, 0], [60, 60]))
    ends = [fpr_at_tpr_interval(units, np.concatenate([rng.normal(2, 1, 60), rng.normal(size=60)])) for _ in range(100)]
    assert np.mean([low <= truth <= high for low, high in ends]) > 0.92
    assert all(math.isnan(end) for end in fpr_at_tpr_interval(units_of([1, 1]), np.arange(2.0)))


def test_parts_with_many_images_count_as_parts():
    rng = np.random.default_rng(4)
    scores, labels = np.concatenate([rng.normal(2, 1, 100), rng.normal(size=100)]), np.repeat([1, 0], 100)
    once = fpr_at_tpr_interval(units_of(labels), scores)
    copies = fpr_at_tpr_interval(units_of(labels.repeat(3), np.arange(200).repeat(3)), scores.repeat(3))
    assert copies == pytest.approx(once, abs=0.03)


def test_quantiles_are_order_statistics():
    values = np.random.default_rng(5).random(30)
    low, high = quantile_interval(values, 0.5, 30)
    ordered = np.sort(values)
    assert low in ordered and high in ordered
    below, above = (ordered <= low).sum(), (ordered < high).sum()
    held = stats.binom.cdf(above, 30, 0.5) - stats.binom.cdf(below - 1, 30, 0.5)
    assert 0.95 <= held < 0.99
    assert quantile_interval(values[:3], 0.33, 3)[0] == 0.0 and quantile_interval(values[:1], 0.5, 1) == (0.0, 1.0)
    assert math.isnan(quantile_interval(values[:0], 0.5, 0)[0])
