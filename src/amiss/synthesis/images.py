"""Whole images, drawn when they are asked for: textures, dead leaves and noise under some light and some lens.

They teach a network what images are made of (edges, corners, blobs, gradients, textures and colours, sharp and
blurred, dark and bright), and belong to nobody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from amiss.core.checks import check_count
from amiss.core.images import Images, Size
from amiss.synthesis.colours import Canvas, draw_colours, noise_canvas, paint
from amiss.synthesis.dead_leaves import Leaves, draw_leaves, lay
from amiss.synthesis.textures import draw_texture, hills

_STREAM = 3
"""Keeps these draws apart from others of the same seed."""


@dataclass(frozen=True)
class ProceduralImage:
    """One image, drawn anew whenever it is read; an `Image` for `Images`.

    Args:
        index: Which of the images of this seed.
        size: Height and width, in pixels.
        seed: Random seed of all images.
    """

    index: int
    size: Size
    seed: int

    @property
    def name(self) -> str:
        """How errors and reports call it."""
        return f"procedural image {self.index} of seed {self.seed}"

    def read(self) -> NDArray[np.uint8]:
        """RGB (H, W, 3)."""
        return draw_image(self.size, np.random.default_rng([_STREAM, self.seed, self.index]))


def procedural_images(count: int, size: Size = (256, 256), seed: int = 0) -> Images:
    """Images that are drawn when they are read; number i depends on the seed, the size and i alone.

    Args:
        count: How many.
        size: Height and width, in pixels.
        seed: Not negative.

    Raises:
        InputError: No images, or a negative seed.

    Cost:
        20 to 30 ms for 256 x 256 pixels on one core.

    Example:
        >>> images = procedural_images(1000, (64, 64), seed=0)
        >>> len(images), images[999].shape
        (1000, (64, 64, 3))
    """
    check_count("count", count)
    check_count("seed", seed, least=0)
    return Images([ProceduralImage(index, size, seed) for index in range(count)], size=size)


def draw_image(size: Size, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One image, RGB uint8 (H, W, 3)."""
    kind = rng.random()
    if kind < 0.1:
        canvas = noise_canvas(size, rng)
    elif kind < 0.4:
        canvas = _surface(size, rng)
    elif kind < 0.75:
        canvas = lay(_surface(size, rng), draw_leaves(size, rng), [_surface(size, rng) for _ in range(2)], rng)
    else:
        canvas = _things(size, rng)
    return _photograph(canvas, rng)


def _surface(size: Size, rng: np.random.Generator) -> Canvas:
    """A texture in colours, with some grain or none."""
    canvas = paint(draw_texture(size, rng), rng)
    if rng.random() < 0.3:
        canvas = canvas + 0.3 * (noise_canvas(size, rng) - 128)
    return canvas


def _things(size: Size, rng: np.random.Generator) -> Canvas:
    """A few large things, with textures of their own, before a calm background."""
    calm = paint(0.25 * hills(size, 1, rng) + 0.5, rng, colours=draw_colours(2, rng))
    canvas = calm if rng.random() < 0.7 else _surface(size, rng)
    side = min(size)
    things = Leaves(
        count=int(rng.integers(1, 9)),
        smallest=rng.uniform(0.06, 0.2) * side,
        largest=rng.uniform(0.25, 0.45) * side,
        corners=(3, 24),
        shade=rng.uniform(0, 0.7),
        shadow=rng.uniform(0, 0.6),
    )
    return lay(canvas, things, [_surface(size, rng) for _ in range(3)], rng)


def _photograph(canvas: Canvas, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Light, lens, sensor and file: shading, blur, contrast, grain, grey, and the marks of compression."""
    size = (canvas.shape[0], canvas.shape[1])
    if rng.random() < 0.4:
        canvas = canvas * (1 + rng.uniform(0.05, 0.2) * hills(size, 1, rng))[:, :, None]
    if rng.random() < 0.35:
        width = float(np.exp(rng.uniform(math.log(0.5), math.log(3))))
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), width), np.float32)
    contrast = rng.uniform(15, 70) / max(float(canvas.std()), 5)
    canvas = (canvas - canvas.mean()) * min(contrast, 3) + rng.uniform(45, 210)
    if rng.random() < 0.5:
        canvas = canvas + rng.standard_normal(canvas.shape, dtype=np.float32) * rng.uniform(1, 10)
    if rng.random() < 0.1:
        canvas = np.repeat(canvas.mean(axis=2, keepdims=True), 3, axis=2)
    image = np.clip(canvas, 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))]
        image = np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(image)
