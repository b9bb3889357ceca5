"""How RD++'s projections should learn: how fast, and from how strong a noise.

    AMISS_DATA=... python bench/projections.py [--steps 800] [--data tile] [NAME ...]

Trainings (seed 0) on the data of `bench/stages.py`, on which no target is set, measured in the same way. Its line of
reverse distillation with as many steps is what RD++ has to be compared with. Names are those of `CANDIDATES`, `--data`
is a part of a data set's name (default: all). Prints and keeps docs/results/projections.json, where other lines stay.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from lines import keep, kept
from stages import DATA, drawn_defects, magnetic_tiles, measure

from amiss.core.threads import threads
from amiss.detectors.student_teacher.reverse_distillation_pp import ReverseDistillationPP

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "projections.json"

CANDIDATES: dict[str, dict[str, Any]] = {
    "default": {},
    "faster projections": {"projection_rate": 5e-3},
    "stronger noise": {"noise": 0.4},
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--data", default="")
    asked = parser.parse_args()
    torch.set_num_threads(threads())
    lines = kept(RESULTS, "data", "candidate", "steps")
    for data, draw in zip(DATA, (drawn_defects, magnetic_tiles), strict=True):
        if asked.data not in data:
            continue
        pictures = draw()
        for name in asked.names or CANDIDATES:
            settings = {"steps": asked.steps, **CANDIDATES[name]}
            line = {
                "data": data,
                "candidate": name,
                **settings,
                **measure(ReverseDistillationPP(**settings), *pictures),
            }
            lines[data, name, asked.steps] = line
            print(json.dumps(line), flush=True)
            keep(RESULTS, lines.values())


if __name__ == "__main__":
    main()
