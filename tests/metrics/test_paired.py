"""Paired tests against scipy, and against what they promise under no difference."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from amiss.core.errors import InputError
from amiss.metrics import auroc, mcnemar, paired_difference
from amiss.metrics.resample import draw


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


def difference(labels, first, second, seed=0, resamples=200):
    weights = draw(labels, seed=seed, resamples=resamples)
    resampled = [np.array([auroc(labels.repeat(w), one.repeat(w)) for w in weights]) for one in (first, second)]
    return paired_difference(auroc(labels, first), auroc(labels, second), *resampled)


def test_without_a_difference_the_p_value_is_as_often_small_as_it_says():
    found = [difference(*two_detectors(seed), seed=seed) for seed in range(150)]
    assert 0.01 <= np.mean([one.p_value <= 0.05 for one in found]) <= 0.11  # 0.05 with a spread of 0.018
    assert np.mean([one.interval[0] <= 0 <= one.interval[1] for one in found]) > 0.88


def test_a_difference_is_found_and_pairing_helps():
    labels, first, second = two_detectors(1, gain=0.8)
    found = difference(labels, first, second)
    assert found.difference > 0 and found.p_value <= 0.02 and found.interval[0] > 0
    swapped = difference(labels, second, first)
    assert swapped.difference == -found.difference and swapped.p_value == found.p_value
    assert swapped.interval == pytest.approx((-found.interval[1], -found.interval[0]))
    unpaired = difference(labels, first, first[np.r_[np.random.default_rng(0).permutation(60), 60:120]])
    assert np.diff(unpaired.interval) > 0


def test_a_detector_does_not_differ_from_itself():
    labels, first, _ = two_detectors(2)
    same = difference(labels, first, first)
    assert (same.difference, same.p_value, same.interval) == (0.0, 1.0, (0.0, 0.0))


def test_undefined_values_are_null():
    nothing = paired_difference(math.nan, 0.5, np.full(5, np.nan), np.full(5, 0.5))
    assert math.isnan(nothing.p_value) and math.isnan(nothing.difference)
    assert set(nothing.summary().values()) == {None, 0.5}
    json.dumps(nothing.summary(), allow_nan=False)
    with pytest.raises(InputError, match="must have the same resamples"):
        paired_difference(0.5, 0.5, np.zeros(4), np.zeros(5))
