"""`amiss.sklearn` behaves as scikit-learn's own outlier detectors do."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone, is_outlier_detector
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

from amiss.sklearn import Inspection
from amiss.testing import toy_part

TINY = {"method": "padim", "preset": "tiny", "size": 64, "calibration": 0.5}

CHECKS = (
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
)
"""Checks of scikit-learn for estimators of every kind of input; all others give a table of numbers."""


@pytest.fixture(scope="module")
def fitted() -> Inspection:
    return Inspection(**TINY).fit(toy_part(40, seed=0).images)


def test_larger_is_more_normal_and_the_sign_is_the_verdict(fitted: Inspection) -> None:
    good, bad = toy_part(10, seed=1).images, toy_part(10, seed=2, defective=True).images
    assert fitted.score_samples(good).mean() > fitted.score_samples(bad).mean()
    for images in (good, bad):
        wanted = [verdict.label for verdict in fitted.inspector_.inspect(images)]
        assert fitted.predict(images).tolist() == [-1 if label == "anomalous" else 1 for label in wanted]
        np.testing.assert_allclose(
            fitted.decision_function(images), fitted.score_samples(images) - fitted.offset_, rtol=0, atol=0
        )


def test_it_is_an_outlier_detector_with_parameters(fitted: Inspection) -> None:
    assert is_outlier_detector(fitted)
    again = clone(fitted)
    assert again.get_params() == fitted.get_params() and not hasattr(again, "inspector_")
    assert [clone(again).set_params(**one).seed for one in ParameterGrid({"seed": [0, 1]})] == [0, 1]
    with pytest.raises(NotFittedError):
        again.predict(toy_part(2, seed=0).images)


def test_in_a_pipeline_and_by_fit_predict() -> None:
    images = np.stack(list(toy_part(20, seed=0).images))
    flipped = make_pipeline(FunctionTransformer(lambda stack: stack[:, :, ::-1]), Inspection(**TINY))
    assert set(flipped.fit(images).predict(images)) <= {-1, 1}
    assert Inspection(**TINY).fit_predict(images).shape == (20,)


@pytest.mark.parametrize("check", CHECKS)
def test_scikit_learns_own_checks(check: str) -> None:
    getattr(estimator_checks, check)("Inspection", Inspection(**TINY))
