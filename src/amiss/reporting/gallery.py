"""Which test images a report shows, and how: small, next to their overlay, inside the page."""

from __future__ import annotations

import base64
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from amiss.core.classes import UNKNOWN
from amiss.core.errors import ImageError
from amiss.core.verdict import Label
from amiss.data.dataset import GOOD, Dataset
from amiss.inspector import Inspector
from amiss.reporting.overlay import ColourScale, fit_inside, outline, overlay

if TYPE_CHECKING:
    from amiss.evaluation import Evaluation

CLASS_EXAMPLES = 4
"""Images that are shown of each class."""

THUMBNAIL = 320
"""Pixels of the long side of an image in the report."""

TRUTH = (255, 255, 255)
"""RGB of the contour around what people marked as defective."""


@dataclass(frozen=True)
class Card:
    """One image of the report: name, truth, numbers, and two images as data URIs (empty without a map)."""

    name: str
    defect: str
    score: float
    margin: float
    p_value: float | None
    image: str
    overlay: str
    marked: bool
    recognised: str = ""


def misses(evaluation: Evaluation, worst: int) -> list[int]:
    """Defective images that were passed, lowest score first."""
    found = [i for i in _labelled(evaluation, Label.GOOD) if evaluation.defects[i] != GOOD]
    return sorted(found, key=lambda i: evaluation.scores[i])[:worst]


def false_alarms(evaluation: Evaluation, worst: int) -> list[int]:
    """Good images that alarmed, highest score first."""
    found = [i for i in _labelled(evaluation, Label.ANOMALOUS) if evaluation.defects[i] == GOOD]
    return sorted(found, key=lambda i: -evaluation.scores[i])[:worst]


def typical_detections(evaluation: Evaluation, count: int) -> list[int]:
    """Detected images nearest to the median score of their defect type, the types in turn."""
    found = [i for i in _labelled(evaluation, Label.ANOMALOUS) if evaluation.defects[i] != GOOD]
    turns = []
    for defect in sorted({evaluation.defects[i] for i in found}):
        same = [i for i in found if evaluation.defects[i] == defect]
        median = float(np.median(evaluation.scores[same]))
        turns.append(sorted(same, key=lambda i, median=median: abs(evaluation.scores[i] - median)))  # type: ignore[misc]
    rounds = itertools.zip_longest(*turns)
    return [i for i in itertools.chain.from_iterable(rounds) if i is not None][:count]


def typical_of_class(
    evaluation: Evaluation, labels: Sequence[str], name: str, count: int = CLASS_EXAMPLES
) -> list[int]:
    """Images of one class: those called otherwise first, then those nearest to the median score of their class."""
    own = [i for i, v in enumerate(evaluation.verdicts) if labels[i] == name and v.label is not Label.ERROR]
    if not own:
        return []
    median = float(np.median(evaluation.scores[own]))
    near = sorted(own, key=lambda i: abs(evaluation.scores[i] - median))
    wrong = [i for i in near if evaluation.verdicts[i].recognised not in (name, UNKNOWN)]
    return list(dict.fromkeys([*wrong[: count // 2], *near]))[:count]


def make_card(index: int, inspector: Inspector, dataset: Dataset, scale: ColourScale, name: str) -> Card | None:
    """Inspect one test image again, now with its map, and draw it; None when the file is gone by now."""
    try:
        image = dataset.test[index]
    except ImageError:
        return None
    verdict = inspector.inspect_one(image)
    small, drawn = fit_inside(image, THUMBNAIL), ""
    if verdict.map is not None:
        drawn = data_uri(overlay(small, verdict.map, scale, verdict.mask))
    truth = _truth(index, dataset, (small.shape[0], small.shape[1]))
    return Card(
        name=name,
        defect=dataset.defects[index],
        score=verdict.score or 0.0,
        margin=verdict.margin or 0.0,
        p_value=verdict.p_value,
        image=data_uri(small if truth is None else outline(small, truth, TRUTH)),
        overlay=drawn,
        marked=truth is not None,
        recognised=verdict.recognised or "",
    )


def data_uri(image: NDArray[np.uint8]) -> str:
    """An image RGB uint8 (H, W, 3) as JPEG in a data URI."""
    import cv2

    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    fine = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]  # thin lines keep their colour
    data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 88, *fine])[1].tobytes()
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def short_names(names: Sequence[str]) -> tuple[str, ...]:
    """Paths without the folders that all of them share.

    Example:
        >>> short_names(["/data/test/good/0.png", "/data/test/hole/0.png"])
        ('good/0.png', 'hole/0.png')
    """
    try:
        shared = os.path.commonpath([os.path.dirname(name) for name in names])  # noqa: PTH120
    except ValueError:
        return tuple(names)
    return tuple(os.path.relpath(name, shared) if shared else name for name in names)


def _labelled(evaluation: Evaluation, label: Label) -> list[int]:
    return [index for index, verdict in enumerate(evaluation.verdicts) if verdict.label is label]


def _truth(index: int, dataset: Dataset, size: tuple[int, int]) -> NDArray[np.bool_] | None:
    if dataset.masks is None or dataset.masks[index] is None:
        return None
    return dataset.mask(index, size)
