"""Limits keep their promise: calibration sets, streams and charts are simulated anew, from scores on."""

import numpy as np
import pytest

from amiss.core.errors import CalibrationError, InputError
from amiss.monitoring import AlarmRate, Cusum, Ewma, normal_scores
from amiss.monitoring.design import Design, calibration_law, find_limit
from amiss.monitoring.normal_score import cell_scores

ARL = 200.0


def streams(n: int, sets: int, parts: int, seed: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Normal scores, and ranks from the top, of good parts: (sets, parts) each, every row with its own calibration.

    Log-normal scores: nothing may depend on the distribution.
    """
    rng = np.random.default_rng(seed)
    z, rank = np.empty((sets, parts)), np.empty((sets, parts))
    for row in range(sets):
        normal = np.sort(np.exp(rng.normal(size=n)))
        scores = np.exp(rng.normal(shift, size=parts))
        z[row] = normal_scores(scores, normal)
        rank[row] = n - np.searchsorted(normal, scores.astype(np.float32))
    return z, rank


def false_alarms(step, alarmed, x: np.ndarray) -> np.ndarray:
    """Alarms per part of each row; the chart starts anew after each."""
    state, age, count = np.zeros(len(x)), np.zeros(len(x)), np.zeros(len(x))
    for column in x.T:
        age += 1
        state = step(state, column)
        out = alarmed(state, age)
        count += out
        state[out], age[out] = 0, 0
    return count / x.shape[1]


def agrees(design: Design, rates: np.ndarray) -> bool:
    """One false alarm in `arl` parts, within the intervals of the design and of this simulation."""
    mean, error = rates.mean(), rates.std() / len(rates) ** 0.5
    low, high = design.arl_interval
    own = (1 / low - 1 / high) / 2 / 1.96
    return abs(mean - 1 / design.arl) < 3 * np.hypot(error, own) + 0.02 / design.arl


@pytest.mark.parametrize("n", [50, 100, 300])
def test_false_alarms_are_as_designed(n: int) -> None:
    z, _ = streams(n, sets=1200, parts=1500, seed=n)
    up = Cusum().design(n, arl=ARL)
    found = false_alarms(lambda s, x: np.maximum(0, s + x - 0.5), lambda s, _: s > up.limit, z)
    assert agrees(up, found)
    if n == 50:  # for larger n the sets differ by less than chance within 1500 parts
        assert np.mean(found > 1 / up.arl_low) == pytest.approx(0.1, abs=0.03)
    down = false_alarms(lambda s, x: np.maximum(0, s - x - 0.5), lambda s, _: s > up.limit, z)
    assert agrees(up, down)


@pytest.mark.parametrize("n", [50, 300])
def test_false_alarms_of_the_ewma_are_as_designed(n: int) -> None:
    z, _ = streams(n, sets=1200, parts=1500, seed=n + 1)
    design = Ewma(0.1).design(n, arl=ARL)
    sd = np.sqrt(0.1 / 1.9)
    found = false_alarms(
        lambda s, x: 0.9 * s + 0.1 * x, lambda s, age: np.abs(s) > design.limit * sd * np.sqrt(1 - 0.9 ** (2 * age)), z
    )
    assert agrees(design, found)


@pytest.mark.parametrize(("n", "rank"), [(50, 1), (100, 5), (300, 3)])
def test_false_alarms_of_the_rate_are_as_designed(n: int, rank: int) -> None:
    _, above = streams(n, sets=1500, parts=2000, seed=n + 2)
    chart = AlarmRate(rank, n)
    design = chart.design(arl=ARL)
    found = false_alarms(
        lambda s, x: np.maximum(0, s + chart.every * x - 1), lambda s, _: s >= design.limit, above < rank
    )
    assert design.arl >= ARL
    assert abs(found.mean() - 1 / design.arl) < 3.5 * found.std() / len(found) ** 0.5 + 0.03 / design.arl


@pytest.mark.parametrize("n", [50, 300])
def test_a_shift_of_one_sigma_is_noticed_within_about_ten_parts(n: int) -> None:
    z, _ = streams(n, sets=2000, parts=300, seed=9, shift=1.0)
    design = Cusum().design(n)
    path = np.stack([Cusum().path(row) for row in z])
    delay = 1 + np.argmax(path > design.limit, axis=1)
    assert (path > design.limit).any(axis=1).all()
    assert 8 < delay.mean() < 12
    assert design.delay == pytest.approx(delay.mean(), rel=0.1)  # the median over sets against the mean over all


def test_fewer_scores_need_wider_limits_and_many_need_the_known_one() -> None:
    limits = [Cusum().design(n).limit for n in (20, 50, 300, 1000)]
    assert limits == sorted(limits, reverse=True)
    assert limits[-1] == pytest.approx(4.1, abs=0.05)
    assert Cusum().run_length(4.095) == pytest.approx(370, rel=0.01)
    assert Cusum().design(5000).limit == pytest.approx(Cusum().design(2000).limit, abs=0.02)


def test_one_seed_one_limit_and_up_is_down() -> None:
    assert Cusum().design(300, seed=1) == Cusum().design(300, seed=1)
    assert Cusum().design(300, seed=1).limit != Cusum().design(300, seed=2).limit
    assert Cusum(direction="down").design(300).limit == Cusum().design(300).limit
    assert Cusum(direction="down").design(300).chart == "cusum-down"


def test_calibration_sets_are_dirichlet() -> None:
    law = calibration_law(30, draws=4000)
    assert np.allclose(law.weights.sum(axis=1), 1)
    assert np.allclose(law.weights[:2000], law.weights[2000:, ::-1])
    assert law.weights.mean(axis=0) == pytest.approx(np.full(31, 1 / 31), rel=0.1)
    assert law.weights.var() == pytest.approx(30 / (31**2 * 32), rel=0.05)
    moved = calibration_law(30, 1.0, draws=4000).weights
    assert np.allclose(moved.sum(axis=1), 1) and (moved >= 0).all() and moved[:, -1].mean() > 0.1


def test_normal_scores_by_definition() -> None:
    from scipy.stats import norm

    rng = np.random.default_rng(0)
    normal, scores = rng.normal(size=40), rng.normal(size=200)
    p = (1 + (normal[None] >= scores[:, None]).sum(axis=1)) / 41
    assert normal_scores(scores, normal) == pytest.approx(norm.isf(p - 1 / 82))
    assert normal_scores(scores, rng.permutation(normal)) == pytest.approx(normal_scores(scores, normal))
    assert set(normal_scores(scores, normal).round(6)) <= set(cell_scores(40).round(6))
    tied = normal_scores([1.0], np.repeat([0.0, 1.0, 2.0], 10))  # in the middle of everything it may be
    assert tied[0] == pytest.approx(0.0)


def test_a_limit_is_found_on_steps_and_at_the_edges() -> None:
    step = find_limit(lambda limit: np.array([10.0 if limit < 3 else 1000.0]), 100, 1.0)
    assert 3 <= step < 3.02
    assert find_limit(lambda limit: np.array([1.0]), 100, 1.0, highest=8.0) == 8.0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Cusum().design(19), CalibrationError, "at least 20 calibration scores.*got 19"),
        (lambda: Cusum().design(50, arl=5), InputError, "arl must be .* at least 20, got 5"),
        (lambda: Cusum().design(50, arl=1e7), InputError, "arl must be .*got 1e"),
        (lambda: Ewma().design(50, arl=float("nan")), InputError, "arl must be .*, got nan"),
        (lambda: Cusum(3.0), InputError, "k must be between 0.1 and 1.5, got 3"),
        (lambda: Cusum(direction="sideways"), InputError, "direction"),
        (lambda: Ewma(1.0), InputError, "weight must be between 0.05 and 0.9.*got 1"),
        (lambda: Ewma(0.01), InputError, "weight must be .* at least 0.05, got 0.01"),
        (lambda: AlarmRate(40, 50), InputError, "39 of 50"),
        (lambda: Cusum().path([0.0, float("nan")]), InputError, "must be finite numbers, got nan at index 1"),
        (lambda: normal_scores([[1.0]], np.arange(30)), InputError, "shape"),
    ],
)
def test_what_cannot_be(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()
