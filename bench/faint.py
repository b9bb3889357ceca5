"""How faint a defect reverse distillation and RD++ still find, and what in RD++ costs or gains.

    AMISS_DATA=... python bench/faint.py [--steps 1200] [NAME ...]

Trainings (seed 0) on good *training* pictures of the screw, of which a fifth are held out, as `bench/stages.py` has
them; no test picture is opened. The defects drawn into the held-out ones are mixed with the picture as it was, so that
a share of them is left: at full strength nearly every one is found, and methods cannot be told apart. Names are those
of `CANDIDATES`. Prints and keeps docs/results/faint.json, where other lines stay.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from candidates import compare
from stages import SIDE, drawn_defects

from amiss import Images
from amiss.metrics import auroc
from amiss.registry import create

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "faint.json"
SHARES = (0.5, 0.25, 0.125)

CANDIDATES: dict[str, dict[str, Any]] = {
    "reverse_distillation": {"method": "reverse_distillation"},
    "RD++": {"method": "reverse_distillation_pp"},
    "RD++, slower projections": {"method": "reverse_distillation_pp", "projection_rate": 1e-3},
    "RD++, no transport": {"method": "reverse_distillation_pp", "transport": 0.0},
}


def screws() -> tuple[Images, Images, dict[float, Images]]:
    """Normal pictures to learn from, good ones held out, and these with defects of each strength."""
    learned, good, drawn, _ = drawn_defects()
    plain = [good[index // (len(drawn) // len(good))] for index in range(len(drawn))]
    return learned, good, {share: mixed(plain, drawn, share) for share in SHARES}


def mixed(plain: list[Any], drawn: Images, share: float) -> Images:
    """Drawn pictures of which a share is left."""
    pictures = [
        np.clip(np.rint(before + share * (np.asarray(after, np.float32) - before)), 0, 255).astype(np.uint8)
        for before, after in zip(plain, drawn, strict=True)
    ]
    return Images(pictures, size=(SIDE, SIDE))


def measure(settings: dict[str, Any], learned: Images, good: Images, faint: dict[float, Images]) -> dict[str, Any]:
    """Image AUROC of one training for each strength, and their mean."""
    detector = create(settings["method"], **{name: value for name, value in settings.items() if name != "method"})
    normal = detector.fit(learned).score(good).image
    areas = dict[str, float]()
    for share, strange in faint.items():
        scores = np.concatenate([normal, detector.score(strange).image])
        labels = np.repeat([False, True], [len(good), len(strange)])
        areas[str(share)] = round(auroc(labels, scores), 4)
    mean = round(float(np.mean(list(areas.values()))), 4)
    return {"n_good": len(good), "n_defective": len(strange), "image_auroc": areas, "mean": mean}


if __name__ == "__main__":
    compare(RESULTS, {"mvtec_screw, faint defects": screws}, CANDIDATES, measure, steps=1200)
