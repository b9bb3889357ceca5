"""Connected regions of an alarm mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from amiss.core.images import Size
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


def resize_regions(regions: Sequence[Region], size: Size, image: Size) -> tuple[Region, ...]:
    """Regions in pixels of a map of one (height, width) to pixels of the image: boxes grow to whole pixels."""
    result = []
    for region in regions:
        left, top, width, height = region.box
        x, y = left * image[1] // size[1], top * image[0] // size[0]
        x_end, y_end = -((left + width) * -image[1] // size[1]), -((top + height) * -image[0] // size[0])
        area = max(1, round(region.area * image[0] * image[1] / (size[0] * size[1])))
        result.append(Region(box=(x, y, x_end - x, y_end - y), area=area, peak=region.peak))
    return tuple(result)
