"""What a teacher learned from: drawn images against photographs, by how well its descriptors find defects.

    AMISS_DATA=... python bench/teachers.py DRAWN PHOTOGRAPHS [architecture ...]

Both folders hold files of `amiss distil`, <architecture>.safetensors. The measure is a plain one, so that it is the
descriptors that count: distance to the nearest of 10,000 normal descriptors, maximum over the image. On magnetic
tiles (needs AMISS_DATA) and polycrystalline solar cells, which carry no target; with weights drawn at random as the
baseline. Prints and keeps docs/results/teachers.json, where other architectures stay as they are: image AUROC, and the
difference with its paired 95 % interval.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lines import keep, kept
from numpy.typing import NDArray

from amiss.background.reservoir import Reservoir
from amiss.core.images import Images
from amiss.data import open_dataset
from amiss.evaluation.benchmark.runs import locate
from amiss.features.batch import to_batch
from amiss.features.teacher import RANDOM, Teacher
from amiss.metrics import auroc
from amiss.metrics.paired import paired_difference
from amiss.statistics.knn import nearest_distance
from amiss.statistics.reduce import place_patches, smooth_upsample

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "teachers.json"
DATA = ("magnetic_tile", "elpv:poly")
ARCHITECTURES = ("pdn-xs", "students-33-xs", "students-65-xs")
SIDE, BANK, RESAMPLES = 256, 10_000, 1000


@torch.no_grad()
def image_scores(teacher: Teacher, normal: Images, test: Images) -> NDArray[np.float64]:
    """Of the test images; the bank is drawn from the normal ones."""
    bank = Reservoir(BANK, np.random.default_rng(0))
    for pixels in normal.batches(8):
        bank.add(describe(teacher, pixels).flatten(0, 2))
    vectors = bank.sample()
    mean, deviation = vectors.mean(dim=0), vectors.std(dim=0).clamp_min(1e-3 * float(vectors.std()))
    vectors = (vectors - mean) / deviation
    found = []
    for pixels in test.batches(8):
        grid = nearest_distance((describe(teacher, pixels) - mean) / deviation, vectors)
        scores = place_patches(grid, (SIDE, SIDE), patch=teacher.patch, stride=teacher.stride)
        found.append(smooth_upsample(scores, (SIDE, SIDE), smoothing=4.0).amax(dim=(1, 2)).double().numpy())
    return np.concatenate(found)


def describe(teacher: Teacher, pixels: NDArray[np.uint8]) -> torch.Tensor:
    """Descriptors (N, h, w, C)."""
    return teacher(to_batch(torch.from_numpy(pixels))).permute(0, 2, 3, 1)


def compare(architecture: str, places: dict[str, str], data: str) -> dict[str, Any]:
    """One line of the results."""
    dataset = open_dataset(locate(data), seed=0)
    normal, test = dataset.normal.resized((SIDE, SIDE)), dataset.test.resized((SIDE, SIDE))
    labels = dataset.anomalous
    scores = {name: image_scores(Teacher(architecture, place), normal, test) for name, place in places.items()}
    rng = np.random.default_rng(0)
    draws = [resample(labels, rng) for _ in range(RESAMPLES)]
    values = {name: auroc(labels, one) for name, one in scores.items()}
    again = {name: np.array([auroc(labels[some], one[some]) for some in draws]) for name, one in scores.items()}
    difference = paired_difference(
        values["procedural"], values["photographs"], again["procedural"], again["photographs"]
    ).summary()
    counts = {"n_good": int((~labels).sum()), "n_defective": int(labels.sum())}
    return {"architecture": architecture, "data": dataset.name, "image_auroc": values, **counts, "paired": difference}


def resample(labels: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.intp]:
    """Images drawn with replacement, as many of each class as there are."""
    return np.concatenate([rng.choice(np.flatnonzero(labels == kind), (labels == kind).sum()) for kind in (0, 1)])


def main() -> None:
    drawn, photographs, *asked = sys.argv[1:]
    lines = kept(RESULTS, "architecture", "data")
    for architecture in asked or ARCHITECTURES:
        file = f"{architecture}.safetensors"
        places = {"procedural": f"{drawn}/{file}", "photographs": f"{photographs}/{file}", "random weights": RANDOM}
        for data in DATA:
            line = compare(architecture, places, data)
            lines[architecture, line["data"]] = line
            print(json.dumps(line), flush=True)
            keep(RESULTS, lines.values())


if __name__ == "__main__":
    main()
