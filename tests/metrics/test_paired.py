"""Paired tests against scipy, and against what they promise under no difference."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from amiss.core.errors import InputError
from amiss.metrics import estimate_auroc, mcnemar, paired_difference, units_of
from amiss.metrics.paired import difference_interval


@settings(max_examples=100, deadline=None, derandomize=True)
@given(*(st.integers(0, 12) for _ in range(4)))
def test_mcnemar_is_a_binomial_test(both, first, second, neither):
    a = np.repeat([True, True, False, False], [both, first, second, neither])
    b = np.repeat([True, False, True, False], [both, first, second, neither])
    agreement = mcnemar(a, b)
    assert (agreement.both, agreement.only_first, agreement.only_second, agreement.neither) == (
        both,
        first,
        second,
        neither,
    )
    wanted = stats.binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
    assert agreement.p_value == pytest.approx(wanted)
    assert agreement.n == len(a) and mcnemar(b, a).p_value == agreement.p_value


def test_mcnemar_checks_its_images():
    with pytest.raises(InputError, match="same images"):
        mcnemar([1, 0], [1])
    with pytest.raises(InputError):
        mcnemar([1, 2], [1, 0])
    assert mcnemar([], []).p_value == 1.0
    json.dumps(mcnemar([1], [0]).summary(), allow_nan=False)


def two_detectors(seed, n=60, gain=0.0):
    """Scores that share most of what varies, as those of two detectors on the same images do."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([True, False], n)
    common = rng.normal(size=2 * n) + labels
    return labels, common + 0.5 * rng.normal(size=2 * n) + gain * labels, common + 0.5 * rng.normal(size=2 * n)


def difference(labels, first, second, unit=None):
    units = units_of(labels, unit)
    return paired_difference(estimate_auroc(units, first), estimate_auroc(units, second))


def test_without_a_difference_the_p_value_is_as_often_small_as_it_says():
    found = [difference(*two_detectors(seed)) for seed in range(120)]
    assert np.mean([one.p_value <= 0.05 for one in found]) <= 0.11  # 0.05 with a spread of 0.02
    assert np.mean([one.interval[0] <= 0 <= one.interval[1] for one in found]) > 0.89


def test_a_difference_is_found_and_pairing_helps():
    labels, first, second = two_detectors(1, gain=0.8)
    found = difference(labels, first, second)
    assert found.difference > 0 and found.p_value <= 0.02 and found.interval[0] > 0
    swapped = difference(labels, second, first)
    assert swapped.difference == -found.difference and swapped.p_value == found.p_value
    assert swapped.interval == pytest.approx((-found.interval[1], -found.interval[0]))
    shuffled = second[np.r_[np.random.default_rng(0).permutation(60), 60 + np.random.default_rng(1).permutation(60)]]
    assert np.diff(difference(labels, first, shuffled).interval) > np.diff(found.interval)


def test_far_from_the_ends_it_is_delongs_test_of_two_correlated_areas():
    """Many images, so that priors and t quantiles do not matter: A - B +- 1.96 s, written out over pairs of images."""
    labels, first, second = two_detectors(3, n=400)
    found = difference(labels, first, second)
    placements = []
    for scores in (first, second):
        bad, good = scores[labels], scores[~labels]
        wins = (bad[:, None] > good[None]) + 0.5 * (bad[:, None] == good[None])
        placements.append((wins.mean(axis=1), wins.mean(axis=0)))
    spread = math.sqrt(sum((a - b).var(ddof=1) / 400 for a, b in zip(*placements, strict=True)))
    assert np.diff(found.interval)[0] == pytest.approx(2 * 1.96 * spread, rel=0.12)
    z = found.difference / spread
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(z)), abs=0.06)


def test_the_interval_of_confidence_1_minus_p_ends_at_0():
    labels, first, second = two_detectors(4, gain=0.4)
    units = units_of(labels)
    estimates = estimate_auroc(units, first), estimate_auroc(units, second)
    ends = difference_interval(*estimates, 1 - paired_difference(*estimates).p_value)
    assert min(abs(end) for end in ends) < 1e-6


def test_two_perfect_detectors_are_not_shown_to_be_equal():
    labels = np.repeat([True, False], 20)
    found = difference(labels, np.arange(40.0)[::-1], np.r_[np.arange(20.0) + 50, np.arange(20)])
    assert (found.difference, found.p_value) == (0.0, 1.0)
    assert found.interval[0] == pytest.approx(-found.interval[1]) and 0.05 < found.interval[1] < 0.3


def test_images_of_one_part_say_little_more_than_one_of_them():
    labels, first, second = two_detectors(5, n=20)
    once = difference(labels, first, second)
    four = difference(*(np.repeat(one, 4) for one in (labels, first, second)), np.repeat(np.arange(40), 4))
    apart = difference(*(np.repeat(one, 4) for one in (labels, first, second)))
    assert four.difference == pytest.approx(once.difference) and four.interval == pytest.approx(once.interval, abs=0.01)
    assert np.diff(apart.interval) < 0.7 * np.diff(once.interval)


def test_undefined_values_are_null():
    nothing = difference(np.ones(5, bool), np.arange(5.0), np.arange(5.0))
    assert math.isnan(nothing.p_value) and math.isnan(nothing.difference)
    assert set(nothing.summary().values()) == {None}
    json.dumps(nothing.summary(), allow_nan=False)
    with pytest.raises(InputError, match="the same images"):
        paired_difference(*(estimate_auroc(units_of(one), np.arange(3.0)) for one in ([0, 1, 1], [0, 0, 1])))


@pytest.mark.parametrize("seed", range(4))
def test_with_a_lot_for_each_part_the_test_over_lots_is_mcnemars(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, 40)) < 0.7
    assert mcnemar(a, b, np.arange(40)).p_value == pytest.approx(mcnemar(a, b).p_value)
    lots = rng.integers(0, 7, 40)
    found = mcnemar(a, b, lots)
    moved = np.bincount(lots, a.astype(int) - b, minlength=7)
    signs = np.array(list(itertools.product((-1, 1), repeat=7)))
    assert found.p_value == pytest.approx((np.abs(signs @ moved) >= abs(moved.sum()) - 1e-9).mean())
    assert sum(n for _, _, n in found.lots) == 40 and found.summary()["n_lots"] == len(set(lots.tolist()))
    with pytest.raises(InputError, match="one lot per image"):
        mcnemar(a, b, lots[:3])


def test_the_tests_of_verdicts_err_as_stated() -> None:
    """Over parts at most 5 % where neither is better; over lots too, where McNemar's test errs far more often."""
    rng = np.random.default_rng(5)
    lots, small = np.repeat(np.arange(12), 20), np.zeros(3)
    for _ in range(300):
        a, b = rng.random((2, 60)) < 0.8
        first = np.repeat(rng.random(12) < 0.5, 20)  # in each lot one of the two is better
        one, other = rng.random(240) < np.where(first, 0.95, 0.7), rng.random(240) < np.where(first, 0.7, 0.95)
        found = (mcnemar(a, b), mcnemar(one, other, lots), mcnemar(one, other))
        small += [agreement.p_value <= 0.05 for agreement in found]
    assert small[0] <= 0.07 * 300 and small[1] <= 0.07 * 300 and small[2] > 0.2 * 300
