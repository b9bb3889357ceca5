"""Altered copies of a good image: moved, turned, nearer, darker, as the next good part might come."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

COPIES = 8
"""Copies that are made of an image."""

SHIFT, TURN, SCALE, LIGHT, NOISE = 0.02, 5.0, 0.02, 0.05, 2.0
"""Most that a copy is moved, as a share of its sides; turned, in degrees; enlarged or made smaller, as a share; lighter
or darker, as a share; and the standard deviation of its noise, in levels of 256. What a fixture and a lamp leave."""


def altered_copies(image: NDArray[np.uint8], seed: int = 0, count: int = COPIES) -> list[NDArray[np.uint8]]:
    """Copies of an image, each altered in every way at once; what comes in from outside repeats the border.

    Args:
        image: RGB uint8 (H, W, 3).
        seed: Random seed.
        count: How many.

    Example:
        >>> [copy.shape for copy in altered_copies(np.zeros((20, 30, 3), np.uint8), count=2)]
        [(20, 30, 3), (20, 30, 3)]
    """
    rng = np.random.default_rng(seed)
    return [_altered(image, rng) for _ in range(count)]


def _altered(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    shift = rng.uniform(-SHIFT, SHIFT, 2) * (image.shape[1], image.shape[0])
    moved = _warped(image, rng.uniform(-TURN, TURN), 1 + rng.uniform(-SCALE, SCALE), (shift[0], shift[1]))
    lit = moved * (1 + rng.uniform(-LIGHT, LIGHT)) + rng.normal(0, NOISE, image.shape)
    return np.clip(np.rint(lit), 0, 255).astype(np.uint8)


def _warped(image: NDArray[np.uint8], degrees: float, scale: float, shift: tuple[float, float]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, scale)
    matrix[:, 2] += np.array(shift)
    warped = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)
