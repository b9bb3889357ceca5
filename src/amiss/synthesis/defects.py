"""Defects drawn into good images: blobs of foreign texture, noise, leaves, or of another place of the image."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from amiss.core.images import Size
from amiss.synthesis.colours import Canvas, noise_canvas, paint
from amiss.synthesis.dead_leaves import draw_leaves, lay
from amiss.synthesis.noise import Field
from amiss.synthesis.textures import draw_texture, hills

LEAST = 6.0
"""Grey levels that a defect changes its pixels by, on average: a change that nobody can see is not a defect."""

_SMALLEST = 32
"""Textures are drawn at least this large, in pixels, and cut."""


def draw_defect(image: NDArray[np.uint8], rng: np.random.Generator) -> tuple[NDArray[np.uint8], Field]:
    """One defect, at a random place, of random size, content and strength.

    Args:
        image: RGB (H, W, 3), at least 8 pixels wide and high; not changed.
        rng: Draws everything.

    Returns:
        The image with the defect, uint8 (H, W, 3), and alpha (H, W) in [0, 1]: the share of the defect in each pixel,
        0 where nothing was changed.

    Cost:
        3 to 15 ms for 256 x 256 pixels.

    Example:
        >>> good = np.full((64, 64, 3), 128, np.uint8)
        >>> bad, alpha = draw_defect(good, np.random.default_rng(0))
        >>> bool((bad[alpha == 0] == 128).all()), bool((bad != good).any())
        (True, True)
    """
    size = (image.shape[0], image.shape[1])
    for _ in range(20):
        box = _box(size, rng)
        shape = blob((box[2] - box[0], box[3] - box[1]), rng) * np.float32(rng.uniform(0.25, 1))
        content = _content(image, shape.shape, rng)
        changed = image.copy()
        window = changed[box[0] : box[2], box[1] : box[3]]
        mixed = window + shape[:, :, None] * (content - window)
        window[:] = np.where(shape[:, :, None] > 0, np.round(mixed), window).astype(np.uint8)
        alpha = np.zeros(size, np.float32)
        alpha[box[0] : box[2], box[1] : box[3]] = shape
        difference = np.abs(changed.astype(np.float32) - image).mean(axis=2)
        if alpha.any() and difference[alpha > 0].mean() >= LEAST:
            break
    return changed, alpha


def blob(size: Size, rng: np.random.Generator) -> Field:
    """A ragged spot with soft edges, (H, W) in [0, 1]: 0 at the border, 1 inside."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    radius = np.hypot((2 * y + 1) / height - 1, (2 * x + 1) / width - 1)
    ragged = (1 - radius) * (1 + 0.7 * np.tanh(hills(size, int(rng.integers(1, 5)), rng)))
    return np.asarray(np.clip((ragged - 0.1) / rng.uniform(0.05, 0.3), 0, 1), np.float32)


def _box(size: Size, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of where the defect lies; from 1/16 to 1/3 of the shorter side, up to 1 : 3."""
    area = math.exp(2 * rng.uniform(math.log(1 / 16), math.log(1 / 3))) * min(size) ** 2
    aspect = math.exp(rng.uniform(-math.log(3), math.log(3)))
    height, width = (int(np.clip(round(side), 6, most)) for side, most in zip(_sides(area, aspect), size, strict=True))
    top, left = int(rng.integers(size[0] - height + 1)), int(rng.integers(size[1] - width + 1))
    return top, left, top + height, left + width


def _sides(area: float, aspect: float) -> tuple[float, float]:
    return math.sqrt(area * aspect), math.sqrt(area / aspect)


def _content(image: NDArray[np.uint8], size: tuple[int, ...], rng: np.random.Generator) -> Canvas:
    """What the defect is made of, (h, w, 3)."""
    height, width = size
    kind = rng.integers(4)
    if kind == 0:  # another place of the image, turned over
        top, left = rng.integers(image.shape[0] - height + 1), rng.integers(image.shape[1] - width + 1)
        return image[top : top + height, left : left + width][::-1, ::-1].astype(np.float32)
    drawn = (max(height, _SMALLEST), max(width, _SMALLEST))
    canvas = noise_canvas(drawn, rng) if kind == 1 else paint(draw_texture(drawn, rng), rng)
    if kind == 3:
        canvas = lay(canvas, draw_leaves(drawn, rng), [], rng)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.6)[:height, :width].clip(0, 255), np.float32)
