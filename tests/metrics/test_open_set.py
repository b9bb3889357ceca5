"""OSCR and confusions against other ways to compute them."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score

from amiss.core.errors import InputError
from amiss.metrics.open_set import confusion, oscr, oscr_scores


def by_curve(unknown, scores, right):
    """Area under correct classification rate over false-positive rate, threshold by threshold, by trapezoids."""
    known = ~unknown
    thresholds = [-np.inf, *np.unique(scores)]
    passed = [(scores <= t) for t in thresholds]
    rate = [(known & right & p).sum() / known.sum() for p in passed]
    false = [(unknown & p).sum() / unknown.sum() for p in passed]
    return sum((false[i + 1] - false[i]) * (rate[i + 1] + rate[i]) / 2 for i in range(len(rate) - 1))


@pytest.mark.parametrize("seed", range(20))
def test_oscr_is_the_area_under_its_curve(seed):
    rng = np.random.default_rng(seed)
    unknown = rng.random(60) < 0.4
    scores = np.round(rng.normal(unknown, 1.0), 1)  # with ties
    right = rng.random(60) < 0.8
    assert oscr(unknown, scores, right) == pytest.approx(by_curve(unknown, scores, right), abs=1e-12)
    assert oscr(unknown, scores, right) <= min(right[~unknown].mean(), roc_auc_score(unknown, scores)) + 1e-12
    assert oscr(unknown, scores, np.ones(60, bool)) == pytest.approx(roc_auc_score(unknown, scores))


def test_what_is_told_wrongly_lies_above_all_else_and_unknown_ones_stay():
    found = oscr_scores([0, 0, 1, 1], [-3.0, -2.0, -1.0, -0.5], [1, 0, 0, 1])
    assert found[0] == -3 and found[1] > found[2] == -1 and found[3] == -0.5
    assert np.isnan(oscr([0, 0], [1.0, 2.0], [1, 1]))


def test_confusions_are_counted():
    rng = np.random.default_rng(0)
    truth, said = rng.choice(list("abcx"), 200), rng.choice(["a", "b", "c", "unknown"], 200)
    wanted = confusion_matrix(np.where(truth == "x", "unknown", truth), said, labels=["a", "b", "c", "unknown"])
    found = confusion(truth.tolist(), said.tolist(), ["a", "b", "c", "x"], ["a", "b", "c", "unknown"])
    np.testing.assert_array_equal(found, wanted)


def test_answers_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="one answer per image"):
        confusion(["a"], ["z"], ["a"], ["a", "unknown"])
    with pytest.raises(InputError, match="one finite score, truth and answer per image"):
        oscr([0, 1], [1.0, np.nan], [1, 1])
