"""What 1, 2, 4 and 8 good images are worth.

    python bench/few_shot.py MVTEC/bottle --output docs/results/few_shot.json
    python bench/few_shot.py DATA... --methods patchcore,patchcore:few_shot --counts 1,4 --output FILE

A line per data set, method and preset, number of images and seed, which draws the images and what learning draws:
image and pixel AUROC, AUPRO to a false-positive rate of 0.05 (where there are masks), and at the threshold that `fit`
sets from so few images the false alarms among good test images and the defective ones that were found. A line that is
in the output already is not run again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from lines import Line, keep, kept

import amiss
from amiss.data import open_dataset
from amiss.data.dataset import Dataset
from amiss.evaluation import evaluate

METRICS = ("image_auroc", "pixel_auroc", "pixel_aupro_05")
SHOWN = ("false_alarms", "detections")


def measure(data: Dataset, method: str, count: int, seed: int, size: int) -> Line:
    """One line: learn from `count` images, judge all of the test."""
    name, _, preset = method.partition(":")
    chosen = np.sort(np.random.default_rng(seed).permutation(len(data.normal))[:count])
    inspector = amiss.fit(data.normal.subset(chosen), method=name, preset=preset or None, seed=seed, size=size)
    found = evaluate(inspector, data).summary()
    line: Line = {"data": data.name, "method": method, "images": count, "seed": seed, "size": size}
    line |= {"rule": found["rule"], "n_good": found["n_good"], "n_defective": found["n_defective"]}
    line |= {key: None if found[key] is None else round(found[key], 4) for key in METRICS}
    return line | {key: round(found[key]["rate"], 4) for key in SHOWN}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+")
    parser.add_argument("--methods", default="patchcore:few_shot")
    parser.add_argument("--counts", default="1,2,4,8")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--output", type=Path, required=True)
    asked = parser.parse_args()
    key = ("data", "method", "images", "seed", "size")
    for address in asked.data:
        data = open_dataset(address)
        for method in asked.methods.split(","):
            for count in map(int, asked.counts.split(",")):
                for seed in map(int, asked.seeds.split(",")):
                    lines = kept(asked.output, *key)
                    if (data.name, method, count, seed, asked.size) in lines:
                        continue
                    line = measure(data, method, count, seed, asked.size)
                    lines[data.name, method, count, seed, asked.size] = line
                    keep(asked.output, lines.values())
                    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
