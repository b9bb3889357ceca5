"""The martingale: its formula by brute force, Ville's bound by simulation, and what it notices."""

import numpy as np
import pytest
from scipy.stats import kstest

from amiss.core.errors import InputError
from amiss.monitoring import Martingale


def capital(p: np.ndarray) -> float:
    """By definition: every stake, put in before part s, bets eps p^(eps-1) from part s on."""
    eps = np.arange(1, 10) / 10
    in_hand = [1 / (1 + np.log2(1 + t)) for t in range(len(p) + 1)]
    total = in_hand[-1]
    for start in range(len(p)):
        bets = np.prod(eps[:, None] * p[start:] ** (eps[:, None] - 1), axis=1)
        total += (in_hand[start] - in_hand[start + 1]) * bets.mean()
    return total


@pytest.mark.parametrize("seed", range(5))
def test_the_capital_by_definition(seed: int) -> None:
    p = np.random.default_rng(seed).random(12) ** (1 + seed / 2)
    up, down = Martingale().sides(p)
    assert up[-1] == pytest.approx(np.log(capital(p) / 2))
    assert down[-1] == pytest.approx(np.log(capital(1 - p) / 2))
    assert np.exp(Martingale().path(p)[-1]) == pytest.approx((capital(p) + capital(1 - p)) / 2)


def test_its_mean_stays_one() -> None:
    p = (np.arange(4000) + 0.5) / 4000  # quadrature over one uniform p-value, after two fixed ones
    ends = [Martingale().path([0.3, 0.8, value])[-1] for value in p]
    before = np.exp(Martingale().path([0.3, 0.8])[-1])
    assert np.exp(ends).mean() == pytest.approx(before, rel=0.02)  # p^(-0.9) converges slowly


@pytest.mark.parametrize("delta", [0.05, 0.3])
def test_ville(delta: float) -> None:
    p = np.random.default_rng(5).random((4000, 400))
    chart = Martingale(delta)
    up, down = chart.sides(p)
    ever = (np.logaddexp(up, down).max(axis=1) >= chart.limit).mean()
    assert ever <= delta + 3 * (delta * (1 - delta) / 4000) ** 0.5
    assert ever > delta / 20  # the bound is used, not merely kept


@pytest.mark.parametrize("n", [0, 5, 30])
def test_ville_on_exchangeable_streams_of_scores(n: int) -> None:
    """From scores on, with few calibration scores, ties, and a heavy tail; delta large, so that it can be broken."""
    rng = np.random.default_rng(n)
    chart = Martingale(0.2)
    p = []
    for run in range(600):
        scores = np.round(rng.standard_cauchy(n + 120), 0 if run % 2 else 6)
        p.append(Martingale(0.2, seed=run).p_values(scores[n:], scores[:n]))
    ever = (np.logaddexp(*chart.sides(np.array(p))).max(axis=1) >= chart.limit).mean()
    assert ever <= 0.2 + 3 * (0.2 * 0.8 / 600) ** 0.5


def test_a_fixed_calibration_set_would_not_do() -> None:
    """The check above can fail: p-values against the same few scores again and again are not independent."""
    rng = np.random.default_rng(1)
    p = []
    for _ in range(400):
        normal, stream = rng.normal(size=10), rng.normal(size=300)
        above = (normal[None] >= stream[:, None]).sum(axis=1)
        p.append((above + 1 - rng.random(300)) / 11)
    chart = Martingale(0.2)
    assert (np.logaddexp(*chart.sides(np.array(p))).max(axis=1) >= chart.limit).mean() > 0.4


@pytest.mark.parametrize("n", [0, 5, 100])
def test_online_p_values_are_uniform_and_independent(n: int) -> None:
    rng = np.random.default_rng(n)
    drawn = [rng.integers(0, 4, size=n + 30).astype(float) for _ in range(400)]  # nothing but ties
    p = np.array([Martingale(seed=run).p_values(x[n:], x[:n]) for run, x in enumerate(drawn)])
    assert kstest(p.ravel(), "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(p[:, 0], p[:, 1])[0, 1]) < 0.2
    assert abs(np.corrcoef(p[:, 10], p[:, 29])[0, 1]) < 0.2
    assert (p > 0).all() and (p <= 1).all()


@pytest.mark.parametrize(("quiet", "shift", "within"), [(0, 1.0, 60), (50, 1.5, 40), (2000, 1.0, 150), (200, -1.5, 60)])
def test_it_notices_a_shift_also_late_and_downwards(quiet: int, shift: float, within: int) -> None:
    chart, late = Martingale(0.01), []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        scores = np.concatenate([rng.normal(size=quiet), rng.normal(shift, size=300)])
        path = chart.path(chart.p_values(scores, rng.normal(size=200)))
        late.append(np.argmax(path >= chart.limit) - quiet if (path >= chart.limit).any() else 300)
    assert np.median(late) <= within


def test_one_seed_one_result_and_long_streams_stay_finite() -> None:
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(size=100), rng.normal(6, size=400)])
    first, second = (Martingale(seed=3).p_values(scores, rng.normal(size=50)) for _ in range(2))
    assert np.isfinite(Martingale().path(first)).all()
    assert Martingale(seed=3).p_values(scores, [1.0]).tolist() == Martingale(seed=3).p_values(scores, [1.0]).tolist()
    assert np.isfinite(Martingale().path(np.zeros(2000))).all() and np.isfinite(Martingale().path(np.ones(2000))).all()
    assert len(second) == 500


def test_what_cannot_be() -> None:
    with pytest.raises(InputError, match="delta"):
        Martingale(1.5)
    with pytest.raises(InputError, match="p-values"):
        Martingale().path([0.5, 1.2])
    with pytest.raises(InputError, match="p-values"):
        Martingale().path([0.5, float("nan")])
    with pytest.raises(InputError, match="must be finite numbers, got nan at index 1"):
        Martingale().p_values([0.0, float("nan")], [1.0])
