"""What the benches that choose defaults share: the six development sets, and one candidate's figures on one of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from lines import Line

from amiss import Images
from amiss.core.scores import Scores
from amiss.data import Dataset, open_dataset
from amiss.metrics import aupro, auroc
from amiss.metrics.border import peaks_on_rim

SETS = (
    *("magnetic_tile", "crackforest_tiles", "solder_joints", "casting_impeller"),
    *("potato_conveyor", "elpv:poly"),
)
SIZE, SHARE = (256, 256), 0.8


def open_set(name: str) -> Dataset:
    """One of `SETS`; the folders lie below AMISS_DATA."""
    return open_dataset(name if ":" in name else str(Path(os.environ["AMISS_DATA"]) / name))


def learned(data: Dataset, seed: int) -> Images:
    """Four fifths of the normal images, drawn by the seed."""
    normal = data.normal.resized(SIZE)
    return normal.subset(np.sort(np.random.default_rng(seed).permutation(len(normal))[: round(SHARE * len(normal))]))


def figures(data: Dataset, scores: Scores) -> Line:
    """Image AUROC, AUPRO where there are masks, and the share of good images that peak on the rim."""
    assert scores.map is not None
    line: dict[str, Any] = {
        "image_auroc": round(auroc(data.anomalous, scores.image), 4),
        "aupro": None,
        "rim_peaks": round(float(np.mean([peaks_on_rim(one) for one in scores.map[~data.anomalous]])), 3),
        "good": len(scores.image) - int(data.anomalous.sum()),
        "defective": int(data.anomalous.sum()),
    }
    if data.masks is not None:
        masks = [data.mask(index, SIZE) for index in range(len(scores.image))]
        known = [i for i, mask in enumerate(masks) if mask.any() or not data.anomalous[i]]
        line["aupro"] = round(aupro([masks[i] for i in known], [scores.map[i] for i in known], (0.3,))[0], 4)
    return line
