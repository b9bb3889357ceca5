"""Scores and maps whose true metrics are known, for `interval_coverage.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from amiss.metrics.cells import Cells, reduce_images

Classes = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Scores of defective and of good images."""


def _normal(spread: float) -> Callable[[float, int, int, np.random.Generator], Classes]:
    return lambda shift, bad, good, rng: (rng.normal(shift, spread, bad), rng.normal(size=good))


def _hard_half(shift: float, bad: int, good: int, rng: np.random.Generator) -> Classes:
    return rng.normal(shift + 3.0 * (rng.random(bad) < 0.5)), rng.normal(size=good)


def _exponential(shift: float, bad: int, good: int, rng: np.random.Generator) -> Classes:
    return shift + rng.exponential(size=bad), rng.exponential(size=good)


def _heavy(shift: float, bad: int, good: int, rng: np.random.Generator) -> Classes:
    return shift + rng.standard_t(3, bad), rng.standard_t(3, good)


def _tied(shift: float, bad: int, good: int, rng: np.random.Generator) -> Classes:
    return np.round(rng.normal(shift, 1, bad)), np.round(rng.normal(size=good))


def _missed(share: float, bad: int, good: int, rng: np.random.Generator) -> Classes:
    return rng.normal(8.0 * (rng.random(bad) >= share)), rng.normal(size=good)


def _dirty(share: float, bad: int, good: int, rng: np.random.Generator) -> Classes:
    return rng.normal(8.0, 1.0, bad), rng.normal(8.0 * (rng.random(good) < share))


DRAWS: dict[str, Callable[[float, int, int, np.random.Generator], Classes]] = {
    "normal": _normal(1.0),
    "wide": _normal(3.0),
    "narrow": _normal(0.3),
    "hard half": _hard_half,
    "exponential": _exponential,
    "t3": _heavy,
    "tied": _tied,
    "missed": _missed,
    "dirty": _dirty,
}
"""By name: defects of equal, wider and narrower spread than good images, half of them hard, skewed, heavy tails, scores
rounded to whole numbers, a share of the defects that look good, and a share of good images that look defective."""


@cache
def population(kind: str, shift: float, count: int) -> Classes:
    """A large sample of both classes."""
    return DRAWS[kind](shift, count, count, np.random.default_rng(99))


@cache
def parameter(kind: str, area: float) -> float:
    """The shift, or the share, that gives this AUROC."""
    if kind in ("missed", "dirty"):
        return 2 * (1 - area)

    def off(shift: float) -> float:
        bad, good = (np.sort(one) for one in population(kind, round(shift, 6), 100_000))
        below = np.searchsorted(good, bad, "left") + np.searchsorted(good, bad, "right")
        return float(below.mean() / 2 / len(good)) - area

    return round(float(optimize.brentq(off, -3.0, 15.0, xtol=1e-4)), 6)


def clustered(alike: float, shift: float, tails: int) -> Callable[[int, int, int, np.random.Generator], Classes]:
    """Scores of which a share `alike` of the variance is between parts; normal, or t with `tails` degrees."""

    def draw(bad: int, good: int, each: int, rng: np.random.Generator) -> Classes:
        def noise(*shape: int) -> NDArray[np.float64]:
            return rng.standard_t(tails, shape) if tails else rng.normal(size=shape)

        scores = np.sqrt(alike) * noise(bad + good, 1) + np.sqrt(1 - alike) * noise(bad + good, each)
        return scores[:bad].ravel() + shift, scores[bad:].ravel()

    return draw


def two_scores(
    kind: str, one: float, other: float, common: float, bad: int, good: int, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Classes, and scores of two detectors that share a part `common` of the variance, or of the misses."""
    n, defective = bad + good, np.arange(bad + good) < bad
    noise: NDArray[Any] = rng.standard_t(3, (3, n)) if kind == "t3" else rng.normal(size=(3, n))
    first, second = (np.sqrt(common) * noise[0] + np.sqrt(1 - common) * own for own in noise[1:])
    if kind != "missed":
        return defective, first + one * defective, second + other * defective
    hard = rng.random(n)
    again = np.where(rng.random(n) < common, hard, rng.random(n))
    return defective, first + 7 * defective * (hard >= one), second + 7 * defective * (again >= other)


PIXEL_KINDS = ("easy", "faint", "missed", "rarely missed", "skewed")


@dataclass(frozen=True, eq=False)
class Region:
    """A rectangle that counts as found, for sPRO, when a part of it is.

    Args:
        mask: True = inside, (H, W).
        saturation: Pixels that are enough.
    """

    mask: NDArray[np.bool_]
    saturation: float


@dataclass(frozen=True, eq=False)
class World:
    """Maps with rectangles that score higher.

    Args:
        maps: Scores, (N, H, W).
        masks: True = defective, (N, H, W).
        defective: (N,).
    """

    maps: NDArray[np.float32]
    masks: NDArray[np.bool_]
    defective: NDArray[np.bool_]

    def cells(self) -> Cells:
        """The images reduced to counts; a rectangle is saturated at half of its area."""
        regions = [[Region(mask, mask.sum() / 2)] if mask.any() else [] for mask in self.masks]
        return reduce_images(self.masks, self.maps, self.defective, regions=regions)


def pixel_world(
    kind: str, bad: int, good: int, each: int, side: int, rng: np.random.Generator, step: float = 0.0
) -> World:
    """Noise that is brighter in some images, and rectangles of 3 to 8 pixels a side; `each` images are of one part.

    Scores are rounded to multiples of `step`.
    """
    n, groups = bad + good, bad // each
    level = rng.normal(0, 0.3, n) * (1 if each == 1 else 0.2)
    if each > 1:
        level += np.repeat(rng.normal(0, 0.3, n // each), each)
    strength = {
        "easy": lambda: rng.normal(8, 1.5, groups),
        "faint": lambda: rng.normal(3, 1.5, groups),
        "missed": lambda: 7.0 * (rng.random(groups) >= 0.1),
        "rarely missed": lambda: 8.0 * (rng.random(groups) >= 0.02),
        "skewed": lambda: rng.exponential(5, groups),
    }[kind]()
    maps = (level[:, None, None] + rng.normal(size=(n, side, side))).astype(np.float32)
    masks = np.zeros(maps.shape, np.bool_)
    for number in range(bad):
        height, width = rng.integers(3, 9, 2)
        y, x = rng.integers(0, side - height), rng.integers(0, side - width)
        masks[number, y : y + height, x : x + width] = True
        found = strength[number // each] * rng.uniform(0.6, 1.2, (height, width))
        maps[number, y : y + height, x : x + width] += found
    maps = np.round(maps / np.float32(step)) * np.float32(step) if step else maps
    return World(maps, masks, np.arange(n) < bad)
