"""What `musc` finds among images of which it is told nothing: it learns from the test images and scores the same.

    python bench/unlabelled.py DATA... --seeds 0 1 2 --output docs/results/unlabelled.json

Three ways for each data set and seed. "all": good and defective test images as they are, as the paper does it. "few":
all good ones and so many defective ones that these are a tenth. "apart": learned from a random half of "all", the other
half scored, which is what an artefact meets. No label is used but for the figures: image AUROC with its 95 % interval.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from amiss.core.images import Images
from amiss.data import open_dataset
from amiss.metrics import estimate_auroc, units_of
from amiss.registry import create
from amiss.storage import write_file

FEW = 0.1


def split(
    anomalous: NDArray[np.bool_], way: str, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Images to learn from, and images to score."""
    every = np.arange(len(anomalous))
    if way == "few":
        good, bad = np.flatnonzero(~anomalous), np.flatnonzero(anomalous)
        count = max(1, round(FEW / (1 - FEW) * len(good)))
        every = np.sort(np.concatenate([good, rng.permutation(bad)[:count]]))
    if way != "apart":
        return every, every
    mixed = rng.permutation(every)
    return np.sort(mixed[::2]), np.sort(mixed[1::2])


def measure(address: str, way: str, seed: int, size: int, method: str) -> dict[str, object]:
    """One data set, one way, one seed."""
    data = open_dataset(address)
    images: Images = data.test.resized((size, size))
    learn, score = split(data.anomalous, way, np.random.default_rng(seed))
    start = time.perf_counter()
    detector = create(method).fit(images.subset(learn), seed=seed)
    seconds = time.perf_counter() - start
    scores = detector.score(images.subset(score)).image
    found = estimate_auroc(units_of(data.anomalous[score]), scores)
    return {
        "data": data.name,
        "method": method,
        "way": way,
        "seed": seed,
        "learned_from": len(learn),
        "defective_among_them": int(data.anomalous[learn].sum()),
        "n_good": int((~data.anomalous[score]).sum()),
        "n_defective": int(data.anomalous[score].sum()),
        "image_auroc": round(found.value, 4),
        "interval": [round(end, 4) for end in found.interval(0.95)],
        "fit_seconds": round(seconds, 1),
    }


def main() -> None:
    """Measure every data set, way and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--ways", nargs="+", default=["all", "few", "apart"])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--method", default="musc")
    parser.add_argument("--output", type=Path, required=True)
    asked = parser.parse_args()
    rows: list[dict[str, object]] = []
    for address in asked.data:
        for seed in asked.seeds:
            for way in asked.ways:
                rows.append(measure(address, way, seed, asked.size, asked.method))
                print(json.dumps(rows[-1]), flush=True)
                write_file(asked.output, (json.dumps(rows, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
