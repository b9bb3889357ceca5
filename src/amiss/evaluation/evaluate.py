"""Measure an inspector on a data set: verdicts, rates with exact intervals, areas with score intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.core.progress import Progress, silent
from amiss.core.verdict import Label, Verdict
from amiss.data.dataset import GOOD, Dataset
from amiss.data.truth import empty_note
from amiss.evaluation.detection import detection_by_size
from amiss.evaluation.evaluation import Evaluation
from amiss.evaluation.looked import Looked, RimCount, look_at
from amiss.evaluation.measure import Metrics, TypeMetrics, compute_metrics, compute_type_metrics
from amiss.evaluation.open_set import measure_open_set
from amiss.evaluation.own_size import pixels_of
from amiss.evaluation.pixels import Pixels
from amiss.evaluation.sampling import Sampling, sampling_of
from amiss.evaluation.tried import Alternatives
from amiss.evaluation.unseen import only_unseen
from amiss.inspector import Inspector
from amiss.metrics import Rate
from amiss.metrics.border import hot_spot_outside

__all__ = ["Evaluation", "Metrics", "TypeMetrics", "evaluate"]


Look = Callable[[Images], Iterator[Looked]]
"""Looks at images, in order."""


def evaluate(
    inspector: Inspector,
    dataset: Dataset,
    *,
    look: Look | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Inspect every test image once and measure.

    With ground-truth masks the score maps are kept until the pixel metrics are computed: 5 H W bytes per image, in
    memory at the inspector's size, and in a temporary file where images are cut into tiles and keep their own.
    Without masks no map is kept.

    Args:
        inspector: Ready to inspect; nothing is learned or tuned here.
        dataset: Its test images are used, and its masks where it has some. Images that the inspector has learned from
            or was calibrated on are left out, and of copies all but the first; `Evaluation.tested` says how many.
        look: Who looks at the test images, where that is not this process; only for a data set without masks.
        progress: See `amiss.core.progress`.

    Raises:
        DataError: No test images, none that the inspector has not seen, copies that are called different defect types,
            or masks that do not fit their images.
        ImageError: A mask cannot be read. A test image that cannot be read is counted as an error instead.
    """
    check_tests(dataset)
    _check_look(dataset, look)
    dataset = only_unseen(dataset, inspector, progress=progress)
    pixels = pixels_of(inspector, dataset)
    rim, alternatives, spots = RimCount(), Alternatives(inspector), HotSpots(dataset)
    verdicts, seconds = _inspect(inspector, dataset, pixels, (rim, alternatives, spots), look, progress)
    usable = np.array([verdict.label is not Label.ERROR for verdict in verdicts], dtype=bool)
    scores = np.array([verdict.score for verdict in verdicts if verdict.score is not None], dtype=np.float32)
    sampling = sampling_of(dataset)
    labels = [verdict.label for verdict in verdicts]
    detections, alarms = (
        sampling.rate(Label.ANOMALOUS, labels, one) for one in (dataset.anomalous, ~dataset.anomalous)
    )
    return Evaluation(
        dataset=dataset.name,
        tested=replace(dataset, notes=(*dataset.notes, *_empty_masks(pixels))),
        method=inspector.record.method,
        statement=inspector.statement(),
        rule=inspector.rule.name,
        alpha=inspector.rule.alpha,
        threshold=inspector.rule.threshold,
        review_threshold=inspector.rule.review_threshold,
        n_calibration=inspector.rule.n,
        verdicts=verdicts,
        defects=dataset.defects,
        metrics=compute_metrics(scores, (detections, alarms), pixels, inspector.rule.threshold, sampling, usable),
        seconds_per_image=seconds,
        sampling=sampling,
        types=_types(dataset, scores, pixels, sampling, usable),
        saturation=dataset.has_saturation,
        tried=alternatives.rows(sampling, dataset.anomalous),
        rim_peaks=rim.peaks,
        rim_area=rim.area,
        hot_spots_outside=spots.outside,
        by_size=detection_by_size(dataset, verdicts),
        open_set=measure_open_set(inspector, dataset, verdicts, sampling),
    )


def _empty_masks(pixels: Pixels) -> Iterator[str]:
    bare = sum(not pixels.masks[index].any() for index in np.flatnonzero(pixels.defective).tolist())
    if bare:
        yield empty_note(bare)


def _types(
    dataset: Dataset, scores: NDArray[np.float32], pixels: Pixels, sampling: Sampling, usable: NDArray[np.bool_]
) -> dict[str, TypeMetrics]:
    """Metrics of each defect type against the good images; `scores` are those of the usable ones."""
    everything = np.full(len(usable), np.nan, np.float32)
    everything[usable] = scores
    found = {}
    for defect in sorted(set(dataset.defects) - {GOOD}):
        chosen = usable & np.array([name in (defect, GOOD) for name in dataset.defects], bool)
        found[defect] = compute_type_metrics(everything[chosen], pixels, defect, sampling.units(chosen))
    return found


class HotSpots:
    """Whether what is strangest in a detected image is the defect that people have marked.

    Args:
        dataset: Whose masks are read.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._outside: list[bool] = []

    def add(self, index: int, verdict: Verdict) -> None:
        """Count an image, if it is a detected one with a mask and a map."""
        masks = self._dataset.masks
        if verdict.map is None or verdict.label is not Label.ANOMALOUS or masks is None or masks[index] is None:
            return
        marked = self._dataset.mask(index, (verdict.map.shape[0], verdict.map.shape[1]))
        if marked.any():
            self._outside.append(hot_spot_outside(verdict.map, marked))

    @property
    def outside(self) -> Rate | None:
        """Detected images whose highest score lies outside; None before there is any."""
        return Rate(sum(self._outside), len(self._outside)) if self._outside else None


def check_tests(dataset: Dataset) -> None:
    """There is something to measure on, or a `DataError`."""
    if len(dataset.test) == 0:
        raise DataError(
            f"{dataset.name}: no test images, so there is nothing to measure on. Give a data set in MVTec "
            "layout (train/good, test/good, test/<defect type>), or inspect a folder of images instead"
        )


def _inspect(
    inspector: Inspector,
    dataset: Dataset,
    pixels: Pixels,
    counts: tuple[RimCount, Alternatives, HotSpots],
    look: Look | None,
    progress: Progress,
) -> tuple[tuple[Verdict, ...], float]:
    """One verdict per image without its arrays, and the mean seconds that a usable image took."""

    def keep(index: int, verdict: Verdict) -> None:
        if verdict.label is not Label.ERROR:
            pixels.add(index, verdict.map)
        counts[2].add(index, verdict)

    verdicts: list[Verdict] = []
    seconds = []
    looked = look_at(inspector, dataset.test, keep) if look is None else look(dataset.test)
    for one in looked:
        if not math.isnan(one.seconds):
            seconds.append(one.seconds)
        if one.rim is not None and dataset.defects[len(verdicts)] == GOOD:
            counts[0].add(one.rim)
        counts[1].add(one.tried)
        verdicts.append(one.verdict)
        progress("evaluating", len(verdicts), len(dataset.test))
    return tuple(verdicts), float(np.mean(seconds)) if seconds else math.nan


def _check_look(dataset: Dataset, look: Look | None) -> None:
    if look is not None and dataset.masks is not None:
        raise DataError(
            f"{dataset.name}: has masks, so the maps of all test images are kept, and measured in one process; leave "
            "out --workers and --on"
        )
