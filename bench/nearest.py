"""Looking for the nearest vector along the principal axes of a bank: what is found, and whether bounds would pay.

    AMISS_DATA=... python bench/nearest.py [DATA ...]

On the test images of development sets (default: magnetic_tile and elpv:poly), with patchcore's default bank. For each
number of axes: the share of patches for which the very nearest vector is found, by how much distances grow, and the
largest growth of an image's highest distance. And for an exact search in two levels: how many vectors lie, by the
lower bound that the axes give, nearer than the distance of the first candidate; with more than one, the second level
has work. Prints, and keeps docs/results/nearest.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from lines import keep
from torch import Tensor

from amiss.core.progress import silent
from amiss.core.threads import threads
from amiss.data import open_dataset
from amiss.detectors.memory_bank.patchcore import PatchCore
from amiss.evaluation.benchmark.runs import locate
from amiss.statistics.knn import nearest_distance, principal_axes, shortened

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "nearest.json"
AXES, SIZE, TESTED = (32, 48, 64, 96), (256, 256), 40


def bounds(queries: Tensor, bank: Tensor, axes: Tensor) -> dict[str, float]:
    """How many vectors the second level would have to look at."""
    lower = torch.cdist(shortened(queries, axes), shortened(bank, axes))  # (P, M)
    first = (queries - bank[lower.argmin(dim=1)]).square().sum(dim=1).sqrt()
    candidates = (lower < first[:, None]).sum(dim=1).float()
    return {
        "share_with_more_than_one": round(float((candidates > 1).float().mean()), 3),
        "median_candidates": float(candidates.median()),
    }


@torch.no_grad()
def measure(data: str) -> list[dict[str, Any]]:
    """One line for each number of axes."""
    dataset = open_dataset(locate(data), seed=0)
    detector = PatchCore().fit(dataset.normal.resized(SIZE))
    step = max(1, len(dataset.test) // TESTED)
    test = dataset.test.resized(SIZE).subset(range(0, len(dataset.test), step))
    patches = torch.cat([detector.describe(batch).flatten(1, 2) for batch in detector.batches(test, "", silent)])
    queries, bank = (patches - detector.center).flatten(0, 1), detector.bank
    exact, lines = nearest_distance(queries, bank), []
    for count in AXES:
        axes = principal_axes(bank, count)
        found = nearest_distance(queries, bank, axes=axes)
        highest = [each.view(len(test), -1).amax(dim=1) for each in (found, exact)]
        lines.append(
            {
                "data": dataset.name,
                "images": len(test),
                "axes": count,
                "of": bank.shape[1],
                "share_with_the_nearest": round(float((found <= exact * 1.00001).float().mean()), 3),
                "mean_growth": round(float((found / exact).mean()) - 1, 4),
                "largest_growth_of_an_image": round(float((highest[0] / highest[1]).max()) - 1, 4),
                **bounds(queries[:: max(1, len(queries) // 8000)], bank, axes),
            }
        )
    return lines


def main() -> None:
    torch.set_num_threads(threads())
    lines = []
    for data in sys.argv[1:] or ("magnetic_tile", "elpv:poly"):
        for line in measure(data):
            lines.append(line)
            print(json.dumps(line), flush=True)
    keep(RESULTS, lines)


if __name__ == "__main__":
    main()
