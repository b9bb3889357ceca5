"""Where a change is found, and whether neighbours resemble each other."""

import numpy as np
import pytest

from amiss.core.errors import InputError
from amiss.monitoring import autocorrelation, find_change, find_rate_change


@pytest.mark.parametrize(("shift", "error"), [(1.0, 6), (2.0, 1.5), (-1.5, 3)])
def test_a_lasting_shift_is_located(shift: float, error: float) -> None:
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        z = np.concatenate([rng.normal(size=150), rng.normal(shift, size=40)])
        stretch = find_change(z, "up" if shift > 0 else "down")
        found.append(stretch.first)
        assert stretch.strength > 0 and stretch.first < stretch.end <= 190
    assert np.median(found) == pytest.approx(150, abs=1)
    assert np.median(np.abs(np.array(found) - 150)) <= error


@pytest.mark.parametrize(("shift", "after"), [(0.5, 200), (2.0, 40)])
def test_it_beats_the_last_zero_of_the_cusum(shift: float, after: int) -> None:
    """At a shift of 1 the CUSUM with k = 0.5 knows the size, and its last zero is as good; elsewhere it is not."""
    from amiss.monitoring import Cusum

    ours, zeros = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        z = np.concatenate([rng.normal(size=150), rng.normal(shift, size=after)])
        path = Cusum().path(z)
        alarm = next((part for part in range(150, len(z)) if path[part] > 4), len(z) - 1)
        zeros.append(int(np.flatnonzero(path[:alarm] == 0)[-1]) + 1)
        ours.append(find_change(z, "up").first)
    assert np.mean(np.abs(np.array(ours) - 150)) < 0.9 * np.mean(np.abs(np.array(zeros) - 150))


def test_a_change_that_is_over_has_an_end() -> None:
    rng = np.random.default_rng(3)
    z = np.concatenate([rng.normal(size=100), rng.normal(1.5, size=50), rng.normal(size=300)])
    stretch = find_change(z, "up")
    assert abs(stretch.first - 100) <= 4 and abs(stretch.end - 150) <= 6 and not stretch.lasts(len(z))
    assert find_change(z[:152], "up").lasts(152)


def test_the_start_is_the_likeliest_one() -> None:
    z = np.random.default_rng(0).normal(0.3, size=60)
    stretch = find_change(z, "up")
    gains = [max(z[at : stretch.end].sum(), 0) ** 2 / (stretch.end - at) / 2 for at in range(stretch.end)]
    assert stretch.first == int(np.argmax(gains)) and stretch.strength == pytest.approx(max(gains))


def test_a_rate_is_located() -> None:
    found = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        above = np.concatenate([rng.random(200) < 0.02, rng.random(80) < 0.2])
        found.append(find_rate_change(above, 0.02, 0.1).first)
    assert abs(np.median(found) - 203) <= 4  # the first alarm of the stretch comes a few parts in
    everyone = find_rate_change([True] * 5, 0.1, 0.4)
    assert (everyone.first, everyone.end) == (0, 5) and everyone.strength == pytest.approx(5 * np.log(10))


def test_nothing_to_look_at() -> None:
    with pytest.raises(InputError, match="at least 1 part"):
        find_change([], "up")
    assert find_change([-1.0, -2.0], "up").count >= 1


def test_neighbours() -> None:
    rng = np.random.default_rng(0)
    false = [autocorrelation(rng.normal(size=60)).significant for _ in range(1000)]
    assert 0.002 < np.mean(false) < 0.025  # 1 %
    walk = np.convolve(rng.normal(size=300), np.ones(4) / 2, "valid")
    assert autocorrelation(walk).significant and autocorrelation(walk).correlation == pytest.approx(0.75, abs=0.1)
    z = np.concatenate([rng.normal(size=100), rng.normal(3, size=100)])
    assert autocorrelation(z).significant and not autocorrelation(z, find_change(z, "up")).significant
    assert autocorrelation(rng.normal(size=10)).n == 0 and autocorrelation(np.zeros(50)).n == 0
