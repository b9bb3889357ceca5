"""Detected images whose highest score lies outside the marked defect are counted."""

from __future__ import annotations

import numpy as np

from amiss.core.images import Images
from amiss.core.verdict import Label, Verdict
from amiss.data import Dataset
from amiss.evaluation.evaluate import HotSpots


def test_hot_spots_outside_are_those_of_detected_images_with_a_mask() -> None:
    marked = np.zeros((64, 64), np.uint8)
    marked[8:16, 8:16] = 255
    images = Images(np.zeros((4, 64, 64, 3), np.uint8))
    masks = (marked, marked, marked, None)
    dataset = Dataset("made", images, images, ("a", "a", "a", "good"), masks)
    maps = np.zeros((4, 64, 64), np.float32)
    maps[0, 10, 10] = maps[1, 40, 40] = maps[2, 40, 40] = maps[3, 1, 1] = 1.0
    spots = HotSpots(dataset)
    assert spots.outside is None
    for index, label in enumerate((Label.ANOMALOUS, Label.ANOMALOUS, Label.GOOD, Label.ANOMALOUS)):
        spots.add(index, Verdict(name=str(index), label=label, score=1.0, threshold=0.5, map=maps[index]))
    assert (spots.outside.count, spots.outside.n) == (1, 2)
