"""AUROC, average precision, F1 and the ROC curve against obvious loops, and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from amiss.core.errors import InputError
from amiss.metrics import auroc, average_precision, f1_max, roc_curve

RANKING = [auroc, average_precision, f1_max]


@st.composite
def labelled(draw, both=True):
    """Few distinct scores, so that most are tied, in float32, float64 or whole numbers."""
    few = st.integers(-3, 3)
    labels = draw(st.lists(st.integers(0, 1), min_size=2, max_size=40))
    if both:
        labels += [0, 1]
    scores = draw(st.lists(few, min_size=len(labels), max_size=len(labels)))
    kind = draw(st.sampled_from([np.float32, np.float64, np.int16]))
    return np.array(labels), np.array(scores).astype(kind) * kind(3)


def pairs_won(labels, scores):
    won = [
        1.0 if bad > good else 0.5 if bad == good else 0.0
        for bad in scores[labels == 1]
        for good in scores[labels == 0]
    ]
    return sum(won) / len(won)


def at_threshold(labels, scores, threshold):
    alarm = scores >= threshold
    return sum(alarm & (labels == 1)), sum(alarm & (labels == 0)), sum(labels == 1), sum(labels == 0)


def precision_by_loop(labels, scores):
    area, recall = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        true, false, anomalous, _ = at_threshold(labels, scores, threshold)
        area += (true / anomalous - recall) * true / (true + false)
        recall = true / anomalous
    return area


def f1_by_loop(labels, scores):
    best = 0.0
    for threshold in scores.tolist():
        true, false, anomalous, _ = at_threshold(labels, scores, threshold)
        best = max(best, 2 * true / (2 * true + false + anomalous - true))
    return best


@settings(max_examples=150, deadline=None, derandomize=True)
@given(labelled())
def test_auroc_counts_pairs(data):
    assert auroc(*data) == pytest.approx(pairs_won(*data), abs=1e-12)
    assert auroc(*data) == pytest.approx(sk.roc_auc_score(*data), abs=1e-12)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(labelled())
def test_average_precision_sums_steps(data):
    assert average_precision(*data) == pytest.approx(precision_by_loop(*data), abs=1e-12)
    assert average_precision(*data) == pytest.approx(sk.average_precision_score(*data), abs=1e-12)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(labelled())
def test_f1_is_the_best_of_all_thresholds(data):
    assert f1_max(*data) == pytest.approx(f1_by_loop(*data), abs=1e-12)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(labelled())
def test_roc_curve_has_every_distinct_threshold(data):
    labels, scores = data
    fpr, tpr, thresholds = roc_curve(labels, scores)
    for number, threshold in enumerate(thresholds):
        true, false, anomalous, normal = at_threshold(labels, scores, threshold)
        assert (fpr[number], tpr[number]) == (false / normal, true / anomalous)
    assert thresholds.tolist() == [math.inf, *sorted(set(scores.tolist()), reverse=True)]
    for ours, theirs in zip((fpr, tpr), sk.roc_curve(labels, scores, drop_intermediate=False), strict=False):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    assert np.trapezoid(tpr, fpr) == pytest.approx(auroc(labels, scores), abs=1e-12)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(labelled())
def test_only_the_order_counts(data):
    labels, scores = data
    scores = scores.astype(np.float64)
    for metric in RANKING:
        assert metric(labels, np.exp(scores / 4)) == metric(labels, scores)
    assert auroc(labels, -scores) == pytest.approx(1 - auroc(labels, scores), abs=1e-12)


@pytest.mark.parametrize(("anomalous", "normal"), [(200, 5000), (5000, 200), (2600, 2600)])
def test_large_samples_agree_with_sklearn(anomalous, normal):
    rng = np.random.default_rng(anomalous)
    labels = np.repeat([True, False], [anomalous, normal])
    scores = (rng.normal(size=anomalous + normal) + labels).astype(np.float32).round(2)
    assert auroc(labels, scores) == pytest.approx(sk.roc_auc_score(labels, scores), abs=1e-12)
    assert average_precision(labels, scores) == pytest.approx(sk.average_precision_score(labels, scores), abs=1e-12)
    precision, recall, _ = sk.precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    assert f1_max(labels, scores) == pytest.approx(f1.max(), abs=1e-12)


@pytest.mark.parametrize(
    ("scores", "area", "precision", "f1"),
    [
        ([0.1, 0.2, 0.8, 0.9], 1.0, 1.0, 1.0),  # perfect
        ([0.8, 0.9, 0.1, 0.2], 0.0, (1 / 3 + 2 / 4) / 2, 2 / 3),  # inverted
        ([0.5, 0.5, 0.5, 0.5], 0.5, 0.5, 2 / 3),  # constant
        ([0.0, -0.0, 0.0, -0.0], 0.5, 0.5, 2 / 3),  # both zeros are one score
    ],
)
def test_corner_cases(scores, area, precision, f1):
    labels = [0, 0, 1, 1]
    assert auroc(labels, scores) == area
    assert average_precision(labels, scores) == pytest.approx(precision)
    assert f1_max(labels, scores) == pytest.approx(f1)


def test_one_class_is_never_faked():
    assert math.isnan(auroc([0, 0], [1.0, 2.0])) and math.isnan(auroc([1, 1], [1.0, 2.0]))
    assert math.isnan(average_precision([0, 0], [1.0, 2.0])) and math.isnan(f1_max([0, 0], [1.0, 2.0]))
    assert average_precision([1, 1], [1.0, 2.0]) == 1.0 and f1_max([1, 1], [1.0, 2.0]) == 1.0
    fpr, tpr, _ = roc_curve([1, 1], [1.0, 2.0])
    assert np.isnan(fpr).all() and tpr.tolist() == [0.0, 0.5, 1.0]
    assert all(math.isnan(metric([], [])) for metric in RANKING)


def test_maps_and_masks_are_one_long_list():
    rng = np.random.default_rng(3)
    masks, maps = rng.random((4, 6, 5)) < 0.3, rng.random((4, 6, 5), dtype=np.float32)
    for metric in RANKING:
        assert metric(masks, maps) == metric(masks.ravel(), maps.ravel())
        assert metric(masks.astype(np.uint8), maps) == metric(masks, maps)


def test_neighbouring_scores_are_not_tied():
    low = np.float32(0.7)
    assert auroc([0, 1], np.array([low, np.nextafter(low, np.float32(1))])) == 1.0
    assert auroc([0, 1], [0.7, np.nextafter(0.7, 1)]) == 1.0  # apart in float64 only


def test_the_arguments_stay_as_they_were():
    labels, scores = np.array([0, 1, 0, 1]), np.array([3.0, 1.0, 2.0, 0.0])
    for metric in (*RANKING, roc_curve):
        metric(labels, scores)
    assert labels.tolist() == [0, 1, 0, 1] and scores.tolist() == [3.0, 1.0, 2.0, 0.0]


@pytest.mark.parametrize("metric", [*RANKING, roc_curve])
@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [0.1, 0.2, 0.3], "the same shape"),
        ([0, 255], [0.1, 0.2], "mask > 0"),
        ([0, 0.5], [0.1, 0.2], "0 or 1"),
        ([0, math.nan], [0.1, 0.2], "0 or 1"),
        (["good", "bad"], [0.1, 0.2], "0 and 1"),
        ([0, 1], [0.1, math.nan], "1 of 2 numbers are not finite"),
        ([0, 1], [-math.inf, 0.2], "not finite"),
        ([0, 1], ["a", "b"], "real numbers"),
    ],
)
def test_errors_teach(metric, labels, scores, message):
    with pytest.raises(InputError, match=message):
        metric(labels, scores)
