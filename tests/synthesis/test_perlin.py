"""Perlin noise at its lattice, and what its masks are like."""

import numpy as np
import pytest

from amiss.core.errors import InputError
from amiss.synthesis.perlin import perlin_mask, perlin_noise


def test_noise_is_that_of_the_loop() -> None:
    rng, (rows, columns) = np.random.default_rng(3), (3, 5)
    angles = rng.uniform(0, 2 * np.pi, (rows + 1, columns + 1))
    found = perlin_noise((12, 10), (rows, columns), np.random.default_rng(3))
    for row in range(12):
        for column in range(10):
            y, x = (row + 0.5) * rows / 12, (column + 0.5) * columns / 10
            i, j = int(y), int(x)
            parts = {}
            for a in (0, 1):
                for b in (0, 1):
                    angle = angles[i + a, j + b]
                    parts[a, b] = np.sin(angle) * (y - i - a) + np.cos(angle) * (x - j - b)
            v, u = (6 * d**5 - 15 * d**4 + 10 * d**3 for d in (y - i, x - j))
            wanted = (1 - v) * ((1 - u) * parts[0, 0] + u * parts[0, 1]) + v * ((1 - u) * parts[1, 0] + u * parts[1, 1])
            assert found[row, column] == pytest.approx(np.sqrt(2) * wanted, abs=1e-5)


def test_masks_are_of_all_sizes_and_repeat_with_the_seed() -> None:
    shares = [perlin_mask((64, 96), np.random.default_rng(seed)).mean() for seed in range(100)]
    assert 0 < min(shares) < 0.01 and 0.1 < max(shares) < 0.5
    one, two = (perlin_mask((64, 96), np.random.default_rng(7)) for _ in range(2))
    assert one.shape == (64, 96) and one.dtype == bool and (one == two).all()


def test_cells_must_be_there() -> None:
    with pytest.raises(InputError, match="cells must be"):
        perlin_noise((8, 8), (0, 2), np.random.default_rng(0))
