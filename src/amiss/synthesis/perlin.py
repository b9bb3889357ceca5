"""Perlin noise, and masks of it: islands of any size that look like stains, cracks and missing pieces."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from amiss.core.checks import check_count
from amiss.synthesis.noise import Field

LARGEST_POWER = 5
"""A mask has from 1 to ``2^5`` lattice cells along each side."""

THRESHOLD = 0.5
"""Noise above it is in the mask."""


def perlin_noise(shape: tuple[int, int], cells: tuple[int, int], rng: np.random.Generator) -> Field:
    """Smooth noise: gradients at random on a lattice of rectangles, with as many cells along each side as asked for.

    Args:
        shape: Height and width.
        cells: Cells along height and width; unequal numbers make noise with a direction.
        rng: Draws the gradients.

    Returns:
        (H, W), mean about 0, in [-1, 1].

    Raises:
        InputError: No cells.

    Source: Perlin, "Improving noise", ACM Transactions on Graphics 21(3), 2002.

    Example:
        >>> field = perlin_noise((40, 60), (4, 2), np.random.default_rng(0))
        >>> field.shape, bool(abs(field).max() <= 1)
        ((40, 60), True)
    """
    for count in cells:
        check_count("cells", count)
    angles = rng.uniform(0, 2 * math.pi, (cells[0] + 1, cells[1] + 1))
    gradients = np.stack([np.sin(angles), np.cos(angles)])  # (2, rows, columns) of corners
    y, x = ((np.arange(side) + 0.5) * count / side for side, count in zip(shape, cells, strict=True))
    i, j = y.astype(np.intp)[:, None], x.astype(np.intp)[None, :]
    dy, dx = y[:, None] - i, x[None, :] - j
    corner = {
        (a, b): gradients[0, i + a, j + b] * (dy - a) + gradients[1, i + a, j + b] * (dx - b)
        for a in (0, 1)
        for b in (0, 1)
    }
    fade_y, fade_x = (d**3 * (d * (6 * d - 15) + 10) for d in (dy, dx))
    upper = corner[0, 0] + fade_x * (corner[0, 1] - corner[0, 0])
    lower = corner[1, 0] + fade_x * (corner[1, 1] - corner[1, 0])
    return np.asarray(math.sqrt(2) * (upper + fade_y * (lower - upper)), np.float32)


def perlin_mask(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """A mask as DRAEM draws them: Perlin noise of random scale on each axis, turned by a random angle, cut at 0.5.

    Args:
        size: Height and width.
        rng: Draws everything.

    Returns:
        (H, W), True inside; some pixels are, never all.

    Source: Zavrtanik, Kristan and Skocaj, "DRAEM", ICCV 2021.

    Cost:
        5 ms for 256 x 256 pixels.
    """
    while True:
        cells = (2 ** int(rng.integers(LARGEST_POWER + 1)), 2 ** int(rng.integers(LARGEST_POWER + 1)))
        field = perlin_noise(size, cells, rng)
        turn = cv2.getRotationMatrix2D(((size[1] - 1) / 2, (size[0] - 1) / 2), float(rng.uniform(-90, 90)), 1.0)
        turned = cv2.warpAffine(field, turn, (size[1], size[0]), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        mask: NDArray[np.bool_] = np.asarray(turned > THRESHOLD)
        if mask.any() and not mask.all():
            return mask
