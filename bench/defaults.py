"""Stages, a level near the border, and steps, for the methods whose defaults were set before features looked straight.

    AMISS_DATA=... python bench/defaults.py [--seeds 0,1,2] [--data PART] [METHOD ...]

On the development sets only. Each candidate is scored as it is, and with `BorderLevel` between its grid of scores and
the map. Keeps docs/results/defaults.json. The criterion, fixed before: the mean of image AUROC over the six sets; of
candidates within 0.005 the one that localises better (mean AUPRO), and within 0.005 of that the cheaper one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from development import SETS, SIZE, figures, learned, open_set
from lines import Line, keep, kept
from torch import Tensor

from amiss.background.border_level import BorderLevel
from amiss.core.threads import threads
from amiss.data import Dataset
from amiss.detectors.detector import Detector
from amiss.registry import create
from amiss.statistics.reduce import smooth_upsample

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "defaults.json"
LEVEL_IMAGES = 32

CANDIDATES: dict[str, list[dict[str, Any]]] = {
    "simplenet": [{}, {"stages": (8, 16)}, {"stages": (8, 16), "backbone": "efficientnet-lite2"}],
    "ocsvm": [{}, {"stages": (8, 16)}, {"stages": (8, 16), "neighbourhood": 1}],
    "gmm": [{}, {"stages": (8, 16)}],
    "pca": [{}, {"stages": (8, 16)}],
    "mahalanobis": [{}, {"stages": (8, 16)}],
    "knn": [{}],
    "kmeans": [{}, {"centroids": 1000}],
    "pni": [{}],
    "padim": [{}, {"dimension": 152}],
    "fastflow": [{}, {"steps": 1600}],
    "cflow": [{}, {"steps": 1600}],
}


@contextmanager
def grids_through(detector: Detector, level: BorderLevel | None, seen: list[Tensor] | None = None) -> Iterator[None]:
    """Let the grids of scores of a detector pass through a level on their way to the map, or be kept in a list."""

    def smooth(grid: Tensor, size: tuple[int, int], *, smoothing: float) -> Tensor:
        if seen is not None:
            seen.append(grid)
        return smooth_upsample(grid if level is None else level(grid), size, smoothing=smoothing)

    with patch.object(sys.modules[type(detector).__module__], "smooth_upsample", smooth):
        yield


def measure(method: str, settings: dict[str, Any], data: Dataset, seed: int) -> Iterator[tuple[bool, Line]]:
    """Figures without and with the level; the latter only where a method has one grid."""
    images, test = learned(data, seed), data.test.resized(SIZE)
    detector = create(method, **settings).fit(images, seed=seed)
    yield False, figures(data, detector.score(test))
    seen: list[Tensor] = []
    chosen = np.sort(np.random.default_rng(seed).permutation(len(images))[:LEVEL_IMAGES])
    with grids_through(detector, None, seen):
        detector.score(images.subset(chosen))
    if len({grid.shape[1:] for grid in seen}) == 1:
        level = BorderLevel()
        level.learn(seen)
        with grids_through(detector, level):
            yield True, figures(data, detector.score(test))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("methods", nargs="*", metavar="METHOD")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--data", default="")
    asked = parser.parse_args()
    torch.set_num_threads(threads())
    lines = kept(RESULTS, "data", "method", "settings", "level", "seed")
    for method in asked.methods or CANDIDATES:
        for settings in CANDIDATES[method]:
            for name in (name for name in SETS if asked.data in name):
                for seed in map(int, asked.seeds.split(",")):
                    what = {"data": name, "method": method, "settings": json.dumps(settings)}
                    if (*what.values(), False, seed) in lines:
                        continue
                    for level, found in measure(method, settings, open_set(name), seed):
                        line = {**what, "level": level, "seed": seed, **found}
                        lines[*what.values(), level, seed] = line
                        print(json.dumps(line), flush=True)
                        keep(RESULTS, lines.values())


if __name__ == "__main__":
    main()
