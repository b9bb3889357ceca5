"""Which residual for a texture? The same small autoencoder with each, paired against the squared difference.

    AMISS_DATA=... python bench/texture_losses.py [--data PART] [--seeds 0,1,2]
    python bench/texture_losses.py --summary        the table of what is kept, and nothing else

On asphalt (crackforest_tiles), magnetic tiles (magnetic_tile), and mats of fibres that are drawn here with the defects
of `amiss.synthesis`. The network has a code per place and is the same for all residuals, as are images, seeds and
steps; nothing was tuned for any of them. Each line of docs/results/texture_losses.json is one fit and holds the scores
of all test images, from which docs/results/texture_pairs.json is made: image AUROC, mean over the seeds, and its
difference from that of "l2" with the paired 95 % interval over the test images, p-values by Holm; and the difference of
AUPRO with a t interval over the seeds. Lines that are kept are not measured again.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from development import open_set
from lines import Line, keep, kept
from numpy.typing import NDArray
from scipy.stats import t as student

from amiss import Images
from amiss.data import Dataset
from amiss.metrics import aupro, auroc
from amiss.metrics.estimate import Estimate, estimate_auroc
from amiss.metrics.multiplicity import holm
from amiss.metrics.paired import paired_difference
from amiss.metrics.units import units_of
from amiss.registry import create
from amiss.synthesis.defects import LEAST, draw_defect

DOCS = Path(__file__).parents[1] / "docs" / "results"
RESULTS, PAIRS = DOCS / "texture_losses.json", DOCS / "texture_pairs.json"
SIZE = (176, 176)  # the smallest that ms_ssim takes
LOSSES: dict[str, dict[str, Any]] = {
    "l2": {"loss": "l2"},
    "ssim": {"loss": "ssim"},
    "ms_ssim": {"loss": "ms_ssim"},
    "cw_ssim": {"loss": "cw_ssim"},
    "l2, 3 scales": {"loss": "l2", "scales": 3},
}
NETWORK = {"bottleneck": False, "levels": 3, "width": 8, "code": 8, "steps": 120, "batch": 2, "rate": 2e-3}
SETS = ("crackforest_tiles", "magnetic_tile", "fibres")
MOST = 50  # test images of each class
LEARNED = 150  # normal images of the mats


def fibres(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A mat of bent bright fibres on a dark ground, as an electron microscope shows it, RGB (H, W, 3)."""
    mat = np.full(size, 35, np.uint8)
    for depth in np.linspace(70, 210, 70):
        angle = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(0, 0.12, 40))
        points = rng.uniform(-0.2, 1.2, 2) * size[::-1] + np.cumsum(np.stack([np.cos(angle), np.sin(angle)], 1) * 8, 0)
        line = (points * 16).astype(np.int32)[:, None]
        cv2.polylines(mat, [line], False, int(depth + rng.normal(0, 10)), int(rng.integers(2, 5)), cv2.LINE_AA, 4)
    blurred = cv2.GaussianBlur(mat, (0, 0), 0.8) + rng.normal(0, 6, size)
    return np.repeat(blurred.clip(0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def grey_defect(image: NDArray[np.uint8], rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A defect of `amiss.synthesis` without colours, which a microscope does not see, and its mask."""
    while True:
        changed, alpha = draw_defect(image, rng)
        grey = np.repeat(changed.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
        if np.abs(grey.astype(float) - image)[alpha > 0].mean() >= LEAST:
            return grey, alpha > 0


def drawn_set() -> Dataset:
    """Mats of fibres: 150 to learn from, 50 good ones and 50 with one defect to test."""
    rng = np.random.default_rng(0)
    normal = [fibres(SIZE, rng) for _ in range(LEARNED)]
    good = [fibres(SIZE, rng) for _ in range(MOST)]
    bad = [grey_defect(fibres(SIZE, rng), rng) for _ in range(MOST)]
    return Dataset(
        name="fibres",
        normal=Images(normal, size=SIZE),
        test=Images(good + [image for image, _ in bad], size=SIZE),
        defects=("good",) * MOST + ("drawn",) * MOST,
        masks=(*[None] * MOST, *[mask for _, mask in bad]),
    )


def chosen(data: Dataset) -> NDArray[np.intp]:
    """Numbers of the test images: up to 50 of each class, the same for all residuals and seeds."""
    rng = np.random.default_rng(0)
    masks = [data.mask(index, SIZE).any() for index in range(len(data.test))]
    usable = [np.flatnonzero(~data.anomalous), np.flatnonzero(data.anomalous & np.array(masks))]
    return np.sort(np.concatenate([rng.permutation(numbers)[:MOST] for numbers in usable]))


def measure(data: Dataset, images: NDArray[np.intp], loss: str, seed: int) -> Line:
    """One fit: figures, and the score of every test image."""
    detector = create("autoencoder", **NETWORK, **LOSSES[loss]).fit(data.normal.resized(SIZE), seed=seed, device="cpu")
    scores = detector.score(data.test.subset(images).resized(SIZE))
    assert scores.map is not None
    defective = data.anomalous[images]
    return {
        "image_auroc": round(auroc(defective, scores.image), 4),
        "aupro": round(aupro([data.mask(index, SIZE) for index in images], list(scores.map), (0.3,))[0], 4),
        "learned": len(data.normal),
        "good": int((~defective).sum()),
        "defective": int(defective.sum()),
        "labels": [int(one) for one in defective],
        "scores": [float(f"{score:.5g}") for score in scores.image],
    }


def averaged(lines: Sequence[Line]) -> Estimate:
    """Image AUROC, mean over the seeds, and what each test image does to it."""
    units = units_of([0] * lines[0]["good"] + [1] * lines[0]["defective"])
    of_seed = [estimate_auroc(units, _by_class(line)) for line in lines]
    mean, influence = (np.mean([getattr(one, name) for one in of_seed], axis=0) for name in ("value", "influence"))
    return replace(of_seed[0], value=float(mean), influence=influence)


def _by_class(line: Line) -> NDArray[np.float64]:
    """Scores of the good test images, then of the defective ones."""
    scores, defective = np.array(line["scores"]), np.array(line["labels"])
    return np.concatenate([scores[defective == 0], scores[defective == 1]])


def pairs(lines: Sequence[Line]) -> list[Line]:
    """Each residual against "l2" on each set that has both at the same seeds, two at least."""
    found = []
    for data in SETS:
        base = [one for one in lines if (one["data"], one["loss"]) == (data, "l2")]
        for loss in LOSSES:
            own = [one for one in lines if (one["data"], one["loss"]) == (data, loss)]
            if len(own) > 1 and [one["seed"] for one in own] == [one["seed"] for one in base]:
                found.append({"data": data, "loss": loss, "seeds": len(own), **against(own, base)})
    names = [f"{one['data']} {one['loss']}" for one in found]
    adjusted = holm({name: one["p_value"] for name, one in zip(names, found, strict=True)})
    for name, one in zip(names, found, strict=True):
        one["p_value"] = None if math.isnan(adjusted[name]) else float(f"{adjusted[name]:.3g}")
    return found


def against(own: Sequence[Line], base: Sequence[Line]) -> Line:
    """One residual's figures over the seeds, less those of "l2"."""
    paired = paired_difference(averaged(own), averaged(base))
    change = np.array([one["aupro"] - other["aupro"] for one, other in zip(own, base, strict=True)])
    reach = student.ppf(0.975, len(change) - 1) * change.std(ddof=1) / math.sqrt(len(change))
    return {
        "good": own[0]["good"],
        "defective": own[0]["defective"],
        "image_auroc": round(paired.first, 4),
        "difference": round(paired.difference, 4),
        "interval": [round(end, 4) for end in paired.interval],
        "p_value": math.nan if own[0]["loss"] == "l2" else paired.p_value,
        "aupro": round(float(np.mean([one["aupro"] for one in own])), 4),
        "aupro_difference": round(float(change.mean()), 4),
        "aupro_interval": [round(float(change.mean() + side * reach), 4) for side in (-1, 1)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="", help="Only sets with this in their name.")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--summary", action="store_true", help="Only print what is kept.")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    lines = kept(RESULTS, "data", "loss", "seed")
    for seed in () if asked.summary else map(int, asked.seeds.split(",")):
        for name in (name for name in SETS if asked.data in name):
            data = drawn_set() if name == "fibres" else open_set(name)
            images = chosen(data)
            for loss in (loss for loss in LOSSES if (name, loss, seed) not in lines):
                line = {"data": name, "loss": loss, "seed": seed, **measure(data, images, loss, seed)}
                lines[name, loss, seed] = line
                keep(RESULTS, (lines[key] for key in sorted(lines)))
                print(name, loss, seed, line["image_auroc"], line["aupro"], flush=True)
    table = pairs([lines[key] for key in sorted(lines)])
    if not asked.data and asked.seeds == parser.get_default("seeds"):
        keep(PAIRS, table)
    for line in table:
        print(json.dumps(line))


if __name__ == "__main__":
    main()
