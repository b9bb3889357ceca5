"""What reverse distillation's default rests on: stages, standardised features, balanced maps.

    AMISS_DATA=... python bench/stages.py

Short trainings (seed 0) on data that no target is set on: magnetic tiles with their test pictures, and screws of
which only good *training* pictures are used, a fifth of them held out, as they are and with two drawn defects each
(`amiss.synthesis.draw_defect`). No test picture of the screws is opened. Every training is scored twice: the stages as
multiples of their usual error, and as they are. Prints and keeps docs/results/stages.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from amiss import Images
from amiss.core.threads import threads
from amiss.data import open_dataset
from amiss.detectors.student_teacher.reverse_distillation import ReverseDistillation
from amiss.evaluation.benchmark.runs import locate
from amiss.metrics import auroc
from amiss.storage import write_file
from amiss.synthesis.defects import draw_defect

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "stages.json"
STEPS, SIDE, VERSIONS = 200, 256, 2

CANDIDATES: list[dict[str, Any]] = [
    {"backbone": "efficientnet-lite0", "stages": (8, 16, 32), "standardise": False},
    {"backbone": "efficientnet-lite0", "stages": (8, 16, 32), "standardise": True},
    {"backbone": "efficientnet-lite0", "stages": (8, 16), "standardise": True},
    {"backbone": "efficientnet-lite2", "stages": (8, 16), "standardise": True},
    {"backbone": "efficientnet-lite2", "stages": (16, 32), "standardise": True},
]


def magnetic_tiles() -> tuple[Images, Images, Images]:
    """Normal pictures to learn from, good and defective test pictures."""
    dataset = open_dataset(locate("magnetic_tile"), seed=0)
    test, defective = dataset.test.resized((SIDE, SIDE)), np.asarray(dataset.anomalous)
    good, bad = (test.subset(np.flatnonzero(kind)) for kind in (~defective, defective))
    return dataset.normal.resized((SIDE, SIDE)), good, bad


def drawn_defects() -> tuple[Images, Images, Images]:
    """The same of the screw's training pictures alone: good ones held out, and defects drawn into these."""
    normal = open_dataset(locate("mvtec_screw"), seed=0).normal.resized((SIDE, SIDE))
    order = np.random.default_rng(0).permutation(len(normal))
    learned, held_out = (normal.subset(part) for part in np.split(order, [4 * len(normal) // 5]))
    pictures = [
        draw_defect(held_out[index], np.random.default_rng([index, version]))[0]
        for index in range(len(held_out))
        for version in range(VERSIONS)
    ]
    return learned, held_out, Images(pictures, size=(SIDE, SIDE))


def measure(settings: dict[str, Any], learned: Images, good: Images, bad: Images) -> dict[str, Any]:
    """Image AUROC with balanced stages and without."""
    detector = ReverseDistillation(**settings, steps=STEPS).fit(learned)
    labels = np.repeat([False, True], [len(good), len(bad)])
    found = {}
    for name in ("balanced", "as they are"):
        found[name] = auroc(labels, np.concatenate([detector.score(part).image for part in (good, bad)]))
        detector.balancing.usual.fill_(1)
    return {"image_auroc": found, "n_good": len(good), "n_defective": len(bad)}


def main() -> None:
    torch.set_num_threads(threads())
    lines = []
    for data, pictures in (("magnetic_tile", magnetic_tiles()), ("mvtec_screw, drawn defects", drawn_defects())):
        for settings in CANDIDATES:
            lines.append({"data": data, **settings, "steps": STEPS, **measure(settings, *pictures)})
            print(json.dumps(lines[-1]), flush=True)
            write_file(RESULTS, ("[\n" + ",\n".join(json.dumps(line) for line in lines) + "\n]\n").encode())


if __name__ == "__main__":
    main()
