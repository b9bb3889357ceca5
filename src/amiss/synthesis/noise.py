"""Noise in the plane: simplex noise, and Gaussian noise of a chosen spectrum."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from amiss.core.checks import check_count, check_real
from amiss.core.errors import InputError

Field = NDArray[np.float32]
"""One number per pixel, (H, W)."""

_SKEW, _UNSKEW = (math.sqrt(3) - 1) / 2, (3 - math.sqrt(3)) / 6
"""From the plane to the lattice of squares whose halves are the triangles, and back."""

_TABLE = 256  # a power of two: & 255 below wraps around
_LOUDEST = 99.206895
"""1 / the largest sum of the three corners' parts, for gradients of length 1."""


def simplex_noise(
    shape: tuple[int, int], frequency: float, rng: np.random.Generator, octaves: int = 1, persistence: float = 0.5
) -> Field:
    """Smooth noise without a preferred direction: gradients at random on a lattice of equilateral triangles.

    Args:
        shape: Height and width.
        frequency: Lattice cells along the shorter side, in the first octave; each next one has twice as many.
        rng: Draws the gradients, anew in each octave.
        octaves: How many noises are added.
        persistence: Amplitude of each octave as a share of the one before.

    Returns:
        (H, W), mean about 0, in [-1, 1]: amplitudes are divided by their sum.

    Raises:
        InputError: An argument out of range.

    Example:
        >>> field = simplex_noise((40, 60), 4, np.random.default_rng(0), octaves=3)
        >>> field.shape, bool(abs(field).max() <= 1)
        ((40, 60), True)
    """
    check_count("octaves", octaves)
    if check_real("frequency", frequency) <= 0 or check_real("persistence", persistence) <= 0:
        raise InputError(f"frequency and persistence must be above 0, got {frequency} and {persistence}")
    total, weights = np.zeros(shape, np.float32), persistence ** np.arange(octaves)
    for octave, weight in enumerate(weights / weights.sum()):
        step = frequency * 2**octave / min(shape)  # cells per pixel
        total += np.float32(weight) * _one_octave(np.arange(shape[0]) * step, np.arange(shape[1]) * step, rng)
    return total


def _one_octave(rows: NDArray[np.float64], columns: NDArray[np.float64], rng: np.random.Generator) -> Field:
    """Noise at every (row, column), in units of lattice cells."""
    order, angles = rng.permutation(_TABLE), rng.uniform(0, 2 * math.pi, _TABLE)
    gradients = np.stack([np.sin(angles), np.cos(angles)]).astype(np.float32)
    y, x = rows.astype(np.float32)[:, None], columns.astype(np.float32)[None, :]
    skewed = (y + x) * np.float32(_SKEW)
    i, j = np.floor(y + skewed).astype(np.int32), np.floor(x + skewed).astype(np.int32)
    unskewed = (i + j).astype(np.float32) * np.float32(_UNSKEW)
    from_y, from_x = y - i + unskewed, x - j + unskewed
    upper = from_y > from_x  # which half of the square: its corners are (0, 0), (1, 0) or (0, 1), (1, 1)
    noise = np.zeros(skewed.shape, np.float32)
    for a, b, shift in ((0, 0, 0.0), (upper, ~upper, _UNSKEW), (1, 1, 2 * _UNSKEW)):
        dy, dx = from_y - a + np.float32(shift), from_x - b + np.float32(shift)
        corner = order[(order[(i + a) & 255] + j + b) & 255]
        reach = np.maximum(0.5 - dy * dy - dx * dx, 0)
        reach *= reach
        noise += reach * reach * (gradients[0][corner] * dy + gradients[1][corner] * dx)
    return noise * np.float32(_LOUDEST)


def coloured_noise(
    shape: tuple[int, int],
    exponent: float,
    rng: np.random.Generator,
    *,
    wavelengths: tuple[float, float] = (0.0, math.inf),
) -> Field:
    """Gaussian noise whose amplitude falls as 1 / f^exponent with the frequency f; it wraps around.

    Args:
        shape: Height and width.
        exponent: 0 is white noise, 1 the average photograph, 2 as smooth as hills.
        rng: Draws the noise.
        wavelengths: Shortest and longest wave that is kept, in pixels.

    Returns:
        (H, W), mean 0 and standard deviation 1.

    Raises:
        InputError: No wave of the wavelengths fits in.

    Example:
        >>> field = coloured_noise((32, 32), 1.0, np.random.default_rng(0))
        >>> field.shape, bool(abs(field.mean()) < 1e-6), round(float(field.std()), 5)
        ((32, 32), True, 1.0)
    """
    rows, columns = np.fft.fftfreq(shape[0]), np.fft.rfftfreq(shape[1])
    frequency = np.hypot(rows[:, None], columns[None, :])
    frequency[0, 0] = 1.0
    shortest, longest = wavelengths
    gain = frequency**-exponent * (frequency <= 1 / max(shortest, 1e-9)) * (frequency >= 1 / longest)
    gain[0, 0] = 0  # no constant part
    if not gain.any():
        raise InputError(f"wavelengths must fit in {shape[0]} x {shape[1]} pixels, got {wavelengths}")
    white = np.fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    field = np.fft.irfft2(white * gain, s=shape).astype(np.float32)
    return np.asarray(field / field.std(), np.float32)
