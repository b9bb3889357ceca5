"""What reverse distillation's default rests on: how teacher and student are compared, on which features, how long.

    AMISS_DATA=... python bench/stages.py [--steps 150] [--chosen]

Trainings (seed 0), short ones unless told otherwise, on data that no target is set on: magnetic tiles with their test
images, and screws of which only good *training* images are used, a fifth of them held out, as they are and with
two drawn defects each (`amiss.synthesis.draw_defect`). No test image of the screws is opened. Every training is
scored twice: the stages as multiples of their usual error, and as they are. For drawn defects there is also the share
whose map has its peak on the defect, or at most 8 pixels beside it. With `--chosen` only the last candidate is
trained, which became the default. Prints and keeps docs/results/stages.json, where other lines stay.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from lines import keep, kept
from numpy.typing import NDArray

from amiss import Images
from amiss.core.threads import threads
from amiss.data import open_dataset
from amiss.detectors.student_teacher.reverse_distillation import ReverseDistillation
from amiss.detectors.student_teacher.reverse_distillation_pp import ReverseDistillationPP
from amiss.evaluation.benchmark.runs import locate
from amiss.metrics import auroc
from amiss.synthesis.defects import draw_defect

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "stages.json"
SIDE, VERSIONS, BESIDE = 256, 2, 8
KEY = ("data", "backbone", "standardise", "compare", "steps")

CANDIDATES: list[dict[str, Any]] = [
    {"backbone": "efficientnet-lite0", "stages": (8, 16, 32), "standardise": False, "compare": "angles"},
    {"backbone": "efficientnet-lite2", "stages": (8, 16), "standardise": False, "compare": "angles"},
    {"backbone": "efficientnet-lite2", "stages": (8, 16), "standardise": True, "compare": "angles"},
    {"backbone": "efficientnet-lite2", "stages": (8, 16), "standardise": True, "compare": "values"},
]

Reverse = ReverseDistillation | ReverseDistillationPP
Masks = NDArray[np.bool_] | None


def magnetic_tiles() -> tuple[Images, Images, Images, Masks]:
    """Normal images to learn from, good and defective test images; no masks."""
    dataset = open_dataset(locate("magnetic_tile"), seed=0)
    test, defective = dataset.test.resized((SIDE, SIDE)), np.asarray(dataset.anomalous)
    good, bad = (test.subset(np.flatnonzero(kind)) for kind in (~defective, defective))
    return dataset.normal.resized((SIDE, SIDE)), good, bad, None


def split_normal(name: str) -> tuple[Images, Images]:
    """Good training images of a data set to learn from, and a fifth of them held out."""
    normal = open_dataset(locate(name), seed=0).normal.resized((SIDE, SIDE))
    learned, held_out = np.split(np.random.default_rng(0).permutation(len(normal)), [4 * len(normal) // 5])
    return normal.subset(learned), normal.subset(held_out)


def drawn_defects() -> tuple[Images, Images, Images, Masks]:
    """The same of the screw's training images alone: good ones held out, and defects drawn into these."""
    learned, held_out = split_normal("mvtec_screw")
    drawn = [
        draw_defect(held_out[index], np.random.default_rng([index, version]))
        for index in range(len(held_out))
        for version in range(VERSIONS)
    ]
    masks = np.stack([alpha > 0 for _, alpha in drawn])
    return learned, held_out, Images([image for image, _ in drawn], size=(SIDE, SIDE)), masks


def peaks_on(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> float:
    """Share of the maps (N, H, W) whose largest value lies on the mask or little beside it."""
    near = np.ones((2 * BESIDE + 1, 2 * BESIDE + 1), np.uint8)
    wide = [cv2.dilate(mask.astype(np.uint8), near).ravel() for mask in masks]
    return float(np.mean([mask[one.argmax()] for mask, one in zip(wide, maps, strict=True)]))


def measure(detector: Reverse, learned: Images, good: Images, bad: Images, masks: Masks) -> dict[str, Any]:
    """Image AUROC with balanced stages and without, and how often the peak of the balanced map is right."""
    detector.fit(learned)
    labels, areas = np.repeat([False, True], [len(good), len(bad)]), dict[str, float]()
    found: dict[str, Any] = {"n_good": len(good), "n_defective": len(bad), "image_auroc": areas}
    for name in ("balanced", "as they are"):
        normal, strange = detector.score(good), detector.score(bad)
        areas[name] = round(auroc(labels, np.concatenate([normal.image, strange.image])), 4)
        if masks is not None and strange.map is not None and name == "balanced":
            found["peaks_on_the_defect"] = round(peaks_on(strange.map, masks), 3)
        detector.balancing.usual.fill_(1)
    return found


DATA: dict[str, Callable[[], tuple[Images, Images, Images, Masks]]] = {
    "mvtec_screw, drawn defects": drawn_defects,
    "magnetic_tile": magnetic_tiles,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--chosen", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(threads())
    lines = kept(RESULTS, *KEY)
    for data, draw in DATA.items():
        images = draw()
        for candidate in CANDIDATES[-1:] if asked.chosen else CANDIDATES:
            settings = {**candidate, "steps": asked.steps}
            line = {"data": data, **settings, **measure(ReverseDistillation(**settings), *images)}
            lines[tuple(line[name] for name in KEY)] = line
            print(json.dumps(line), flush=True)
            keep(RESULTS, lines.values())


if __name__ == "__main__":
    main()
