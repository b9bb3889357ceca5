"""Noise against its definition: every lattice point within reach, and the spectrum that was asked for."""

import math

import numpy as np
import pytest

from amiss.core.errors import InputError
from amiss.synthesis.noise import coloured_noise, simplex_noise


def every_lattice_point(y, x, order, angles):
    """Simplex noise at one place: the sum over all points of the triangular lattice, near or far."""
    total = 0.0
    for i in range(-2, 12):
        for j in range(-2, 12):
            shift = (i + j) * (3 - math.sqrt(3)) / 6
            dy, dx = y - (i - shift), x - (j - shift)
            angle = angles[order[(order[i % 256] + j) % 256]]
            reach = max(0.0, 0.5 - dy * dy - dx * dx)
            total += reach**4 * (math.sin(angle) * dy + math.cos(angle) * dx)
    return 99.206895 * total


def test_simplex_is_the_sum_over_all_lattice_points() -> None:
    field = simplex_noise((13, 17), 5, np.random.default_rng(4))
    rng = np.random.default_rng(4)
    order, angles = rng.permutation(256), rng.uniform(0, 2 * math.pi, 256)
    step = 5 / 13
    wanted = [[every_lattice_point(y * step, x * step, order, angles) for x in range(17)] for y in range(13)]
    np.testing.assert_allclose(field, wanted, atol=1e-4)


def test_simplex_fills_its_range_and_has_no_mean() -> None:
    field = simplex_noise((500, 700), 60, np.random.default_rng(0))
    assert field.dtype == np.float32 and np.abs(field).max() <= 1 and np.abs(field).max() > 0.85
    assert abs(field.mean()) < 0.01 and 0.45 < field.std() < 0.6


def test_frequency_counts_cells_along_the_shorter_side() -> None:
    small = simplex_noise((20, 30), 3, np.random.default_rng(1), octaves=2, persistence=0.7)
    large = simplex_noise((40, 60), 3, np.random.default_rng(1), octaves=2, persistence=0.7)
    np.testing.assert_allclose(large[::2, ::2], small, atol=1e-5)


def test_octaves_add_up_with_falling_amplitudes() -> None:
    rng = np.random.default_rng(2)
    parts = [simplex_noise((32, 32), frequency, rng) for frequency in (4, 8, 16)]
    wanted = (parts[0] + 0.5 * parts[1] + 0.25 * parts[2]) / 1.75
    np.testing.assert_allclose(simplex_noise((32, 32), 4, np.random.default_rng(2), octaves=3), wanted, atol=1e-6)


@pytest.mark.parametrize(("frequency", "octaves", "persistence"), [(0, 1, 0.5), (4, 0, 0.5), (4, 1, -1)])
def test_what_makes_no_noise_is_refused(frequency: float, octaves: int, persistence: float) -> None:
    with pytest.raises(InputError):
        simplex_noise((8, 8), frequency, np.random.default_rng(0), octaves, persistence)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_the_amplitude_falls_with_the_exponent(exponent: float) -> None:
    rng = np.random.default_rng(0)
    power = sum(np.abs(np.fft.rfft2(coloured_noise((64, 64), exponent, rng))) ** 2 for _ in range(50))
    frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.rfftfreq(64)[None, :])
    kept = (frequency > 0.03) & (frequency < 0.5)
    slope = np.polyfit(np.log(frequency[kept]), np.log(power[kept]), 1)[0]
    assert slope == pytest.approx(-2 * exponent, abs=0.05)


def test_a_band_of_wavelengths() -> None:
    field = coloured_noise((60, 80), 0.5, np.random.default_rng(3), wavelengths=(5, 10))
    frequency = np.hypot(np.fft.fftfreq(60)[:, None], np.fft.rfftfreq(80)[None, :])
    power = np.abs(np.fft.rfft2(field)) ** 2
    inside = (frequency >= 1 / 10) & (frequency <= 1 / 5)
    assert power[~inside].sum() < 1e-8 * power[inside].sum() and field.std() == pytest.approx(1, abs=1e-5)
    with pytest.raises(InputError, match="wavelengths must fit"):
        coloured_noise((8, 8), 1, np.random.default_rng(3), wavelengths=(20, 30))
