"""What defects among the good images cost, and what leaving out the strangest (`amiss fit --contamination`) saves.

    python bench/contamination.py DATA... --seeds 0 1 2 --output docs/results/contamination.json

DATA are data sets with good images to learn from and defective test images. In a clean folder are the good images; in a
dirty one a tenth is defective: so many test images are drawn, at most half of the defective ones. The others are the
test, the same for both folders. A detector learns from each folder, without contamination and with that of --shares;
one row says how many images it left out, how many defective ones are left among those it learned from, and its image
AUROC with a 95 % interval.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from amiss.contamination import leave_out_strangest
from amiss.core.images import Images
from amiss.data import open_dataset
from amiss.metrics import estimate_auroc, units_of
from amiss.recipe import Recipe
from amiss.registry import create
from amiss.splitting import plan_folds
from amiss.storage import write_file

DIRTY = 0.1


def measure(address: str, recipe: Recipe, shares: Sequence[float]) -> list[dict[str, object]]:
    """Rows of one data set and seed."""
    data = open_dataset(address)
    good, rng = data.normal, np.random.default_rng(recipe.seed)
    bad = rng.permutation(np.flatnonzero(data.anomalous))
    planted = bad[: min(round(DIRTY / (1 - DIRTY) * len(good)), len(bad) // 2)]
    rest = np.setdiff1d(np.arange(len(data.test)), planted)
    side, _ = recipe.make_input()
    test = data.test.subset(rest).resized(side)
    rows = []
    for folder in (good, Images.join([good, data.test.subset(planted)])):
        images = folder.resized(side)
        everyone = replace(plan_folds(len(images), 2, recipe.seed), folds=())
        for share in (None, *shares):
            plan, strangest = leave_out_strangest(everyone, images, replace(recipe, contamination=share))
            detector = create(recipe.method, recipe.preset).fit(images.subset(plan.learn), seed=recipe.seed)
            found = estimate_auroc(units_of(data.anomalous[rest]), detector.score(test).image)
            rows.append(
                {
                    "data": data.name,
                    "method": recipe.method,
                    "seed": recipe.seed,
                    "images": len(images),
                    "defective": len(images) - len(good),
                    "contamination": share,
                    "left_out": len(strangest),
                    "defective_learned": int((plan.learn >= len(good)).sum()),
                    "tested": len(rest),
                    "image_auroc": round(found.value, 4),
                    "interval": [round(end, 4) for end in found.interval()],
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    """Measure every data set and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--shares", nargs="+", type=float, default=[0.1, 0.15])
    parser.add_argument("--method", default="patchcore")
    parser.add_argument("--output", type=Path, required=True)
    asked = parser.parse_args()
    rows: list[dict[str, object]] = []
    for address in asked.data:
        for seed in asked.seeds:
            rows += measure(address, Recipe(method=asked.method, seed=seed), asked.shares)
            write_file(asked.output, (json.dumps(rows, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
