"""Which detectors an ensemble is made of: every choice among four, with patchcore among them, on the development sets.

    AMISS_DATA=... python bench/members.py [--seeds 0,1,2] [--data PART]

One ensemble of all four learns from a set; each choice then averages the maps of its members, on the scales that this
ensemble has learned, less those that it leaves out. Keeps docs/results/members.json. The criterion, fixed before: the
mean of image AUROC over the six sets; of choices within 0.003 the one with fewer members, and of those with as many the
one that localises better (mean AUPRO).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import torch
from development import SETS, SIZE, figures, learned, open_set
from lines import Line, keep, kept

from amiss.core.progress import silent
from amiss.core.scores import Scores
from amiss.core.threads import threads
from amiss.data import Dataset
from amiss.detectors.composed.ensemble import Ensemble
from amiss.features.on_runtime import on_runtime

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "members.json"
CANDIDATES = ("patchcore", "padim", "ocsvm", "pca")
CHOICES = [chosen for count in range(1, 5) for chosen in combinations(CANDIDATES, count) if CANDIDATES[0] in chosen]


@torch.no_grad()
def measure(data: Dataset, seed: int) -> Iterator[Line]:
    """A line for each choice."""
    images, test = learned(data, seed), data.test.resized(SIZE)
    ensemble = Ensemble(members=[{"method": name} for name in CANDIDATES]).fit(images, seed=seed)
    kept_members = list(ensemble.kept)
    with on_runtime(ensemble, test):
        batches = ensemble.batches(test, "test", silent)
        maps = torch.cat([ensemble._maps(batch, kept_members) for batch in batches], dim=1)
    mean, deviation = (values[kept_members].view(-1, 1, 1, 1) for values in (ensemble.mean, ensemble.deviation))
    maps = (maps - mean) / deviation
    for chosen in CHOICES:
        members = [place for place, number in enumerate(kept_members) if CANDIDATES[number] in chosen]
        average = maps[members].mean(dim=0).numpy()
        scores = Scores(image=average.max(axis=(1, 2)), map=average)
        left = [name for number, name in enumerate(CANDIDATES) if name in chosen and number not in kept_members]
        yield {"members": " ".join(chosen), "left_out": left, **figures(data, scores)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--data", default="")
    asked = parser.parse_args()
    torch.set_num_threads(threads())
    lines = kept(RESULTS, "data", "seed", "members")
    for name in (name for name in SETS if asked.data in name):
        for seed in map(int, asked.seeds.split(",")):
            if (name, seed, " ".join(CHOICES[-1])) in lines:
                continue
            for found in measure(open_set(name), seed):
                line = {"data": name, "seed": seed, **found}
                lines[name, seed, found["members"]] = line
                print(json.dumps(line), flush=True)
            keep(RESULTS, lines.values())


if __name__ == "__main__":
    main()
