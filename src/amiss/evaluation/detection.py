"""How large must a defect be to be found? The POD curve of an evaluation, from the masks of its data set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import ImageError, InputError
from amiss.core.origin import Origin, part_numbers
from amiss.core.sentence import Sentence
from amiss.core.verdict import Label, Verdict
from amiss.core.words import low_to_high, rounded_up
from amiss.data.dataset import GOOD, Dataset
from amiss.data.truth import read_mask
from amiss.metrics.pod import HANDBOOK, Pod, fit_pod

A90 = Sentence(
    "90 % are found from a diameter of {size} pixels on (a90, 95 % interval {interval}, n = {n}).", "bench/pod.py"
)
A90_95 = Sentence("With 95 % confidence it is at most {size} pixels (a90/95).", "bench/pod.py")
NO_A90_95 = Sentence("The data show no size with 95 % confidence (a90/95).", "bench/pod.py")


@dataclass(frozen=True)
class DetectionBySize:
    """Hits and misses against the size of the defects, and the curve through them.

    Args:
        sizes: Diameter of the circle with the area of the largest marked region, in pixels of the file, (K,).
        found: Whether an alarming region touched it, (K,).
        pod: The curve, or None.
        note: Why there is no curve, or what weakens it; "" when nothing.
    """

    sizes: NDArray[np.float64] = field(repr=False)
    found: NDArray[np.bool_] = field(repr=False)
    pod: Pod | None
    note: str

    def words(self) -> str:
        """From which size on defects are found, for a person; "" without a curve."""
        if self.pod is None:
            return ""
        pod = self.pod
        bound = A90_95(size=rounded_up(pod.a90_95, ".1f")) if math.isfinite(pod.a90_95) else NO_A90_95()
        return f"{A90(size=f'{pod.a90:.1f}', interval=low_to_high(pod.a90_interval, '.1f'), n=pod.n)} {bound}"

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "unit": "pixels of the file: diameter of the circle with the area of the largest marked region",
            "defects": len(self.sizes),
            "pod": None if self.pod is None else self.pod.summary(),
            "note": self.note,
            "sizes": self.sizes.round(3).tolist(),
            "found": self.found.tolist(),
        }


def detection_by_size(dataset: Dataset, verdicts: Sequence[Verdict]) -> DetectionBySize | None:
    """Fit the POD curve to the defective test images that have masks, one image per part; None where none has.

    A defect is found when its image is anomalous and the box of an alarming region holds a pixel of the largest marked
    region: an alarm elsewhere in the image does not count. Without boxes, as from methods without a map, the verdict
    alone counts. Masks are read once more.

    Args:
        dataset: Whose test images were inspected.
        verdicts: One per test image.
    """
    masks = dataset.masks
    if masks is None:
        return None
    n = len(dataset.test)
    parts = part_numbers(np.arange(n), dataset.test_origins or (Origin(),) * n)
    sizes, found, seen = [], [], set()
    for index, verdict in enumerate(verdicts):
        source = masks[index]
        known = source is not None and dataset.defects[index] != GOOD and verdict.label is not Label.ERROR
        if not known or parts[index] in seen or source is None:
            continue
        try:
            height, width, _ = dataset.test[index].shape
        except ImageError:
            continue
        region = _largest(read_mask(source, (height, width)))
        if region is None:
            continue
        seen.add(parts[index])
        sizes.append(2 * float(np.sqrt(region.sum() / np.pi)))
        found.append(_touched(verdict, region))
    if not sizes:
        return None
    return _fitted(np.array(sizes), np.array(found, bool))


def _fitted(sizes: NDArray[np.float64], found: NDArray[np.bool_]) -> DetectionBySize:
    try:
        pod = fit_pod(sizes, found)
    except InputError as error:
        return DetectionBySize(sizes, found, None, f"No curve: {error}.")
    few = f"n = {pod.n} defects are few; MIL-HDBK-1823A asks for {HANDBOOK}." if pod.n < HANDBOOK else ""
    return DetectionBySize(sizes, found, pod, few)


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The largest connected region (8-connectivity), or None in an empty mask."""
    import cv2

    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), np.bool_)


def _touched(verdict: Verdict, region: NDArray[np.bool_]) -> bool:
    if verdict.label is not Label.ANOMALOUS:
        return False
    boxes = [one.box for one in verdict.regions]
    return not boxes or any(bool(region[y : y + h, x : x + w].any()) for x, y, w, h in boxes)
