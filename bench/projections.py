"""How RD++'s projections should learn: how fast, and from how strong a noise.

    AMISS_DATA=... python bench/projections.py [--steps 800] [--data tile] [NAME ...]

Trainings (seed 0) on the data of `bench/stages.py`, on which no target is set, measured in the same way. Its line of
reverse distillation with as many steps is what RD++ has to be compared with. Names are those of `CANDIDATES`, `--data`
is a part of a data set's name (default: all). Prints and keeps docs/results/projections.json, where other lines stay.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from candidates import compare
from stages import DATA, measure

from amiss.detectors.student_teacher.reverse_distillation_pp import ReverseDistillationPP

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "projections.json"

CANDIDATES: dict[str, dict[str, Any]] = {
    "as published": {"projection_rate": 1e-3},
    "faster projections": {"projection_rate": 5e-3},
    "stronger noise": {"projection_rate": 1e-3, "noise": 0.4},
}


def trained(settings: dict[str, Any], *images: Any) -> dict[str, Any]:
    """One training."""
    return measure(ReverseDistillationPP(**settings), *images)


if __name__ == "__main__":
    compare(RESULTS, DATA, CANDIDATES, trained, steps=800)
