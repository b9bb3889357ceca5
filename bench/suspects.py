"""How many defective images among the good ones are found by looking at the strangest first (`amiss data --suspects`).

    python bench/suspects.py DATA... --seeds 0 1 2 --output docs/results/suspects.json

DATA are data sets with good images to learn from and defective test images. For each share, so many defective test
images are drawn and mixed into the normal ones, and the share of them among the first 15 % of the list is counted, with
its 95 % interval (Clopper-Pearson). Where 20 % are defective, no list can have more than 75 % of them there.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np

from amiss.core.images import Images
from amiss.core.survey import survey
from amiss.data import open_dataset
from amiss.evaluation.suspects import find_suspects
from amiss.metrics import Rate
from amiss.recipe import Recipe
from amiss.storage import write_file

SHARES = (0.05, 0.1, 0.2)
LOOKED_AT = 0.15
MOST_GOOD = 100


def measure(address: str, share: float, method: str, seed: int) -> dict[str, object]:
    """One list: `share` of its images are defective."""
    data = open_dataset(address)
    rng = np.random.default_rng(seed)
    good = data.normal.subset(np.sort(rng.permutation(len(data.normal))[:MOST_GOOD]))
    bad = np.flatnonzero(data.anomalous)
    count = min(round(share / (1 - share) * len(good)), len(bad))
    planted = data.test.subset(rng.permutation(bad)[:count])
    found = find_suspects(Images.join([good, planted]), Recipe(method=method, seed=seed))
    wanted = set(survey(planted).identities)
    first = math.ceil(LOOKED_AT * len(found.scores))
    hits = sum(identity in wanted for identity in survey(found.images.subset(range(first))).identities)
    rate = Rate(hits, count)
    return {
        "data": data.name,
        "method": method,
        "seed": seed,
        "share": share,
        "images": len(found.scores),
        "planted": count,
        "looked_at": first,
        "found": hits,
        "rate": round(rate.rate, 4),
        "interval": [round(end, 4) for end in rate.interval],
        "far_out": found.far_out,
    }


def main() -> None:
    """Measure every data set, share and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--method", default="patchcore")
    parser.add_argument("--output", type=Path, required=True)
    asked = parser.parse_args()
    rows = []
    for address in asked.data:
        for share in SHARES:
            for seed in asked.seeds:
                rows.append(measure(address, share, asked.method, seed))
                print(json.dumps(rows[-1]), flush=True)
                write_file(asked.output, json.dumps(rows, indent=1).encode())


if __name__ == "__main__":
    main()
