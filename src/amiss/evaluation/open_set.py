"""What an inspector that knows several classes makes of them, and of images of none of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.classes import UNKNOWN
from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.core.verdict import Label, Verdict
from amiss.data.dataset import GOOD, Dataset
from amiss.evaluation.sampling import Sampling
from amiss.inspector import Inspector
from amiss.metrics import Rate, estimate_auroc, fpr_at_tpr, fpr_at_tpr_interval
from amiss.metrics.estimate import Interval
from amiss.metrics.open_set import confusion, oscr_scores
from amiss.metrics.units import Units

TPR = 0.95
"""Share of the known images that a threshold passes, at which the unknown ones it passes are counted."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenSet:
    """Classes and the unknown, on the usable images of one data set. Accuracies count parts.

    Args:
        classes: Those that the inspector knows.
        rows: Those of the images: known ones first, then unknown ones.
        table: How many images of each of `rows` were called each of `classes`, or unknown, (rows, classes + 1).
        accuracy: Known parts whose images are all most like their own class, also where they alarm.
        per_class: The same of each known class.
        called_unknown: Parts of each known class that raised an alarm.
        oscr: Open-set classification rate, in [0, 1].
        oscr_interval: Its 95 % interval over parts or lots.
        passed_at_95: Share of the unknown images that the threshold passes which passes 95 % of the known ones: an
            oracle, chosen with the truth. "FPR at 95 % TPR" in papers.
        passed_at_95_interval: Its 95 % interval.
    """

    classes: tuple[str, ...]
    rows: tuple[str, ...]
    table: NDArray[np.int64]
    accuracy: Rate
    per_class: dict[str, Rate]
    called_unknown: dict[str, Rate]
    oscr: float
    oscr_interval: Interval
    passed_at_95: float
    passed_at_95_interval: Interval

    @property
    def columns(self) -> tuple[str, ...]:
        """What images are called."""
        return (*self.classes, UNKNOWN)

    def summary(self) -> dict[str, Any]:
        """Plain JSON values; None where not defined."""
        return {
            "classes": list(self.classes),
            "closed_set_accuracy": self.accuracy.summary(),
            "per_class": {name: rate.summary() for name, rate in self.per_class.items()},
            "called_unknown": {name: rate.summary() for name, rate in self.called_unknown.items()},
            "oscr": _finite(self.oscr),
            "oscr_interval": _ends(self.oscr_interval),
            "unknown_passed_at_95_known": _finite(self.passed_at_95),
            "unknown_passed_at_95_known_interval": _ends(self.passed_at_95_interval),
            "confusion": {
                "rows": list(self.rows),
                "columns": list(self.columns),
                "images": self.table.tolist(),
            },
        }


def as_known(dataset: Dataset, *inspectors: Inspector) -> Dataset:
    """The data set as it is for inspectors that know classes: images of all others are unknown, and are all tested.

    Without labels, or for inspectors that know no classes, the data set as it is.

    Raises:
        DataError: The inspectors know different classes.
    """
    known = {inspector.learned.classes for inspector in inspectors}
    if len(known) > 1:
        raise DataError(f"the models must know the same classes, got {' and '.join(map(_named, sorted(known)))}")
    (classes,) = known or {()}
    if not classes or not dataset.test.labels:
        return dataset
    more = np.flatnonzero([label not in classes for label in dataset.normal.labels])
    test = Images.join([dataset.test, dataset.normal.subset(more)]) if len(more) else dataset.test
    origins = dataset.test_origins
    if origins and dataset.normal_origins:
        origins = (*origins, *(dataset.normal_origins[index] for index in more))
    kept = np.setdiff1d(np.arange(len(dataset.normal)), more)
    return replace(
        dataset,
        normal=dataset.normal.subset(kept),
        normal_origins=tuple(dataset.normal_origins[index] for index in kept) if dataset.normal_origins else (),
        test=test,
        test_origins=origins if len(origins) == len(test) else (),
        defects=_defects(test.labels, classes),
        masks=None,
    )


def measure_open_set(
    inspector: Inspector, dataset: Dataset, verdicts: Sequence[Verdict], sampling: Sampling
) -> OpenSet | None:
    """Measure on a data set as `as_known` gives it; None where no classes are known or the images have no labels."""
    classes, labels = inspector.learned.classes, dataset.test.labels
    if not classes or not labels:
        return None
    usable = np.array([verdict.label is not Label.ERROR for verdict in verdicts], bool)
    right = np.array([one.most_like == label for one, label in zip(verdicts, labels, strict=True)], bool)
    accuracies = {name: _accuracy(right, usable, np.array(labels) == name, sampling) for name in classes}
    alarms = [verdict.label for verdict in verdicts]
    strange = {name: sampling.rate(Label.ANOMALOUS, alarms, np.array(labels) == name) for name in classes}
    scores = np.array([verdict.score for verdict in verdicts if verdict.score is not None], np.float64)
    units = sampling.units(usable)
    area = estimate_auroc(units, oscr_scores(units.defective, scores, right[usable]))
    swapped = Units(~units.defective, units.unit)  # how few unknown ones pass where most known ones do
    truth = [label for label, use in zip(labels, usable, strict=True) if use]
    said = [verdict.recognised or UNKNOWN for verdict, use in zip(verdicts, usable, strict=True) if use]
    rows = (*classes, *sorted(set(truth) - set(classes)))
    return OpenSet(
        classes=classes,
        rows=rows,
        table=confusion(truth, said, rows, (*classes, UNKNOWN)),
        accuracy=_accuracy(right, usable, ~sampling.defective, sampling),
        per_class={name: rate for name, rate in accuracies.items() if rate.n},
        called_unknown={name: rate for name, rate in strange.items() if rate.n},
        oscr=area.value,
        oscr_interval=area.interval(),
        passed_at_95=fpr_at_tpr(swapped.defective, -scores, TPR),
        passed_at_95_interval=fpr_at_tpr_interval(swapped, -scores, TPR),
    )


def _accuracy(
    right: NDArray[np.bool_], usable: NDArray[np.bool_], chosen: NDArray[np.bool_], sampling: Sampling
) -> Rate:
    """Parts of which no image is told wrongly."""
    wrong = [
        Label.ERROR if not use else Label.GOOD if told else Label.ANOMALOUS
        for told, use in zip(right, usable, strict=True)
    ]
    found = sampling.rate(Label.ANOMALOUS, wrong, chosen)
    return Rate(found.n - found.count, found.n, found.worth)


def _defects(labels: Sequence[str], classes: Sequence[str]) -> tuple[str, ...]:
    return tuple(GOOD if label in classes else label for label in labels)


def _named(classes: Sequence[str]) -> str:
    return ", ".join(classes) or "none"


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _ends(interval: Interval) -> list[float] | None:
    return None if math.isnan(interval[0]) else list(interval)
