"""An inspector calibrated for other light: what is kept, what is saved, and what is refused."""

import numpy as np
import pytest

import amiss
from amiss.core.errors import CalibrationError, DataError, InputError
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.core.survey import survey
from amiss.inspector import Inspector
from amiss.quantise import quantise
from amiss.rules import Certified, Conformal
from amiss.testing import toy_part


def lit(count, seed, gain):
    """Good parts under light of this mean strength, which varies."""
    rng = np.random.default_rng(seed)
    parts = list(toy_part(count, seed=seed).images)
    return [(part * rng.normal(gain, 0.05)).clip(0, 255).astype(np.uint8) for part in parts]


@pytest.fixture(scope="module")
def learned():
    return Images(lit(24, 1, 0.75))


@pytest.fixture(scope="module")
def before(learned):
    return amiss.fit(learned, method="pca", preset="tiny", size=64, calibration=0.5, rule=Conformal("auto"))


@pytest.fixture(scope="module")
def good():
    return Images(lit(70, 2, 0.75))


@pytest.fixture(scope="module")
def recent():
    return Images(lit(200, 3, 0.78))


@pytest.fixture(scope="module")
def after(before, good, recent):
    return before.with_rule(Conformal(0.1)).calibrate(good, recent=recent)


def test_the_statement_says_for_which_images_it_is(after):
    assert after.rule.weights.shape == (70,) and after.calibration.recent.images == 200
    words = after.statement()
    assert "under recent conditions" in words and "estimated from 200 recent images" in words
    assert after.calibration.recent.moved["brightness"] > 0.2 and "brightness +" in words
    assert "good parts to come are taken to be like these" not in words


def test_brighter_images_weigh_more(after, good):
    light = np.array([image.mean() for image in good])
    weights = after.rule.weights[np.argsort(np.argsort(after.image_scores(good).image))]
    assert np.corrcoef(light, np.log(weights))[0, 1] > 0.5


def test_it_is_saved_and_loaded(after, tmp_path):
    after.save(tmp_path / "m.amiss")
    again = Inspector.load(tmp_path / "m.amiss")
    assert again.rule.threshold == after.rule.threshold and again.statement() == after.statement()
    np.testing.assert_array_equal(again.rule.weights, after.rule.weights)
    assert again.fingerprint == after.fingerprint


def test_another_alpha_keeps_the_weights_and_another_rule_is_refused(after):
    other = after.with_rule(Conformal(0.2))
    assert other.rule.weights is not None and other.rule.threshold < after.rule.threshold
    with pytest.raises(CalibrationError, match="take the rule conformal"):
        after.with_rule(Certified(0.2))


def test_new_images_alone_are_not_weighted(after, good):
    plain = after.calibrate(good)
    assert plain.rule.weights is None and plain.calibration.recent is None and "weighted" not in plain.statement()


def test_the_folder_that_was_learned_from_serves_without_those_images(before, learned, good, recent):
    both = Images([*learned, *good])
    found = before.with_rule(Conformal(0.1)).calibrate(both, recent=recent)
    assert found.rule.n == 70 + 12
    with pytest.raises(DataError, match="12 of 94 images were learned from"):
        before.calibrate(both)
    known = [place for place, one in enumerate(survey(learned).identities) if one in before.parts.images.learned]
    with pytest.raises(DataError, match="all 12 good images were learned from"):
        before.calibrate(learned.subset(known), recent=recent)


def test_what_cannot_be_weighted(before, after, good, recent):
    rule = before.with_rule(Conformal(0.1))
    with pytest.raises(CalibrationError, match="at least 200 recent images are needed, got 20"):
        rule.calibrate(good, recent=recent.subset(range(20)))
    with pytest.raises(CalibrationError, match="too few of them look like the recent ones"):
        rule.calibrate(good, recent=Images(lit(200, 4, 0.2)))
    parts = [Origin(part=str(index // 2)) for index in range(70)]
    with pytest.raises(InputError, match="takes one image of each part, got 70 images of 35 parts"):
        rule.calibrate(good, origins=parts, recent=recent)
    with pytest.raises(InputError, match="quantise the model that it was made from"):
        quantise(after, good)
