"""The toy world: small seeded images with defects and masks, made in milliseconds, for tests and examples."""

from __future__ import annotations

from collections.abc import Sequence
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


WEAVE, PART, DOTS, RINGS, BETWEEN = "cloth", "part", "dots", "rings", "between"
"""Kinds of toy images."""


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


def toy_classes(count: int, *, seed: int, defective: bool = False) -> ToyWorld:
    """Cloth and parts by turns, labelled; where defective, rings, which are of neither class.

    Args:
        count: Number of images.
        seed: The same seed gives the same images.
        defective: Draw images of no known class; their masks are true everywhere.
    """
    return _of_kinds(count, [RINGS] if defective else [WEAVE, PART], seed, defective)


def toy_other_classes(count: int, *, seed: int, defective: bool = False) -> ToyWorld:
    """As `toy_classes`, of other classes: dots and rings, and where defective both at once, half of each.

    What is far from all classes and what is between them are not found by the same statistics: each has its world.
    """
    return _of_kinds(count, [BETWEEN] if defective else [DOTS, RINGS], seed, defective)


def _of_kinds(count: int, kinds: Sequence[str], seed: int, defective: bool) -> ToyWorld:
    labels = [kinds[number % len(kinds)] for number in range(check_count("count", count))]
    drawn = {kind: iter(_draw_kind(kind, labels.count(kind), seed)) for kind in sorted(set(labels))}
    pixels = np.stack([next(drawn[label]) for label in labels])
    masks = np.full(pixels.shape[:3], defective)
    return ToyWorld(Images(list(pixels), size=(SIDE, SIDE), labels=labels), masks, pixels)


def _draw_kind(kind: str, count: int, seed: int) -> NDArray[np.uint8]:
    """Images of one kind, (count, 64, 64, 3)."""
    if kind in (WEAVE, PART):
        return (toy_texture if kind == WEAVE else toy_part)(count, seed=seed).clean
    if kind == BETWEEN:
        one, other = (_draw_kind(each, count, seed).astype(np.uint16) for each in (DOTS, RINGS))
        return ((one + other) // 2).astype(np.uint8)
    rng = np.random.default_rng([3, seed])
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    images = []
    for _ in range(count):
        if kind == RINGS:
            shade = 128 + 80 * np.cos(np.hypot(x, y) * rng.uniform(0.7, 0.9) + rng.uniform(0, 2 * np.pi))
        else:
            centres = rng.uniform(-30, 30, (12, 2))
            shade = 220 - 160 * sum(np.exp(-((x - a) ** 2 + (y - b) ** 2) / 8) for a, b in centres).clip(0, 1)
        noise = gaussian_filter(rng.standard_normal((SIDE, SIDE)), 1) * 10
        images.append(np.repeat((shade + noise)[:, :, None], 3, axis=2))
    return np.stack(images).clip(0, 255).astype(np.uint8)


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
