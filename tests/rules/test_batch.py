"""Benjamini-Hochberg: against the definition and scipy, its promise with conformal p-values, and its warning."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from amiss.core.errors import InputError
from amiss.core.scores import Scores
from amiss.rules import Conformal, benjamini_hochberg

P_VALUES = st.lists(st.sampled_from([k / 20 for k in range(1, 21)]) | st.floats(0, 1), max_size=40)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(P_VALUES, st.sampled_from([0.05, 0.1, 0.3, 0.9]))
def test_by_definition_and_as_scipy_does(p_values, rate):
    decision = benjamini_hochberg(p_values, rate)
    ordered, m = sorted(p_values), len(p_values)
    passed = [p for k, p in enumerate(ordered, start=1) if p * m <= k * rate * (1 + 1e-9)]
    limit = max(passed, default=-1.0)
    assert decision.rejected.tolist() == [p <= limit for p in p_values]
    assert decision.threshold == max(limit, 0)
    if p_values:
        assert decision.adjusted == pytest.approx(stats.false_discovery_control(p_values), abs=1e-12)


@pytest.mark.parametrize(("n", "good", "bad", "rate"), [(199, 40, 10, 0.1), (400, 30, 30, 0.2), (99, 20, 20, 0.1)])
def test_the_false_discovery_rate_holds_with_one_calibration_set_for_all_parts(n, good, bad, rate):
    draws, shares, found = np.random.default_rng(n), [], 0
    for _ in range(1500):
        rule = Conformal(0.1).calibrate(Scores(draws.normal(size=n)))
        scores = np.concatenate([draws.normal(size=good), draws.normal(3, 1, size=bad)])
        rejected = benjamini_hochberg(rule.p_value(scores), rate, n=n).rejected
        shares.append(rejected[:good].sum() / max(1, rejected.sum()))
        found += rejected[good:].sum()
    allowed = rate * good / (good + bad)
    assert np.mean(shares) <= allowed + 4 * np.std(shares) / 1500**0.5
    assert np.mean(shares) >= 0.5 * allowed and found > 0.3 * 1500 * bad  # and it is not held by finding nothing


def test_a_batch_of_good_parts_only_is_left_alone_but_for_the_stated_share():
    draws, alarms = np.random.default_rng(5), 0
    for _ in range(2000):
        rule = Conformal(0.1).calibrate(Scores(draws.random(499)))
        alarms += benjamini_hochberg(rule.p_value(draws.random(25)), 0.1).rejected.any()
    assert alarms <= stats.binom.isf(1e-4, 2000, 0.1)


def test_images_in_error_are_not_judged_and_not_good():
    p_values = np.array([0.01, np.nan, 0.2, np.nan, 0.03])
    decision = benjamini_hochberg(p_values, 0.05)
    alone = benjamini_hochberg(p_values[~np.isnan(p_values)], 0.05)
    assert decision.error.tolist() == [False, True, False, True, False] and decision.judged == 3
    assert decision.rejected.tolist() == [True, False, False, False, True]
    assert np.isnan(decision.adjusted[decision.error]).all()
    assert decision.adjusted[~decision.error].tolist() == alone.adjusted.tolist()
    nothing = benjamini_hochberg([np.nan], 0.05, n=5)
    assert nothing.judged == 0 and not nothing.rejected.any() and nothing.warning == ""


@pytest.mark.parametrize("n", [9, 18, 19, 20, 50, 99, 199, 500])
@pytest.mark.parametrize("m", [1, 5, 10, 30])
@pytest.mark.parametrize("rate", [0.05, 0.1])
def test_the_warning_says_how_many_must_be_anomalous_before_any_is_found(n, m, rate):
    smallest = 1 / (n + 1)
    possible = [r for r in range(1, m + 1) if benjamini_hochberg([smallest] * r + [1.0] * (m - r), rate).rejected.any()]
    warning = benjamini_hochberg([1.0] * m, rate, n=n).warning
    if not possible:
        assert f"none of {m} parts can be called anomalous" in warning
    elif possible[0] == 1:
        assert warning == ""
    else:
        assert f"fewer than {possible[0]} anomalous parts among {m}" in warning
    if warning:
        single = int(warning.split(" images would find a single one")[0].split()[-1])
        assert benjamini_hochberg([1.0] * m, rate, n=single).warning == ""
        assert benjamini_hochberg([1.0] * m, rate, n=single - 1).warning != ""


@pytest.mark.parametrize(
    ("p_values", "rate", "n"),
    [([[0.1]], 0.1, None), ([1.5], 0.1, None), ([-0.1], 0.1, None), ([0.5], 0, None), ([0.5], 0.1, 0)],
)
def test_bad_input(p_values, rate, n):
    with pytest.raises(InputError, match=r"must be .*, got"):
        benjamini_hochberg(p_values, rate, n=n)
