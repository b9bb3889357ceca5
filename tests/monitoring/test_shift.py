"""What known images are worth for recent ones: the ratio of two known densities, and the promise under other light."""

import contextlib

import numpy as np
import pytest
from scipy import optimize, stats

from amiss.core.errors import CalibrationError
from amiss.core.scores import Scores
from amiss.monitoring import Health
from amiss.monitoring.shift import NEXT, RIDGE, find_shift, likelihood_ratio
from amiss.rules import Conformal


def images(values):
    return [Health(float(value), 50.0, 0.1, 0.0) for value in values]


def test_the_ratio_is_that_of_two_normal_densities():
    rng = np.random.default_rng(0)
    known, recent = rng.normal(100, 5, (4000, 1)), rng.normal(104, 6, (4000, 1))
    found, of_recent = likelihood_ratio(known, recent)
    for rows, ratio in ((known, found), (recent, of_recent)):
        wanted = stats.norm.pdf(rows[:, 0], 104, 6) / stats.norm.pdf(rows[:, 0], 100, 5)
        assert np.median(np.abs(np.log(ratio / wanted))) < 0.08
    assert found.mean() == pytest.approx(1)


def test_it_is_the_logistic_regression_that_scipy_finds():
    rng = np.random.default_rng(1)
    known, recent = rng.normal(0, 1, (60, 2)), rng.normal(0.8, 1.2, (90, 2))
    z = [(one - known.mean(axis=0)) / known.std(axis=0) for one in (known, recent)]
    rows = np.concatenate([np.column_stack([np.ones(len(one)), one, one**2]) for one in z])
    label, share = np.repeat([0.0, 1.0], [60, 90]), np.repeat([150 / 120, 150 / 180], [60, 90])

    def loss(b):
        return (share * (np.logaddexp(0, rows @ b) - label * (rows @ b))).sum() + RIDGE * (b[1:] ** 2).sum() / 2

    best = optimize.minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-8}).x
    wanted = np.exp(rows @ best)
    found = np.concatenate(likelihood_ratio(known, recent))
    np.testing.assert_allclose(found, wanted / wanted[:60].mean(), rtol=1e-3)


def test_without_a_shift_images_count_about_alike_and_the_next_part_a_little_more():
    rng = np.random.default_rng(2)
    shift = find_shift(images(rng.normal(100, 5, 300)), images(rng.normal(100, 5, 300)))
    assert abs(shift.moved["brightness"]) < 0.25 and set(shift.moved) == {"brightness"} and shift.recent == 300
    assert shift.weights.mean() == pytest.approx(1 / NEXT, rel=0.1)
    assert find_shift(images([7.0] * 50), images([7.0] * 200)).weights.tolist() == [1.0] * 50


def test_the_promise_holds_under_other_light_where_it_fails_without_weights():
    """Scores follow light; it moves by one standard deviation. bench/shift.py has 175 settings."""
    rng, plain, weighted = np.random.default_rng(3), [], []
    for _ in range(60):
        light, recent = rng.normal(size=300), rng.normal(1, 1, 200)
        scores = 0.6 * light + 0.8 * rng.normal(size=300)
        rule = Conformal(0.05).calibrate(Scores(scores))
        shift = find_shift(images(light), images(recent))
        plain.append(stats.norm.sf(rule.threshold - 0.6))
        with contextlib.suppress(CalibrationError):
            weighted.append(stats.norm.sf(rule.weighted(shift.weights[np.argsort(scores)]).threshold - 0.6))
    assert len(weighted) > 40
    assert np.mean(plain) > 0.12 and 0.02 < np.mean(weighted) < 0.055


@pytest.mark.parametrize(
    ("known", "recent", "words"),
    [
        (np.arange(49), np.arange(200), "at least 50 good images to weigh are needed, got 49"),
        (np.arange(80), np.arange(20), "at least 200 recent images are needed, got 20"),
        (np.full(60, 3.0), np.full(200, 4.0), "brightness is 3 in all good images but not in the recent ones"),
    ],
)
def test_what_cannot_be_weighed(known, recent, words):
    with pytest.raises(CalibrationError, match=words):
        find_shift(images(known), images(recent))


def test_images_without_anything_in_common_are_worth_nothing():
    rng = np.random.default_rng(4)
    known, far = images(rng.normal(100, 5, 200)), images(rng.normal(1e6, 5, 200))
    with pytest.raises(CalibrationError, match="needs 19: too few of them look like the recent ones"):
        Conformal(0.05).calibrate(Scores(np.arange(200))).weighted(find_shift(known, far).weights)
