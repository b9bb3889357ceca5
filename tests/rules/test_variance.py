"""Variance components against their definition: mean squares as quadratic forms, and intervals by F."""

import numpy as np
import pytest
from scipy import stats

from amiss.rules.variance import between_lots, components, normal_scores


def projector(groups):
    """Takes each score to the mean of its group."""
    same = (groups[:, None] == groups[None]).astype(float)
    return same / same.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(4))
def test_components_solve_the_expected_mean_squares(seed):
    """E[y'Ay] = tr(A V): the three quadratic forms equal their expectations at the estimate."""
    rng = np.random.default_rng(seed)
    lot_of_part = np.sort(rng.integers(0, 6, 40))
    lot_of_part = np.unique(lot_of_part, return_inverse=True)[1]
    parts = np.sort(rng.integers(0, 40, 150))
    parts, lots = np.unique(parts, return_inverse=True)[1], lot_of_part[parts]
    scores = (3 * rng.normal(size=6)[lots] + 2 * rng.normal(size=40)[parts] + rng.normal(size=150)) + 50
    image, part, lot = np.eye(150), projector(parts), projector(lots)
    all_one = np.full((150, 150), 1 / 150)
    covariances = [(g[:, None] == g[None]).astype(float) for g in (lots, parts, np.arange(150))]
    found = components(scores, parts, lots)
    assert min(found) > 0
    for form in (lot - all_one, part - lot, image - part):
        wanted = sum(share * np.trace(form @ v) for share, v in zip(found, covariances, strict=True))
        assert scores @ form @ scores == pytest.approx(wanted, rel=1e-9)


def test_a_component_that_cannot_be_seen_is_zero():
    assert components(np.array([1.0, 2, 3]), np.arange(3), np.zeros(3, int)) == (0.0, 1.0, 0.0)
    assert components(np.array([1.0, 2, 3]), np.arange(3), np.arange(3)) == (1.0, 0.0, 0.0)
    assert between_lots(np.arange(4.0), np.zeros(4, int)) is None
    assert between_lots(np.arange(4.0), np.arange(4)) is None
    flat = between_lots(np.ones(4), np.array([0, 0, 1, 1]))
    assert (flat.share, flat.low, flat.high, flat.effective) == (0, 0, 0, 4)
    apart = between_lots(np.array([1.0, 1, 2, 2]), np.array([0, 0, 1, 1]))
    assert (apart.share, apart.low, apart.high, apart.effective) == (1, 1, 1, 2)


def test_the_interval_of_equal_lots_is_that_of_f():
    rng = np.random.default_rng(2)
    table = rng.normal(size=(8, 1)) + rng.normal(size=(8, 5))
    f = stats.f_oneway(*table).statistic
    low, high = (((q := f / stats.f.ppf(p, 7, 32)) - 1) / (q + 4) for p in (0.975, 0.025))
    found = between_lots(table.ravel(), np.repeat(np.arange(8), 5))
    assert (found.low, found.high) == pytest.approx((max(low, 0), high))
    assert found.share == pytest.approx((f - 1) / (f + 4))
    assert found.effective == pytest.approx(40 / (1 + 4 * found.share))


@pytest.mark.parametrize("between", [0.0, 0.3])
def test_the_interval_covers(between):
    rng, covered = np.random.default_rng(1), 0
    lots = np.repeat(np.arange(8), [3, 3, 5, 5, 6, 8, 9, 9])
    for _ in range(800):
        scores = np.sqrt(between) * rng.normal(size=8)[lots] + np.sqrt(1 - between) * rng.normal(size=len(lots))
        found = between_lots(normal_scores(scores), lots)
        covered += found.low <= between <= found.high
    assert 0.92 <= covered / 800 <= 0.99


def test_normal_scores_are_those_of_mean_ranks():
    scores = np.array([3.0, 1, 3, 2, 9])
    wanted = stats.norm.ppf((stats.rankdata(scores) - 0.5) / 5)
    assert normal_scores(scores) == pytest.approx(wanted)
