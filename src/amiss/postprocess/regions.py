"""Connected regions of an alarm mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from amiss.core.scores import Region

ROWS = 256
"""Rows whose peaks are looked for at once."""


def find_regions(mask: NDArray[np.bool_], score_map: NDArray[np.float32]) -> tuple[Region, ...]:
    """The 8-connected regions of one mask (H, W), highest peak first."""
    import cv2

    if not mask.any():
        return ()
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    peaks = np.full(count, -np.inf)
    for top in range(0, len(mask), ROWS):  # whole labels as indices would be twice the size of the map
        rows = slice(top, top + ROWS)
        np.maximum.at(peaks, np.asarray(labels[rows][mask[rows]], np.intp), score_map[rows][mask[rows]])
    regions = [
        Region(box=(int(left), int(top), int(width), int(height)), area=int(area), peak=float(peak))
        for (left, top, width, height, area), peak in zip(stats[1:], peaks[1:], strict=True)
    ]
    return tuple(sorted(regions, key=lambda region: -region.peak))
