"""What EfficientAD's default rests on: where the student starts, the rate, which errors count, how long it learns.

    AMISS_DATA=... python bench/student_start.py [--steps 150] [--data juice] [NAME ...]

Trainings (seed 0), short ones unless told otherwise, that open no test image. Of the screws and of the juice bottles
only good *training* images are used, a fifth of them held out: as they are, and with a change drawn into each. Screws
get a defect (`amiss.synthesis.draw_defect`), a local one. Bottles get one of arrangement: no fruit on the label, that
of another juice, no lower label, or a lower label too high. For each training: image AUROC of the local map (teacher
against student), of the global one (autoencoder against student) and of both as the detector adds them, of bottles also
for each kind of change; and how large the maps of the held-out normals are on average, 1 being a student that knows
nothing. Names are those of `CANDIDATES` (default: all), `--data` is a part of a data set's name (default: both). Prints
and keeps docs/results/student_start.json, where lines of other names and of other steps stay.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from candidates import compare
from numpy.typing import NDArray
from stages import SIDE, drawn_defects, split_normal

from amiss import Images
from amiss.detectors.student_teacher.efficient_ad import EfficientAD
from amiss.features.batch import to_batch
from amiss.metrics import auroc

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "student_start.json"
PUBLISHED = {"start": "random", "dropout": 0.2, "schedule": "drop"}

CANDIDATES: dict[str, dict[str, Any]] = {
    "as published, five times the rate": {**PUBLISHED, "rate": 5e-4},
    "default, but a random start": {"start": "random"},
    "default, but all errors count": {"p_hard": 0.0},
    "default, but dropout 0.2": {"dropout": 0.2},
    "default": {},
}

KINDS = ("no fruit", "fruit of another juice", "no lower label", "lower label too high")

FRUIT, LOWER = (124, 154, 24), (190, 222, 51)
"""Upper and lower edge of what is on a bottle of 256 pixels, and half its width."""


Sets = tuple[Images, Images, Images, tuple[str, ...]]


def changed_screws() -> Sets:
    """Good training images to learn from, others held out, these with a drawn defect, and kinds: none."""
    return *drawn_defects()[:3], ()


def changed_bottles() -> Sets:
    """The same with a change of arrangement, and the kind of each."""
    learned, held_out = split_normal("loco_juice_bottle")
    good, rng = list(held_out), np.random.default_rng(1)
    changed = [change(image, good, index % len(KINDS), rng) for index, image in enumerate(good)]
    kinds = tuple(KINDS[index % len(KINDS)] for index in range(len(good)))
    return learned, held_out, Images(changed, size=(SIDE, SIDE)), kinds


def change(
    image: NDArray[np.uint8], others: list[NDArray[np.uint8]], kind: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """One image with the change of arrangement that `KINDS` names at this place."""
    middle = centre(image)
    if kind == 0:
        return painted_over(image, FRUIT, middle)
    if kind == 1:
        strange = [other for other in others if np.abs(juice(other) - juice(image)).max() > 40]
        other = strange[int(rng.integers(len(strange)))]
        return pasted(image, np.roll(other, middle - centre(other), axis=1), FRUIT, middle)
    without = painted_over(image, LOWER, middle)
    if kind == 2:
        return without
    shift = int(rng.integers(10, 20))
    moved = (LOWER[0] - shift, LOWER[1] - shift, LOWER[2] - 3)
    return pasted(without, np.roll(image, -shift, axis=0), moved, middle)


def centre(image: NDArray[np.uint8]) -> int:
    """Column of the bottle's middle."""
    bright = np.flatnonzero(image[200:230].mean(axis=(0, 2)) > 60)
    return int((bright.min() + bright.max()) / 2)


def juice(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean colour between the labels."""
    colour: NDArray[np.float64] = image[175:185, 110:150].reshape(-1, 3).mean(axis=0)
    return colour


def window(place: tuple[int, int, int], middle: int) -> NDArray[np.uint8]:
    """1 where a label is, (256, 256)."""
    found = np.zeros((SIDE, SIDE), np.uint8)
    found[place[0] : place[1], middle - place[2] : middle + place[2]] = 1
    return found


def painted_over(image: NDArray[np.uint8], place: tuple[int, int, int], middle: int) -> NDArray[np.uint8]:
    """A label painted over with what is around it."""
    return np.asarray(cv2.inpaint(image, window(place, middle), 5, cv2.INPAINT_TELEA), np.uint8)


def pasted(
    image: NDArray[np.uint8], other: NDArray[np.uint8], place: tuple[int, int, int], middle: int
) -> NDArray[np.uint8]:
    """A label of another image, with soft edges."""
    share = cv2.GaussianBlur(window(place, middle).astype(np.float32), (0, 0), 2.0)[:, :, None]
    return np.round(image * (1 - share) + other * share).astype(np.uint8)


@torch.no_grad()
def peaks(detector: EfficientAD, images: Images) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Maxima of local map, global map and both (3, N), and the means of the first two (2,)."""
    maps = torch.cat([detector.differences(to_batch(torch.from_numpy(pixels))) for pixels in images.batches(8)], dim=1)
    low, high = detector.low.view(2, 1, 1, 1), detector.high.view(2, 1, 1, 1)
    scaled = (maps - low) / (high - low)
    three = torch.cat([scaled, scaled.mean(dim=0, keepdim=True)])
    return three.amax(dim=(2, 3)).double().numpy(), maps.mean(dim=(1, 2, 3)).double().numpy()


def areas(normal: NDArray[np.float64], strange: NDArray[np.float64]) -> dict[str, float]:
    """Image AUROC of each map, from maxima (3, N) and (3, M)."""
    labels = np.repeat([False, True], [normal.shape[1], strange.shape[1]])
    found = [round(auroc(labels, scores), 4) for scores in np.concatenate([normal, strange], axis=1)]
    return dict(zip(("local", "global", "both"), found, strict=True))


def measure(
    settings: dict[str, Any], learned: Images, good: Images, bad: Images, kinds: tuple[str, ...]
) -> dict[str, Any]:
    """One training."""
    detector = EfficientAD(**settings).fit(learned)
    detector.eval()
    normal, size = peaks(detector, good)
    strange, _ = peaks(detector, bad)
    by_kind = {kind: areas(normal, strange[:, np.array(kinds) == kind]) for kind in dict.fromkeys(kinds)}
    return {
        "n_good": len(good),
        "n_defective": len(bad),
        "image_auroc": areas(normal, strange),
        **({"image_auroc_by_kind": by_kind} if by_kind else {}),
        "mean_of_normal_maps": {"local": round(float(size[0]), 4), "global": round(float(size[1]), 4)},
    }


DATA: dict[str, Callable[[], Sets]] = {
    "mvtec_screw, drawn defects": changed_screws,
    "loco_juice_bottle, changed labels": changed_bottles,
}


if __name__ == "__main__":
    compare(RESULTS, DATA, CANDIDATES, measure, steps=150)
