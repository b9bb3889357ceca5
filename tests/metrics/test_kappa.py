"""Kappas against published tables and slow formulas; their intervals against coverage."""

import numpy as np
import pytest
from scipy.stats import beta as beta_law
from scipy.stats import betabinom
from sklearn.metrics import cohen_kappa_score

from amiss.core.errors import InputError
from amiss.metrics.intervals import clopper_pearson
from amiss.metrics.kappa import cohen_kappa, fleiss_kappa, part_share


def slow_fleiss(table: np.ndarray) -> float:
    """Fleiss (1971), as printed: rows are subjects, columns are categories."""
    raters = table.sum(axis=1)[0]
    agree = [(sum(int(c) ** 2 for c in row) - raters) / (raters * (raters - 1)) for row in table]
    shares = table.sum(axis=0) / table.sum()
    chance = float((shares**2).sum())
    return (np.mean(agree) - chance) / (1 - chance)


def test_fleiss_by_its_formula():
    rng = np.random.default_rng(0)
    for _ in range(20):
        yes = rng.binomial(5, rng.beta(0.5, 0.8, size=12))
        assert fleiss_kappa(yes, [5] * 12).value == pytest.approx(slow_fleiss(np.stack([yes, 5 - yes], axis=1)))


def test_fleiss_at_the_ends():
    perfect = fleiss_kappa([3] * 4 + [0] * 16, [3] * 20)
    assert perfect.value == 1.0 and 0.5 < perfect.interval[0] < 0.95 and perfect.interval[1] == 1.0
    assert np.isnan(fleiss_kappa([0] * 9, [3] * 9).value)
    worse = fleiss_kappa([1] * 10, [2] * 10)
    assert worse.value == pytest.approx(-1) and worse.interval[0] == pytest.approx(-1)


@pytest.mark.parametrize(("rho", "parts", "verdicts"), [(0.5, 30, 3), (0.8, 10, 9), (0.9, 50, 2), (0.95, 30, 9)])
def test_the_interval_of_fleiss_covers(rho, parts, verdicts):
    rng = np.random.default_rng(3)
    a, b = 0.4 * (1 - rho) / rho, 0.6 * (1 - rho) / rho
    found = [
        fleiss_kappa(betabinom.rvs(verdicts, a, b, size=parts, random_state=rng), [verdicts] * parts)
        for _ in range(500)
    ]
    assert np.mean([low <= rho <= high for low, high in (kappa.interval for kappa in found)]) >= 0.95


def test_cohen_against_scikit_learn():
    rng = np.random.default_rng(2)
    truth = rng.random(200) < 0.3
    said = np.where(rng.random(200) < 0.1, ~truth, truth)
    found = cohen_kappa((said == truth)[truth], (said == truth)[~truth])
    assert found.value == pytest.approx(cohen_kappa_score(truth, said))
    assert found.interval[0] < found.value < found.interval[1]


def test_cohen_covers_when_verdicts_on_a_part_repeat_each_other():
    """Sensitivity 0.8 and specificity 0.9, each part always judged alike."""
    rng = np.random.default_rng(4)
    truth = cohen_kappa([1] * 8 + [0] * 2, [1] * 9 + [0]).value
    found = [cohen_kappa(rng.random(10) < 0.8, rng.random(10) < 0.9).interval for _ in range(400)]
    assert np.mean([low <= truth <= high for low, high in found]) >= 0.95


def test_the_share_of_parts():
    assert part_share([1, 0, 0, 1, 1]).interval == clopper_pearson(3, 5)
    half = part_share([0.5] * 4)
    assert half.interval[0] == pytest.approx(beta_law.ppf(0.025, 2, 3)) and half.value == 0.5
    assert part_share([]).n == 0 and np.isnan(part_share([]).value)


def test_what_is_refused():
    with pytest.raises(InputError, match="at least 2 verdicts"):
        fleiss_kappa([1, 0], [1, 1])
    with pytest.raises(InputError, match="one number per part"):
        fleiss_kappa([], [])
    with pytest.raises(InputError, match="from 0 to 1"):
        part_share([1.5])
