"""POD against scikit-learn's unpenalised fit, a slow profile, and coverage."""

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar
from sklearn.linear_model import LogisticRegression

from amiss.core.errors import InputError
from amiss.metrics.pod import fit_pod


def world(seed: int, count: int = 100, slope: float = 3.0, middle: float = 5.0):
    rng = np.random.default_rng(seed)
    sizes = rng.uniform(1, 20, size=count)
    return sizes, rng.random(count) < 1 / (1 + np.exp(-slope * np.log(sizes / middle)))


def cost(sizes, found, intercept: float, slope: float) -> float:
    """Minus Firth's penalised likelihood, from its formula."""
    x = np.log(sizes)
    p = 1 / (1 + np.exp(-(intercept + slope * x)))
    information = sum(q * (1 - q) * np.outer([1, a], [1, a]) for q, a in zip(p, x, strict=True))
    return -float(np.log(np.where(found, p, 1 - p)).sum() + np.log(np.linalg.det(information)) / 2)


def test_the_fit_maximises_the_penalised_likelihood():
    sizes, found = world(1)
    pod = fit_pod(sizes, found)
    options = {"xatol": 1e-8, "fatol": 1e-10}
    best = minimize(lambda b: cost(sizes, found, *b), [-3.0, 2.0], method="Nelder-Mead", options=options)
    assert [pod.intercept, pod.slope] == pytest.approx(best.x, rel=1e-4)
    assert pod.probability([pod.a50, pod.a90]) == pytest.approx([0.5, 0.9])


def test_with_many_defects_it_is_the_fit_of_scikit_learn():
    sizes, found = world(5, count=4000)
    pod = fit_pod(sizes, found)
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(np.log(sizes)[:, None], found)
    assert pod.slope == pytest.approx(model.coef_[0, 0], rel=3e-3)
    assert pod.intercept == pytest.approx(model.intercept_[0], rel=3e-3)


def test_the_bounds_by_a_slow_profile():
    """At each end of an interval, the best curve through it is worse by half a quantile of chi-square."""
    sizes, found = world(2)
    pod = fit_pod(sizes, found)
    best = cost(sizes, found, pod.intercept, pod.slope)
    for end, drop in ((pod.a90_interval[0], 3.8415), (pod.a90_interval[1], 3.8415), (pod.a90_95, 2.7055)):
        through = minimize_scalar(
            lambda slope, end=end: cost(sizes, found, np.log(9) - slope * np.log(end), slope), bounds=(0.1, 20)
        )
        assert 2 * (through.fun - best) == pytest.approx(drop, abs=2e-3)


def test_a90_95_is_above_a90_in_95_of_100_studies():
    """60 studies here; bench/pod.py has 1,000 of each kind."""
    truth = 5 * 9 ** (1 / 3)
    pods = [fit_pod(*world(1000 + seed, count=60)) for seed in range(60)]
    assert np.mean([pod.a90_95 >= truth for pod in pods]) >= 0.9
    assert np.mean([pod.a90_interval[0] <= truth <= pod.a90_interval[1] for pod in pods]) >= 0.88


def test_sizes_that_separate_hits_from_misses():
    sizes = np.arange(1.0, 41.0)
    pod = fit_pod(sizes, sizes > 20)
    assert 18 < pod.a50 < 23 and pod.a90 < pod.a90_95 < 40


def test_the_unit_does_not_matter():
    sizes, found = world(3)
    assert fit_pod(25.4 * sizes, found).a90_95 == pytest.approx(25.4 * fit_pod(sizes, found).a90_95, rel=1e-5)


def test_a_bound_that_the_data_do_not_set_is_infinite():
    rng = np.random.default_rng(4)
    sizes = rng.uniform(4, 6, size=30)
    found = rng.random(30) < 0.5
    found[np.argmax(sizes)] = True
    try:
        assert fit_pod(sizes, found).summary()["a90_95"] is None
    except InputError as error:
        assert "larger defects" in str(error)


@pytest.mark.parametrize(
    ("sizes", "found", "message"),
    [
        (np.arange(1, 10), np.arange(9) > 4, "at least 20 defects"),
        (np.arange(1, 31), np.ones(30, bool), "some that were missed"),
        (np.arange(1, 31), np.arange(30) % 7 < 10 - np.arange(30) % 10, "larger defects must be found more often"),
        (np.arange(0, 30), np.arange(30) > 9, "above 0"),
    ],
)
def test_what_has_no_curve(sizes, found, message):
    if "larger" in message:
        found = np.arange(30) < 15
        found[20] = True
    with pytest.raises(InputError, match=message):
        fit_pod(sizes, found)
