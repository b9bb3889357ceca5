"""Which detectors an ensemble is made of: every choice among some, with patchcore among them, on the development sets.

    AMISS_DATA=... python bench/members.py [--seeds 0,1,2] [--data PART] [--of patchcore,padim,ocsvm,pca]

One ensemble of all learns from a set; each choice then averages the maps of its members, on the scales that this
ensemble has learned, less those that it leaves out. Keeps docs/results/members.json. The criterion, fixed before: the
mean of image AUROC over the six sets; of choices within 0.003 the one with fewer members, and of those with as many the
one that localises better (mean AUPRO).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

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
CANDIDATES: dict[str, dict[str, Any]] = {
    **{name: {"method": name} for name in ("patchcore", "padim", "ocsvm", "pca", "mahalanobis")},
    "ocsvm_fine": {"method": "ocsvm", "stages": [8, 16]},
}
USUAL = ("patchcore", "padim", "ocsvm", "pca")


def choices(names: Sequence[str]) -> list[tuple[str, ...]]:
    """All sets of some with the first of them, in the order of their size."""
    return [(names[0], *rest) for count in range(len(names)) for rest in combinations(names[1:], count)]


@torch.no_grad()
def measure(data: Dataset, names: Sequence[str], seed: int) -> Iterator[Line]:
    """A line for each choice."""
    images, test = learned(data, seed), data.test.resized(SIZE)
    ensemble = Ensemble(members=[CANDIDATES[name] for name in names]).fit(images, seed=seed)
    kept_members = list(ensemble.kept)
    with on_runtime(ensemble, test):
        batches = ensemble.batches(test, "test", silent)
        maps = torch.cat([ensemble._maps(batch, kept_members) for batch in batches], dim=1)
    mean, deviation = (values[kept_members].view(-1, 1, 1, 1) for values in (ensemble.mean, ensemble.deviation))
    maps = (maps - mean) / deviation
    for chosen in choices(names):
        members = [place for place, number in enumerate(kept_members) if names[number] in chosen]
        average = maps[members].mean(dim=0).numpy()
        scores = Scores(image=average.max(axis=(1, 2)), map=average)
        left = [name for number, name in enumerate(names) if name in chosen and number not in kept_members]
        yield {"members": " ".join(chosen), "left_out": left, **figures(data, scores)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--data", default="")
    parser.add_argument("--of", default=",".join(USUAL), help="candidates, the first of which is always a member")
    asked = parser.parse_args()
    torch.set_num_threads(threads())
    names = asked.of.split(",")
    lines = kept(RESULTS, "data", "seed", "members")
    for name in (name for name in SETS if asked.data in name):
        for seed in map(int, asked.seeds.split(",")):
            if (name, seed, " ".join(names)) in lines:
                continue
            for found in measure(open_set(name), names, seed):
                line = {"data": name, "seed": seed, **found}
                lines[name, seed, found["members"]] = line
                print(json.dumps(line), flush=True)
            keep(RESULTS, lines.values())


if __name__ == "__main__":
    main()
