"""How faint a defect reverse distillation and RD++ still find, and what in RD++ costs or gains.

    AMISS_DATA=... python bench/faint.py [--steps 1200] [--data moved] [NAME ...]

Trainings (seed 0) on good *training* images of the screw, of which a fifth are held out, as `bench/stages.py` has
them; no test image is opened. Of these come two sets. *Faint*: the defects drawn into them are mixed with the image
as it was, so that a share of them is left: at full strength nearly every one is found, and methods cannot be told
apart. *Moved*: nothing is drawn; around a place with an edge the image is pushed some pixels aside, less with the
distance, so that a shape is wrong and every texture right. Names are those of `CANDIDATES`, `--data` is a part of a
set's name (default: both). Prints and keeps docs/results/faint.json, where other lines stay.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from candidates import compare
from numpy.typing import NDArray
from stages import SIDE, VERSIONS, drawn_defects, split_normal

from amiss import Images
from amiss.metrics import auroc
from amiss.registry import create

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "faint.json"
SHARES, PIXELS = (0.5, 0.25, 0.125), (6.0, 4.0, 2.0)
WIDEST, NARROWEST = 14.0, 7.0
"""Standard deviations, in pixels, of the Gaussians by which a push gets less with the distance."""

CANDIDATES: dict[str, dict[str, Any]] = {
    "reverse_distillation": {"method": "reverse_distillation"},
    "RD++": {"method": "reverse_distillation_pp"},
    "RD++, slower projections": {"method": "reverse_distillation_pp", "projection_rate": 1e-3},
    "RD++, no transport": {"method": "reverse_distillation_pp", "transport": 0.0},
}


def faint() -> tuple[Images, Images, dict[float, Images]]:
    """Normal images to learn from, good ones held out, and these with a share of drawn defects."""
    learned, good, drawn, _ = drawn_defects()
    plain = [good[index // VERSIONS] for index in range(len(drawn))]
    return learned, good, {share: mixed(plain, drawn, share) for share in SHARES}


def mixed(plain: list[NDArray[np.uint8]], drawn: Images, share: float) -> Images:
    """Drawn images of which a share is left."""
    images = [
        np.clip(np.rint(before + share * (np.asarray(after, np.float32) - before)), 0, 255).astype(np.uint8)
        for before, after in zip(plain, drawn, strict=True)
    ]
    return Images(images, size=(SIDE, SIDE))


def moved() -> tuple[Images, Images, dict[float, Images]]:
    """The same, with places that are pushed aside by so many pixels."""
    learned, good = split_normal("mvtec_screw")
    pushed = {
        pixels: Images(
            [
                push(good[index], pixels, np.random.default_rng([index, version]))
                for index in range(len(good))
                for version in range(VERSIONS)
            ],
            size=(SIDE, SIDE),
        )
        for pixels in PIXELS
    }
    return learned, good, pushed


def push(image: NDArray[np.uint8], pixels: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """An image (H, W, 3) pushed aside around a place that is drawn by how strong the edges are."""
    grey = cv2.GaussianBlur(image.mean(axis=2), (0, 0), 2.0)
    edges = np.hypot(cv2.Sobel(grey, cv2.CV_64F, 1, 0), cv2.Sobel(grey, cv2.CV_64F, 0, 1)) ** 2
    row, column = np.unravel_index(rng.choice(edges.size, p=edges.ravel() / edges.sum()), edges.shape)
    width, angle = rng.uniform(NARROWEST, WIDEST), rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    share = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * width**2))
    aside = (columns - pixels * np.cos(angle) * share).astype(np.float32)
    down = (rows - pixels * np.sin(angle) * share).astype(np.float32)
    return np.asarray(cv2.remap(image, aside, down, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT), np.uint8)


def measure(settings: dict[str, Any], learned: Images, good: Images, strange: dict[float, Images]) -> dict[str, Any]:
    """Image AUROC of one training for each strength, and their mean."""
    detector = create(settings["method"], **{name: value for name, value in settings.items() if name != "method"})
    normal = detector.fit(learned).score(good).image
    areas = dict[str, float]()
    for strength, images in strange.items():
        scores = np.concatenate([normal, detector.score(images).image])
        labels = np.repeat([False, True], [len(good), len(images)])
        areas[str(strength)] = round(auroc(labels, scores), 4)
    mean = round(float(np.mean(list(areas.values()))), 4)
    return {"n_good": len(good), "n_defective": len(images), "image_auroc": areas, "mean": mean}


if __name__ == "__main__":
    data = {"mvtec_screw, faint defects": faint, "mvtec_screw, moved parts": moved}
    compare(RESULTS, data, CANDIDATES, measure, steps=1200)
