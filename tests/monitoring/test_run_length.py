"""Average run lengths by Markov chain, against published values, other formulas and plain simulation."""

import numpy as np
import pytest

from amiss.monitoring import Cusum, Ewma
from amiss.monitoring.run_length import Law, counting_run_length, cusum_run_length, ewma_run_length


@pytest.mark.parametrize(
    ("limit", "quiet", "shifted"),
    [(4.0, 335.4, 8.38), (5.0, 930.9, 10.38)],
)
def test_cusum_of_the_textbooks(limit: float, quiet: float, shifted: float) -> None:
    assert Cusum(0.5).run_length(limit) == pytest.approx(quiet, rel=2e-3)
    assert Cusum(0.5).run_length(limit, shift=1.0) == pytest.approx(shifted, rel=2e-3)


def test_cusum_agrees_with_siegmund() -> None:
    for k, limit, shift in [(0.5, 4.0, 0.0), (0.25, 8.0, 0.0), (0.5, 5.0, 1.0), (0.5, 4.0, 2.0)]:
        drift, height = shift - k, limit + 1.166
        formula = (np.exp(-2 * drift * height) + 2 * drift * height - 1) / (2 * drift**2)
        assert Cusum(k).run_length(limit, shift=shift) == pytest.approx(formula, rel=0.05)


@pytest.mark.parametrize(
    ("weight", "limit", "quiet", "shifted"),
    [(0.05, 2.615, 500, 11.4), (0.1, 2.814, 500, 10.3), (0.2, 2.962, 500, 10.5), (0.1, 2.7, 369, 9.7)],
)
def test_ewma_of_the_textbooks(weight: float, limit: float, quiet: float, shifted: float) -> None:
    chart = Ewma(weight)
    assert chart.run_length(limit, widening=False) == pytest.approx(quiet, rel=6e-3)
    assert chart.run_length(limit, shift=1.0, widening=False) == pytest.approx(shifted, abs=0.06)
    assert chart.run_length(limit) < chart.run_length(limit, widening=False)
    assert chart.run_length(limit, shift=1.0) < chart.run_length(limit, shift=1.0, widening=False)


def simulate(path_step, out, draw, runs: int) -> np.ndarray:
    """Run lengths of a chart started anew, many at once."""
    state, length = np.zeros(runs), np.zeros(runs, int)
    running, age = np.ones(runs, bool), 0
    while running.any():
        age += 1
        state = path_step(state, draw(runs))
        length[running] = age
        running &= ~out(state, age)
    return length


def close(chain: float, lengths: np.ndarray) -> bool:
    return abs(chain - lengths.mean()) < 4 * lengths.std() / len(lengths) ** 0.5 + 0.01 * chain


def test_a_law_with_steps_cusum() -> None:
    rng = np.random.default_rng(1)
    values, weights = np.array([-1.7, -0.4, 0.3, 1.1, 1.9]), np.array([0.25, 0.2, 0.3, 0.15, 0.1])
    chain = cusum_run_length(Law(values, weights[None]), 0.5, 3.3)[0]
    lengths = simulate(
        lambda s, x: np.maximum(0, s + x - 0.5), lambda s, _: s > 3.3, lambda n: rng.choice(values, n, p=weights), 4000
    )
    assert close(chain, lengths)


def test_a_law_with_steps_ewma_with_widening_limits() -> None:
    rng = np.random.default_rng(2)
    values = np.linspace(-2, 2, 21)
    weights = np.exp(-(values**2) / 2)
    weights /= weights.sum()
    chain = ewma_run_length(Law(values, weights[None]), 0.2, 2.0)[0]
    final = 2.0 * np.sqrt(0.2 / 1.8)
    lengths = simulate(
        lambda s, x: 0.8 * s + 0.2 * x,
        lambda s, age: np.abs(s) > final * np.sqrt(1 - 0.8 ** (2 * age)),
        lambda n: rng.choice(values, n, p=weights),
        6000,
    )
    assert close(chain, lengths)


def test_counting_is_exact() -> None:
    rng = np.random.default_rng(3)
    for rate, every, limit in [(0.1, 5, 12), (0.05, 9, 9), (0.3, 2, 6), (0.02, 20, 50)]:
        chain = counting_run_length(np.array([rate]), every, limit)[0]
        lengths = simulate(
            lambda s, x, every=every: np.maximum(0, s + every * x - 1),
            lambda s, _, limit=limit: s >= limit,
            lambda n, rate=rate: rng.random(n) < rate,
            3000,
        )
        assert abs(chain - lengths.mean()) < 4 * lengths.std() / 3000**0.5


def test_many_laws_at_once_are_each_alone() -> None:
    values = np.linspace(-2, 2, 9)
    weights = np.random.default_rng(4).dirichlet(np.ones(9), size=700)  # more than one batch
    together = cusum_run_length(Law(values, weights), 0.5, 3.0)
    assert together.shape == (700,)
    assert cusum_run_length(Law(values, weights[650:651]), 0.5, 3.0)[0] == pytest.approx(together[650], rel=1e-9)


def test_what_rounding_would_decide_is_called_very_long() -> None:
    never = Law(np.array([-1.0, 0.4]), np.array([[0.5, 0.5]]))
    assert cusum_run_length(never, 0.5, 4.0)[0] == 1e12
