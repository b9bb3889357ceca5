"""Whether good images are strangest at their border, which only a fault of the detector explains."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHARE = 16
"""The rim is this part of the shorter side: 16 pixels of 256."""


def rim_width(height: int, width: int) -> int:
    """Width of the rim of an image, in pixels; at least 1."""
    return max(1, min(height, width) // SHARE)


def rim_area(height: int, width: int) -> float:
    """Share of the pixels that lie on the rim, in [0, 1].

    Example:
        >>> rim_area(256, 256)
        0.234375
    """
    rim = rim_width(height, width)
    return 1 - max(height - 2 * rim, 0) * max(width - 2 * rim, 0) / (height * width)


def peaks_on_rim(score_map: NDArray[np.floating]) -> bool:
    """Whether the largest score of a map (H, W) lies on the rim and nowhere else."""
    rim = rim_width(*score_map.shape)
    inside = score_map[rim:-rim, rim:-rim]
    return bool(inside.size == 0 or score_map.max() > inside.max())


def hot_spot_outside(score_map: NDArray[np.floating], marked: NDArray[np.bool_]) -> bool:
    """Whether the highest score of a map (H, W) lies outside what is marked (H, W), by more than a little.

    A little is a thirty-second of the shorter side: cells of features are about so large, and marks drawn by hand.

    Example:
        >>> marked = np.zeros((64, 64), bool)
        >>> marked[10:20, 10:20] = True
        >>> near, far = np.zeros((2, 64, 64))
        >>> near[21, 15], far[40, 15] = 1.0, 1.0
        >>> hot_spot_outside(near, marked), hot_spot_outside(far, marked)
        (False, True)
    """
    away = min(score_map.shape) // 32
    row, column = np.unravel_index(int(np.argmax(score_map)), score_map.shape)
    around = marked[max(0, row - away) : row + away + 1, max(0, column - away) : column + away + 1]
    return not bool(around.any())
