"""Dead leaves: shapes of all sizes that lie on top of each other, as things do in photographs.

Radii follow a power law with exponent 3, which makes the image look alike at every scale (Lee, Mumford and Huang,
"Occlusion models for natural images", 2001).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from amiss.synthesis.colours import Canvas, draw_colours

SHIFT = 4
"""Bits after the point in OpenCV's coordinates."""

_PLAIN = 5.0
"""Leaves of a smaller radius, in pixels, have one colour."""


@dataclass(frozen=True)
class Leaves:
    """What an image's leaves have in common.

    Args:
        count: Number of leaves.
        smallest: Radius, in pixels.
        largest: Radius, in pixels.
        corners: Fewest and most corners; many corners make a disc.
        shade: How much brightness changes across a leaf, as a share.
        shadow: Darkness of the shadow that a large leaf casts, as a share; 0 for none.
    """

    count: int
    smallest: float
    largest: float
    corners: tuple[int, int]
    shade: float
    shadow: float


def draw_leaves(size: tuple[int, int], rng: np.random.Generator) -> Leaves:
    """Leaves at random: many small ones, or few large ones."""
    side = min(size)
    smallest = float(np.exp(rng.uniform(math.log(1.5), math.log(side / 12 + 2))))
    largest = max(rng.uniform(0.12, 0.45) * side, 1.5 * smallest)
    mean_area = 2 * math.pi * math.log(largest / smallest) / (smallest**-2 - largest**-2)
    corners = [(3, 5), (4, 4), (24, 24), (24, 24), (3, 24)][int(rng.integers(5))]
    shadow = rng.uniform(0.2, 0.7) if rng.random() < 0.4 else 0.0
    return Leaves(
        count=int(np.clip(rng.uniform(0.7, 2.5) * size[0] * size[1] / mean_area, 4, 350)),
        smallest=smallest,
        largest=largest,
        corners=(int(corners[0]), int(corners[1])),
        shade=rng.uniform(0.1, 0.6) if rng.random() < 0.5 else 0.0,
        shadow=shadow,
    )


def lay(canvas: Canvas, leaves: Leaves, fills: list[Canvas], rng: np.random.Generator) -> Canvas:
    """Lay leaves on an image, one after the other.

    Args:
        canvas: What lies below; (H, W, 3), not changed.
        leaves: See `Leaves`.
        fills: Images of the same size that large leaves are cut from; without any, all have one colour.
        rng: Draws places, shapes and colours.

    Returns:
        A new canvas.
    """
    canvas = canvas.copy()
    height, width = canvas.shape[:2]
    radii = power_law(leaves.count, leaves.smallest, leaves.largest, rng)
    centres = rng.uniform(-0.05, 1.05, (leaves.count, 2)) * [width, height]
    colours, textured = draw_colours(leaves.count, rng), rng.random(leaves.count) < 0.6
    for radius, centre, colour, cut in zip(radii, centres, colours, textured, strict=True):
        outline = centre + radius * _outline(leaves.corners, rng)
        if radius < _PLAIN:
            cv2.fillPoly(canvas, [_fixed(outline)], colour.tolist(), cv2.LINE_8, SHIFT)
            continue
        fill = fills[int(rng.integers(len(fills)))] if fills and cut else None
        _lay_large(canvas, outline, colour, fill, leaves, rng)
    return canvas


def power_law(count: int, smallest: float, largest: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Radii (count,) with a density that falls as r^-3 from the smallest to the largest.

    Example:
        >>> radii = power_law(1000, 2, 50, np.random.default_rng(0))
        >>> bool((radii >= 2).all() and (radii <= 50).all()), bool(np.median(radii) < 3)
        (True, True)
    """
    share = rng.random(count)
    return np.asarray((smallest**-2 - share * (smallest**-2 - largest**-2)) ** -0.5)


def _outline(corners: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Corners (K, 2) of a shape of radius 1, or flatter."""
    count = int(rng.integers(corners[0], corners[1] + 1))
    angles = np.sort(rng.uniform(0, 2 * math.pi, count)) if count < 9 else np.arange(count) * 2 * math.pi / count
    if count == 4:
        angles = math.pi / 4 + np.arange(4) * math.pi / 2  # rectangles are what people make
    radii = 1 + 0.25 * np.sin(angles * rng.integers(2, 6)) * (count > 9 and rng.random() < 0.3)
    turn, flat = rng.uniform(0, 2 * math.pi), rng.uniform(0.2, 1) if rng.random() < 0.6 else 1.0
    points = radii[:, None] * np.stack([np.cos(angles), flat * np.sin(angles)], axis=1)
    cos, sin = math.cos(turn), math.sin(turn)
    return np.asarray(points @ np.array([[cos, sin], [-sin, cos]]))


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.asarray(np.round(points * 2**SHIFT), np.int32)


def _lay_large(
    canvas: Canvas,
    outline: NDArray[np.float64],
    colour: NDArray[np.float32],
    fill: Canvas | None,
    leaves: Leaves,
    rng: np.random.Generator,
) -> None:
    """Lay a leaf with smooth edges, shading, a shadow and a texture into the canvas, in place."""
    height, width = canvas.shape[:2]
    margin = 8
    low = np.maximum(np.floor(outline.min(axis=0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + margin, [width, height])
    if (high - low < 2).any():
        return
    mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
    cv2.fillPoly(mask, [_fixed(outline - low)], 255, cv2.LINE_AA, SHIFT)
    alpha = mask.astype(np.float32)[:, :, None] / 255
    window = canvas[low[1] : high[1], low[0] : high[0]]
    if leaves.shadow:
        cast = np.zeros_like(mask)
        cv2.fillPoly(cast, [_fixed(outline - low + [3, 2])], 255, cv2.LINE_AA, SHIFT)
        window *= 1 - leaves.shadow / 255 * cv2.GaussianBlur(cast, (0, 0), 2).astype(np.float32)[:, :, None]
    inside = colour if fill is None else fill[low[1] : high[1], low[0] : high[0]] + rng.normal(0, 20)
    if leaves.shade:
        slope = rng.normal(0, leaves.shade, 2)
        down, right = (np.linspace(-slope[axis], slope[axis], mask.shape[axis], dtype=np.float32) for axis in (0, 1))
        inside = inside * (1 + down[:, None] + right)[:, :, None]
    window += alpha * (inside - window)
