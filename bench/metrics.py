"""Time of the exact pixel metrics and of their intervals, as a multiple of sorting the same pixels once with NumPy.

    python bench/metrics.py

Prints one JSON object. Ratios say more than seconds, which depend on the machine; the best of three runs counts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.metrics import aupimo, aupro, auroc, average_precision
from amiss.metrics.cells import reduce_images
from amiss.metrics.influence import left_out
from amiss.metrics.units import units_of
from amiss.metrics.weighted import areas, error_bound

LIMITS = {"pro": (0.3, 0.05)}


def images(count: int, side: int) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.bool_]]:
    """Masks, maps and classes: half of the images are defective, each with two rectangles that score higher."""
    rng = np.random.default_rng(0)
    maps = rng.random((count, side, side), dtype=np.float32)
    masks = np.zeros(maps.shape, np.bool_)
    defective = np.arange(count) >= count // 2
    for number in np.flatnonzero(defective):
        for _ in range(2):
            y, x = rng.integers(0, side - side // 10, 2)
            height, width = rng.integers(side // 90 + 1, side // 10, 2)
            masks[number, y : y + height, x : x + width] = True
    maps += np.float32(0.5) * masks
    return masks, maps, defective


def seconds(action: Callable[[], Any]) -> float:
    """Best of three."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(count: int, side: int, *, intervals: bool) -> dict[str, Any]:
    """Seconds and ratios for one size."""
    masks, maps, defective = images(count, side)
    sort = seconds(lambda: np.sort(maps, axis=None))
    found: dict[str, Any] = {"images": count, "side": side, "sort_seconds": round(sort, 3)}
    actions: dict[str, Callable[[], Any]] = {
        "aupro": lambda: aupro(masks, maps),
        "auroc": lambda: auroc(masks, maps),
        "average_precision": lambda: average_precision(masks, maps),
        "aupimo": lambda: aupimo(masks, maps),
    }
    if intervals:
        cells = reduce_images(masks, maps, defective)
        units = units_of(defective)
        actions["reduce"] = lambda: reduce_images(masks, maps, defective)
        actions["leave out each image"] = lambda: left_out(lambda weights: areas(cells, weights, LIMITS), units)
        found["cells"] = cells.normal.shape[1]
        found["error_bound"] = {name: float(f"{bound:.1e}") for name, bound in error_bound(cells, LIMITS).items()}
    for name, action in actions.items():
        took = seconds(action)
        found[name] = {"seconds": round(took, 3), "times_sort": round(took / sort, 2)}
    return found


if __name__ == "__main__":
    print(json.dumps([measure(83, 900, intervals=False), measure(160, 256, intervals=True)], indent=2))
