"""What happens at one threshold: against scikit-learn, loops, and cases by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from amiss.core.errors import InputError
from amiss.metrics import Rate, at_threshold, clopper_pearson, fpr_at_tpr, seg_f1
from amiss.metrics.threshold import f1_of

bits = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(bits)
def test_outcomes_are_those_of_sklearn(rows):
    labels, alarms = map(np.array, zip(*rows, (True, True), (False, False), strict=True))
    outcomes = at_threshold(labels, alarms)
    assert outcomes.precision.rate == pytest.approx(sk.precision_score(labels, alarms))
    assert outcomes.recall.rate == pytest.approx(sk.recall_score(labels, alarms))
    assert outcomes.specificity.rate == pytest.approx(sk.recall_score(~labels, ~alarms))
    assert outcomes.accuracy.rate == pytest.approx(sk.accuracy_score(labels, alarms))
    assert outcomes.f1 == pytest.approx(sk.f1_score(labels, alarms))
    assert outcomes.n == len(labels)


def test_counts_by_hand():
    outcomes = at_threshold([1, 1, 1, 0, 0, 0, 0], [1, 1, 0, 1, 0, 0, 0])
    assert (outcomes.detections, outcomes.misses, outcomes.false_alarms, outcomes.passes) == (2, 1, 1, 3)
    assert outcomes.precision == Rate(2, 3) and outcomes.accuracy == Rate(5, 7)
    assert outcomes.recall == Rate(2, 3) and outcomes.specificity == Rate(3, 4)
    assert outcomes.precision.interval == clopper_pearson(2, 3)
    assert outcomes.f1 == pytest.approx(2 / 3)


def test_what_is_not_defined_is_nan_and_plain_json():
    only_good = at_threshold([0, 0], [0, 1])
    assert math.isnan(only_good.f1) and math.isnan(only_good.recall.rate) and only_good.precision == Rate(0, 1)
    silent = at_threshold([1, 0], [0, 0])
    assert math.isnan(silent.precision.rate) and silent.f1 == 0.0
    for outcomes in (only_good, silent, at_threshold([], [])):
        json.dumps(outcomes.summary(), allow_nan=False)
    assert only_good.summary()["f1"] is None


@pytest.mark.parametrize(("labels", "alarms"), [([0, 1], [0]), ([0, 2], [0, 1]), ([0, 1], [0, 0.5])])
def test_decisions_are_checked(labels, alarms):
    with pytest.raises(InputError):
        at_threshold(labels, alarms)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(-4, 4), min_size=1, max_size=40),
    st.lists(st.integers(-4, 4), min_size=1, max_size=40),
    st.sampled_from([0.05, 0.5, 0.9, 0.95, 0.99]),
)
def test_fpr_at_tpr_tries_every_threshold(bad, good, tpr):
    bad, good = np.array(bad), np.array(good)
    rates = [np.mean(good >= t) for t in np.unique(bad) if np.sum(bad >= t) >= tpr * len(bad) - 1e-9]
    labels = np.repeat([1, 0], [len(bad), len(good)])
    assert fpr_at_tpr(labels, np.concatenate([bad, good]), tpr) == pytest.approx(min(rates))


@pytest.mark.parametrize("n", [20, 40, 60, 100, 140, 200])
def test_95_percent_of_a_round_number_is_exact(n):
    """0.95 n is whole, and a rounding error in its last bit must not ask for one more."""
    missed = n - round(0.95 * n)
    scores = np.concatenate([np.zeros(missed), np.full(n - missed, 2.0), np.ones(10)])
    assert fpr_at_tpr(np.repeat([1, 1, 0], [missed, n - missed, 10]), scores) == 0.0


def test_fpr_of_one_class_is_nan_and_options_are_checked():
    assert math.isnan(fpr_at_tpr([1, 1], [0.0, 1.0])) and math.isnan(fpr_at_tpr([0], [1.0]))
    for tpr in (0, 1, 95, math.nan):
        with pytest.raises(InputError, match="tpr"):
            fpr_at_tpr([0, 1], [0.0, 1.0], tpr)
    with pytest.raises(InputError, match="not finite"):
        fpr_at_tpr([0, 1], [0.0, math.nan])
    assert fpr_at_tpr([0, 1, 1], [1.0, 1.0, 1.0]) == 1.0


def test_seg_f1_is_that_of_all_pixels_in_one_list():
    rng = np.random.default_rng(0)
    masks = rng.random((5, 8, 9)) < 0.2
    masks[0] = False
    maps = (rng.random((5, 8, 9)) + 0.4 * masks).astype(np.float32)
    for threshold in (0.2, 0.7, 1.1):
        wanted = sk.f1_score(masks.ravel(), maps.ravel() > np.float32(threshold))
        assert seg_f1(masks, maps, threshold) == pytest.approx(wanted)
        assert seg_f1(list(masks), list(maps), threshold) == pytest.approx(wanted)
    assert seg_f1(masks, maps, math.inf) == 0.0
    assert seg_f1(masks, np.ones_like(maps), 1.0) == 0.0  # equal to the threshold is not above it


def test_seg_f1_without_a_marked_pixel_is_nan_and_errors_teach():
    assert math.isnan(seg_f1(np.zeros((2, 3, 3)), np.ones((2, 3, 3)), 0.5))
    assert math.isnan(seg_f1([], [], 0.5))
    with pytest.raises(InputError, match="threshold must be a number, got nan"):
        seg_f1(np.zeros((1, 3, 3)), np.zeros((1, 3, 3)), math.nan)
    with pytest.raises(InputError, match="image 0"):
        seg_f1(np.zeros((1, 3, 3)), np.zeros((1, 3, 4)), 0.5)
    with pytest.raises(InputError, match="not finite"):
        seg_f1(np.zeros((1, 3, 3)), np.full((1, 3, 3), np.nan), 0.5)


def test_f1_of_many_counts_at_once():
    np.testing.assert_allclose(f1_of([3, 0, 0], [1, 2, 0], [0, 4, 0]), [6 / 7, 0.0, np.nan])
