"""Measure an inspector on a data set: verdicts, rates with exact intervals, ranking metrics on raw scores."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import DataError
from amiss.core.progress import Progress, silent
from amiss.core.verdict import Label, Verdict
from amiss.data.dataset import GOOD, Dataset
from amiss.inspector import Inspector
from amiss.metrics import Rate, aupro, auroc, average_precision, bootstrap_interval, f1_max


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Ranking metrics, each in [0, 1] and NaN where it is not defined. All are computed on raw scores.

    Args:
        image_auroc: AUROC of the image scores.
        image_auroc_interval: Its 95 % bootstrap interval over images.
        image_ap: Average precision of the image scores.
        image_f1_max: Best F1 of any threshold; an oracle that nobody has on the line.
        pixel_auroc: AUROC of all pixels.
        pixel_ap: Average precision of all pixels.
        pixel_aupro: Per-region overlap up to a false-positive rate of 0.3.
        pixel_aupro_05: Per-region overlap up to a false-positive rate of 0.05.
    """

    image_auroc: float
    image_auroc_interval: tuple[float, float]
    image_ap: float
    image_f1_max: float
    pixel_auroc: float = math.nan
    pixel_ap: float = math.nan
    pixel_aupro: float = math.nan
    pixel_aupro_05: float = math.nan

    def summary(self) -> dict[str, Any]:
        """Plain JSON values; None where a metric is not defined."""
        values: dict[str, Any] = {
            name: _finite(value) for name, value in vars(self).items() if name != "image_auroc_interval"
        }
        known = not math.isnan(self.image_auroc_interval[0])
        return {**values, "image_auroc_interval": list(self.image_auroc_interval) if known else None}


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What an inspector did on the test images of one data set.

    A picture that cannot be used is an error. It is listed, and it enters no rate and no metric: neither the good
    nor the defective ones, for nothing was measured on it.

    Args:
        dataset: Name of the data set.
        method: Registry name of the method.
        statement: The inspector's promise, for a person.
        rule: Name of the rule.
        alpha: False-alarm rate that the rule promises, in (0, 1), or None.
        threshold: An image is anomalous when its score is larger.
        n_calibration: Number of good images that the rule was calibrated on.
        verdicts: One an image, in the order of the data set, without maps and masks.
        defects: Defect type of each image, "good" for a normal one.
        metrics: Ranking metrics over the usable images.
        seconds_per_image: Mean wall time to decode, resize, score and decide, over usable images; NaN without any.
        seed: Seed of the bootstrap.
    """

    dataset: str
    method: str
    statement: str
    rule: str
    alpha: float | None
    threshold: float
    n_calibration: int
    verdicts: tuple[Verdict, ...]
    defects: tuple[str, ...]
    metrics: Metrics
    seconds_per_image: float
    seed: int = 0

    @property
    def labels(self) -> NDArray[np.bool_]:
        """Truth: True = defective, (N,)."""
        return np.array([defect != GOOD for defect in self.defects], dtype=bool)

    @property
    def scores(self) -> NDArray[np.float32]:
        """Raw image scores, float32 (N,); NaN for a picture that could not be used."""
        return np.array([np.nan if v.score is None else v.score for v in self.verdicts], dtype=np.float32)

    @property
    def errors(self) -> tuple[Verdict, ...]:
        """The verdicts on pictures that could not be used."""
        return tuple(verdict for verdict in self.verdicts if verdict.label is Label.ERROR)

    @property
    def false_alarms(self) -> Rate:
        """Alarms among the usable good images."""
        return self._alarms({GOOD})

    @property
    def detections(self) -> Rate:
        """Alarms among the usable defective images."""
        return self._alarms(set(self.defects) - {GOOD})

    @property
    def per_defect(self) -> dict[str, Rate]:
        """Detections of each defect type, in the order of the names."""
        return {defect: self._alarms({defect}) for defect in sorted(set(self.defects) - {GOOD})}

    def _alarms(self, defects: set[str]) -> Rate:
        chosen = [v.label for v, defect in zip(self.verdicts, self.defects, strict=True) if defect in defects]
        return Rate(chosen.count(Label.ANOMALOUS), len(chosen) - chosen.count(Label.ERROR))

    def summary(self) -> dict[str, Any]:
        """Everything that fits into plain JSON, in one dictionary. Undefined numbers are None.

        ``n_good`` and ``n_defective`` count the usable images, those that the rates and metrics are made of;
        ``errors`` lists the ``n_errors`` others by name and reason, which are counted nowhere else.
        """
        return {
            "dataset": self.dataset,
            "method": self.method,
            "rule": self.rule,
            "alpha": self.alpha,
            "threshold": _finite(self.threshold),
            "n_calibration": self.n_calibration,
            "statement": self.statement,
            "n_good": self.false_alarms.n,
            "n_defective": self.detections.n,
            "false_alarms": self.false_alarms.summary(),
            "detections": self.detections.summary(),
            "per_defect": {defect: rate.summary() for defect, rate in self.per_defect.items()},
            **self.metrics.summary(),
            "n_errors": len(self.errors),
            "errors": [{"name": verdict.name, "reason": verdict.reason} for verdict in self.errors],
            "seconds_per_image": _finite(self.seconds_per_image),
            "seed": self.seed,
        }


def evaluate(inspector: Inspector, dataset: Dataset, *, seed: int = 0, progress: Progress = silent) -> Evaluation:
    """Inspect every test image once and measure.

    With ground-truth masks the score maps are kept until the pixel metrics are computed: 4 H W bytes an image at the
    inspector's size. Without masks no map is kept.

    Args:
        inspector: Ready to inspect; nothing is learned or tuned here.
        dataset: Its test images are used, and its masks where it has some.
        seed: Of the bootstrap interval.
        progress: See `amiss.core.progress`.

    Raises:
        DataError: No test images, or masks that do not fit their pictures.
        ImageError: A mask cannot be read. A test image that cannot be read is counted as an error instead.
    """
    if len(dataset.test) == 0:
        raise DataError(
            f"{dataset.name}: no test images arrived, so there is nothing to measure on. Give a data set in MVTec "
            "layout (train/good, test/good, test/<defect type>), or inspect a folder of pictures instead"
        )
    pixels = _Pixels(dataset, inspector.size)
    verdicts, seconds = _inspect(inspector, dataset, pixels, progress)
    usable = np.array([verdict.label is not Label.ERROR for verdict in verdicts], dtype=bool)
    scores = np.array([verdict.score for verdict in verdicts if verdict.score is not None], dtype=np.float32)
    return Evaluation(
        dataset=dataset.name,
        method=inspector.record.method,
        statement=inspector.statement(),
        rule=inspector.rule.name,
        alpha=inspector.rule.alpha,
        threshold=inspector.rule.threshold,
        n_calibration=inspector.rule.n,
        verdicts=verdicts,
        defects=dataset.defects,
        metrics=_measure(dataset.anomalous[usable], scores, pixels, seed),
        seconds_per_image=seconds,
        seed=seed,
    )


class _Pixels:
    """Score maps and ground truth of the images that have both; nothing at all without masks."""

    def __init__(self, dataset: Dataset, size: tuple[int, int]) -> None:
        self._dataset = dataset
        self._size = size
        room = len(dataset.test) if dataset.masks is not None else 0
        self._maps = np.empty((room, *size), np.float32)
        self._masks = np.empty((room, *size), np.bool_)
        self._count = 0

    def add(self, index: int, score_map: NDArray[np.float32] | None) -> None:
        """Keep one map; a defective image whose mask is unknown is left out, for its pixels have no truth."""
        masks = self._dataset.masks
        if masks is None or score_map is None:
            return
        if masks[index] is None and self._dataset.defects[index] != GOOD:
            return
        self._maps[self._count] = score_map
        self._masks[self._count] = self._dataset.mask(index, self._size)
        self._count += 1

    def metrics(self) -> dict[str, float]:
        """The pixel metrics; empty without maps or masks."""
        if self._count == 0:
            return {}
        masks, maps = self._masks[: self._count], self._maps[: self._count]
        areas = aupro(masks, maps, limits=(0.3, 0.05))
        return {
            "pixel_auroc": auroc(masks, maps),
            "pixel_ap": average_precision(masks, maps),
            "pixel_aupro": areas[0],
            "pixel_aupro_05": areas[1],
        }


def _inspect(
    inspector: Inspector, dataset: Dataset, pixels: _Pixels, progress: Progress
) -> tuple[tuple[Verdict, ...], float]:
    """One verdict an image without its arrays, and the mean seconds that a usable image took."""
    verdicts: list[Verdict] = []
    seconds = []
    stream = inspector.inspect(dataset.test)
    for index in range(len(dataset.test)):
        start = time.perf_counter()
        verdict = next(stream)
        if verdict.label is not Label.ERROR:
            seconds.append(time.perf_counter() - start)
            pixels.add(index, verdict.map)
        verdicts.append(replace(verdict, map=None, mask=None))
        progress("evaluating", index + 1, len(dataset.test))
    return tuple(verdicts), float(np.mean(seconds)) if seconds else math.nan


def _measure(labels: NDArray[np.bool_], scores: NDArray[np.float32], pixels: _Pixels, seed: int) -> Metrics:
    return Metrics(
        image_auroc=auroc(labels, scores),
        image_auroc_interval=bootstrap_interval(auroc, labels, scores, seed=seed),
        image_ap=average_precision(labels, scores),
        image_f1_max=f1_max(labels, scores),
        **pixels.metrics(),
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
