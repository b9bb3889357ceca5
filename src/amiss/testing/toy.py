"""The toy world: small seeded images with defects and masks, made in milliseconds, for tests and examples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from amiss.core.checks import check_count
from amiss.core.images import Images

SIDE = 64
"""Height and width of every toy image."""


@dataclass(frozen=True)
class ToyWorld:
    """Toy images and everything that is known about them.

    Args:
        images: N images, RGB uint8 (64, 64, 3).
        masks: (N, 64, 64) True = defective pixel.
        clean: The same images before the defects were drawn, uint8 (N, 64, 64, 3).
    """

    images: Images
    masks: NDArray[np.bool_]
    clean: NDArray[np.uint8]

    @property
    def anomalous(self) -> NDArray[np.bool_]:
        """(N,) True where an image has a defect."""
        return np.asarray(self.masks.any(axis=(1, 2)))


def toy_texture(count: int, *, seed: int, defective: bool = False) -> ToyWorld:
    """Woven cloth: two crossing waves with a random phase, colour noise on top. Position means nothing.

    Args:
        count: Number of images.
        seed: The same seed gives the same images.
        defective: Draw one defect, a dark or bright blot or scratch, into every image.
    """
    rng = np.random.default_rng([1, seed])
    y, x = np.mgrid[:SIDE, :SIDE]
    images = []
    for _ in range(check_count("count", count)):
        phase = rng.uniform(0, 2 * np.pi, 2)
        weave = 24 * np.sin(x * 0.8 + phase[0]) + 24 * np.sin(y * 0.8 + phase[1])
        noise = gaussian_filter(rng.standard_normal((SIDE, SIDE, 3)), (1, 1, 0)) * 24
        images.append(np.array([140, 120, 100]) + weave[:, :, None] + noise)
    return _finish(np.stack(images), rng, defective)


def toy_part(count: int, *, seed: int, defective: bool = False) -> ToyWorld:
    """A registered part: a bright disc with four holes on a dark belt, always at the same place.

    Args:
        count: Number of images.
        seed: The same seed gives the same images.
        defective: Draw one defect, a dark or bright blot or scratch, into every image.
    """
    rng = np.random.default_rng([2, seed])
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    images = []
    for _ in range(check_count("count", count)):
        part = 60 + 120 / (1 + np.exp(np.hypot(x, y) - 24))
        for hole_x, hole_y in ((-12, -12), (12, -12), (-12, 12), (12, 12)):
            part = part - 100 / (1 + np.exp(2 * (np.hypot(x - hole_x, y - hole_y) - 4)))
        shade = part * rng.uniform(0.95, 1.05) + gaussian_filter(rng.standard_normal((SIDE, SIDE)), 1) * 10
        images.append(np.repeat(shade[:, :, None], 3, axis=2))
    return _finish(np.stack(images), rng, defective)


def _finish(drawn: NDArray[np.float64], rng: np.random.Generator, defective: bool) -> ToyWorld:
    clean = drawn.clip(0, 255).astype(np.uint8)
    images, masks = clean.copy(), np.zeros(clean.shape[:3], bool)
    if defective:
        for image, mask in zip(images, masks, strict=True):
            mask |= _shape(rng)
            below = image[mask].mean() > 127
            image[mask] = rng.integers(0, 30, 3) if below else rng.integers(225, 256, 3)
    return ToyWorld(Images(list(images), size=(SIDE, SIDE)), masks, clean)


def _shape(rng: np.random.Generator) -> NDArray[np.bool_]:
    """A blot or a scratch, at least 8 pixels from the border."""
    y, x = np.mgrid[:SIDE, :SIDE]
    centre_y, centre_x = rng.uniform(16, SIDE - 16, 2)
    angle, long = rng.uniform(0, np.pi), rng.uniform(4, 7)
    short = long * rng.uniform(0.5, 1) if rng.random() < 0.5 else 1.5
    along = (x - centre_x) * np.cos(angle) + (y - centre_y) * np.sin(angle)
    across = (y - centre_y) * np.cos(angle) - (x - centre_x) * np.sin(angle)
    return np.asarray((along / long) ** 2 + (across / short) ** 2 <= 1)
