"""`Evaluation`: what an inspector did on the test images of one data set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.verdict import Label, Verdict
from amiss.data.dataset import GOOD, Dataset
from amiss.evaluation.detection import DetectionBySize
from amiss.evaluation.measure import Metrics, TypeMetrics
from amiss.evaluation.open_set import OpenSet
from amiss.evaluation.sampling import Sampling
from amiss.evaluation.tried import Tried
from amiss.metrics import Outcomes, Rate
from amiss.metrics.multiplicity import simultaneous


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What an inspector did on the test images of one data set.

    An image that cannot be used is an error. It is listed, and it enters no rate and no metric: neither the good
    nor the defective ones, for nothing was measured on it. Rates count parts: a part raises an alarm when one of its
    images does. A part for review raises no alarm and is not passed either: it is neither a false alarm, nor a
    detection, nor an escape.

    Args:
        dataset: Name of the data set.
        tested: The data set without the images that were left out, which its notes name.
        method: Registry name of the method.
        statement: The inspector's promise, for a person.
        rule: Name of the rule.
        alpha: False-alarm rate that the rule promises, in (0, 1), or None.
        threshold: An image is anomalous when its score is larger.
        n_calibration: Number of good images that the rule was calibrated on.
        verdicts: One an image, in the order of the data set, without maps and masks.
        defects: Defect type of each image, "good" for a normal one.
        metrics: Metrics over the usable images.
        seconds_per_image: Mean wall time to decode, resize, score and decide, over usable images; NaN without any.
        sampling: Which images show the same part, and which lots they are of.
        review_threshold: An image above it, up to `threshold`, is sent to a person for review; None without review.
        types: Metrics of each defect type against the good images.
        saturation: Whether the ground truth knows saturations, as in MVTec LOCO AD: results are then also averaged
            over the defect types.
        tried: What other alphas would have done, the highest threshold first; empty for a rule without calibration.
        rim_peaks: Usable good images that are strangest within a sixteenth of the shorter side from the border; None
            without maps. Many more than `rim_area` say that the detector takes borders for defects.
        rim_area: Mean share of the pixels that lie there, in [0, 1]; NaN without maps.
        hot_spots_outside: Detected images of a marked defect whose highest score lies outside it, see
            `amiss.metrics.border.hot_spot_outside`; None without maps and masks. They alarmed for another reason.
        by_size: How detection grows with the size of the defect; None without masks.
        open_set: Classes and the unknown, where the inspector knows classes and the images have labels; else None.
    """

    dataset: str
    tested: Dataset
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
    sampling: Sampling
    review_threshold: float | None = None
    types: Mapping[str, TypeMetrics] = field(default_factory=dict)
    saturation: bool = False
    tried: tuple[Tried, ...] = ()
    rim_peaks: Rate | None = None
    rim_area: float = math.nan
    hot_spots_outside: Rate | None = None
    by_size: DetectionBySize | None = None
    open_set: OpenSet | None = None

    @property
    def labels(self) -> NDArray[np.bool_]:
        """Truth: True = defective, (N,)."""
        return np.array([defect != GOOD for defect in self.defects], dtype=bool)

    @property
    def scores(self) -> NDArray[np.float32]:
        """Raw image scores, float32 (N,); NaN for an image that could not be used."""
        return np.array([np.nan if v.score is None else v.score for v in self.verdicts], dtype=np.float32)

    @property
    def errors(self) -> tuple[Verdict, ...]:
        """The verdicts on images that could not be used."""
        return tuple(verdict for verdict in self.verdicts if verdict.label is Label.ERROR)

    @property
    def false_alarms(self) -> Rate:
        """Alarms among the good parts."""
        return self.rate(Label.ANOMALOUS, {GOOD})

    @property
    def detections(self) -> Rate:
        """Alarms among the defective parts."""
        return self.rate(Label.ANOMALOUS, self._bad)

    @property
    def escapes(self) -> Rate:
        """Defective parts that were called good."""
        return self.rate(Label.GOOD, self._bad)

    @property
    def good_reviews(self) -> Rate:
        """Good parts that were sent to review."""
        return self.rate(Label.REVIEW, {GOOD})

    @property
    def defective_reviews(self) -> Rate:
        """Defective parts that were sent to review."""
        return self.rate(Label.REVIEW, self._bad)

    @property
    def per_defect(self) -> dict[str, Rate]:
        """Detections of each defect type, in the order of the names."""
        return {defect: self.rate(Label.ANOMALOUS, {defect}) for defect in sorted(self._bad)}

    @property
    def outcomes(self) -> Outcomes:
        """Verdicts on the parts against truth; review counts as no alarm."""
        good, bad = self.false_alarms, self.detections
        return Outcomes(
            detections=bad.count, misses=bad.n - bad.count, false_alarms=good.count, passes=good.n - good.count
        )

    @property
    def precision(self) -> Rate:
        """Alarms that are right: defective parts among those that raised one."""
        good, bad = self._alarms()
        alarms = ({part: bad for part, alarm in some.items() if alarm} for some, bad in ((good, False), (bad, True)))
        return self.sampling.share(*alarms)

    @property
    def accuracy(self) -> Rate:
        """Verdicts that are right; review counts as no alarm."""
        good, bad = self._alarms()
        return self.sampling.share({part: not alarm for part, alarm in good.items()}, bad)

    def _alarms(self) -> tuple[dict[int, bool], dict[int, bool]]:
        """By number of the part whether it raised an alarm: good parts, and defective ones."""
        given = [verdict.label for verdict in self.verdicts]
        good, bad = (self.sampling.events({Label.ANOMALOUS}, given, one) for one in (~self.labels, self.labels))
        return good, bad

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which images are no errors, (N,)."""
        return np.array([verdict.label is not Label.ERROR for verdict in self.verdicts], dtype=bool)

    def rate(self, label: Label, defects: set[str]) -> Rate:
        """How many of the parts with images of some defect types got a label, errors left out."""
        chosen = np.array([defect in defects for defect in self.defects], dtype=bool)
        return self.sampling.rate(label, [verdict.label for verdict in self.verdicts], chosen)

    @property
    def _bad(self) -> set[str]:
        return set(self.defects) - {GOOD}

    def summary(self) -> dict[str, Any]:
        """Everything that fits into plain JSON, in one dictionary. Undefined numbers are None.

        ``n_good`` and ``n_defective`` count the usable images, ``n_good_parts`` and ``n_defective_parts`` the parts
        that they show; rates, precision, recall, specificity, accuracy and F1 are of parts, and areas of images with
        intervals over parts or lots, as ``intervals_over`` says. ``errors`` lists the ``n_errors`` other images by name
        and reason, which are counted nowhere else.
        """
        return {
            "dataset": self.dataset,
            "method": self.method,
            "rule": self.rule,
            "alpha": self.alpha,
            "threshold": _finite(self.threshold),
            "review_threshold": None if self.review_threshold is None else _finite(self.review_threshold),
            "n_calibration": self.n_calibration,
            "statement": self.statement,
            **self.sampling.summary(self.usable),
            "false_alarms": self.false_alarms.summary(),
            "detections": self.detections.summary(),
            "escapes": self.escapes.summary(),
            "reviews": {"good": self.good_reviews.summary(), "defective": self.defective_reviews.summary()},
            **self._decisions(),
            "per_defect": {defect: self._type_summary(defect, rate) for defect, rate in self.per_defect.items()},
            "mean_over_types": self._mean_over_types(),
            "trade": [row.summary() for row in self.tried],
            **self.metrics.summary(),
            "rim_peaks": None if self.rim_peaks is None else self.rim_peaks.summary(),
            "rim_area": _finite(self.rim_area),
            "hot_spots_outside": None if self.hot_spots_outside is None else self.hot_spots_outside.summary(),
            "by_size": None if self.by_size is None else self.by_size.summary(),
            "open_set": None if self.open_set is None else self.open_set.summary(),
            "n_errors": len(self.errors),
            "errors": [{"name": verdict.name, "reason": verdict.reason} for verdict in self.errors],
            "seconds_per_image": _finite(self.seconds_per_image),
            "notes": list(self.tested.notes),
        }

    def _decisions(self) -> dict[str, Any]:
        """Rates of right verdicts, with intervals over parts or lots, and their F1."""
        rates = {"precision": self.precision, "recall": self.detections, "specificity": self.false_alarms.others}
        return {name: rate.summary() for name, rate in (rates | {"accuracy": self.accuracy}).items()} | {
            "f1": self.outcomes.summary()["f1"]
        }

    def _type_summary(self, defect: str, rate: Rate) -> dict[str, Any]:
        """One type; its simultaneous interval covers together with those of all other types with 95 %."""
        measured = self.types.get(defect)
        together = rate.interval_at(simultaneous(0.95, len(self._bad)))
        return {
            **rate.summary(),
            "simultaneous_interval": list(together),
            "escapes": self.rate(Label.GOOD, {defect}).summary(),
            "reviews": self.rate(Label.REVIEW, {defect}).summary(),
            **({} if measured is None else measured.summary()),
        }

    def _mean_over_types(self) -> dict[str, float | None] | None:
        """Of structural and logical defects, as MVTec LOCO AD reports them; None for other data sets."""
        if not self.saturation or not self.types:
            return None
        names = ("image_auroc", "pixel_spro_05")
        return {name: _finite(float(np.mean([getattr(one, name) for one in self.types.values()]))) for name in names}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
