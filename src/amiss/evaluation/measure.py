"""From scores, verdicts and maps to metrics, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.sentence import Sentence
from amiss.evaluation.pixels import PRO_LIMITS, Pixels
from amiss.evaluation.sampling import Sampling
from amiss.metrics import (
    Estimate,
    Rate,
    Units,
    estimate_auroc,
    estimate_precision,
    f1_interval,
    f1_max,
    fpr_at_tpr,
    fpr_at_tpr_interval,
)
from amiss.metrics.coverage import held
from amiss.metrics.estimate import Interval, estimate_shares
from amiss.metrics.exact import quantile_interval
from amiss.metrics.spro import LIMITS
from amiss.metrics.threshold import f1_of, pixel_outcomes
from amiss.metrics.weighted import areas, pimo_values

UNKNOWN = (math.nan, math.nan)

SPRO = {f"pixel_spro_{round(100 * limit):02d}": f"spro {limit:g}" for limit in LIMITS}
"""Field of each sPRO and its name among the areas."""

AREAS = {
    "pixel_auroc": "auroc",
    "pixel_ap": "ap",
    "pixel_aupro": "pro 0.3",
    "pixel_aupro_05": "pro 0.05",
    "aupimo": "aupimo",
    "aupimo_median": "aupimo median",
    "aupimo_p33": "aupimo p33",
    **SPRO,
}
"""Field of each area over pixels, and its name in `amiss.metrics.weighted.areas`."""

HELD = Sentence(
    "Intervals of areas are score intervals, with width at 1.000 too. One that says less than 95 % held the true value "
    "only so often in the worst of the simulated cases. Too few defects (below 73 parts) do not bound the false alarms "
    "at 95 % found: that interval then ends at or near 1.",
    "tests/metrics/test_coverage.py::test_no_interval_claims_more_than_was_simulated",
)

STUDIED = {
    "image_auroc": "auroc",
    "image_ap": "ap",
    "fpr_at_95_tpr": "fpr_at_95_tpr",
    "f1": "f1",
    "seg_f1": "f1 of pixels",
    "pixel_auroc": "auroc of pixels",
    "pixel_ap": "ap of pixels",
    "pixel_aupro": "pro 0.3",
    "pixel_aupro_05": "pro 0.05",
    "aupimo": "aupimo",
    "aupimo_median": "aupimo median",
    "aupimo_p33": "aupimo p33",
    **dict.fromkeys(("pixel_spro_01", "pixel_spro_05"), "spro 0.05"),
    **dict.fromkeys(("pixel_spro_10", "pixel_spro_30", "pixel_spro_100"), "spro 0.3"),
}
"""Name of each metric in the study of how often intervals hold."""

QUANTILES = {"aupimo_median": 0.5, "aupimo_p33": 0.33}

MOST = 400
"""Units of all images together beyond which neighbours are joined for the intervals of areas over pixels."""


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Metrics, each in [0, 1] and NaN where it is not defined. All but the last four are computed on raw scores alone.

    Args:
        image_auroc: AUROC of the image scores.
        image_ap: Average precision of the image scores.
        image_f1_max: Best F1 of any threshold; an oracle that nobody has on the line.
        fpr_at_95_tpr: False-alarm rate of the threshold that finds 95 % of the defective images; an oracle too.
        pixel_auroc: AUROC of all pixels.
        pixel_ap: Average precision of all pixels.
        pixel_aupro: Per-region overlap up to a false-positive rate of 0.3.
        pixel_aupro_05: Per-region overlap up to a false-positive rate of 0.05.
        pixel_spro_01: Saturated overlap up to a false-positive rate of 0.01; known for MVTec LOCO AD and its like.
        pixel_spro_05: The same up to 0.05, the headline of that data set.
        pixel_spro_10: The same up to 0.1.
        pixel_spro_30: The same up to 0.3.
        pixel_spro_100: The same up to 1.
        aupimo: Mean over the defective images of the overlap while good images stay almost free of false pixels.
        aupimo_median: The median over the defective images.
        aupimo_p33: A third of the defective images is at or below it.
        n_aupimo: Number of defective images with an AUPIMO, for which no range applies.
        f1: F1 of the verdicts, at the rule's threshold.
        seg_f1: F1 of all pixels above the rule's threshold.
        intervals: Interval over parts or lots of each metric, by its name.
        several: Whether several images count as one part or lot.
    """

    image_auroc: float
    image_ap: float
    image_f1_max: float
    fpr_at_95_tpr: float
    pixel_auroc: float = math.nan
    pixel_ap: float = math.nan
    pixel_aupro: float = math.nan
    pixel_aupro_05: float = math.nan
    pixel_spro_01: float = math.nan
    pixel_spro_05: float = math.nan
    pixel_spro_10: float = math.nan
    pixel_spro_30: float = math.nan
    pixel_spro_100: float = math.nan
    aupimo: float = math.nan
    aupimo_median: float = math.nan
    aupimo_p33: float = math.nan
    n_aupimo: int = 0
    f1: float = math.nan
    seg_f1: float = math.nan
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    several: bool = False

    @property
    def held(self) -> dict[str, float]:
        """The confidence that the interval of each metric may claim, by its name."""
        return {name: held(kind, several=self.several) for name, kind in STUDIED.items()}

    @property
    def image_auroc_interval(self) -> Interval:
        """Interval of the image AUROC."""
        return self.interval("image_auroc")

    def interval(self, name: str) -> Interval:
        """Interval of a metric; NaN where it has none."""
        return self.intervals.get(name, UNKNOWN)

    def words(self) -> str:
        """What the intervals of areas are, and how often they hold, for a person."""
        return HELD()

    def summary(self) -> dict[str, Any]:
        """Plain JSON values, for each metric also ``<name>_interval``; None where not defined.

        ``interval_confidence`` is what each interval may claim, in (0, 1).
        """
        plain: dict[str, Any] = {"interval_confidence": self.held}
        for name, value in vars(self).items():
            if name in ("intervals", "several"):
                continue
            plain[name] = value if math.isfinite(value) else None
            if name not in ("n_aupimo", "image_f1_max"):
                low, high = self.interval(name)
                plain[f"{name}_interval"] = None if math.isnan(low) else [low, high]
        return plain


@dataclass(frozen=True, kw_only=True)
class TypeMetrics:
    """One defect type against the good images. NaN where not defined.

    Args:
        image_auroc: AUROC of the image scores.
        image_auroc_interval: Its interval over parts or lots.
        pixel_aupro: Per-region overlap up to a false-positive rate of 0.3.
        pixel_aupro_05: The same up to 0.05.
        pixel_spro_05: Saturated overlap up to 0.05, where saturations are known.
    """

    image_auroc: float
    image_auroc_interval: Interval
    pixel_aupro: float = math.nan
    pixel_aupro_05: float = math.nan
    pixel_spro_05: float = math.nan

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        low, high = self.image_auroc_interval
        plain = {n: v if math.isfinite(v) else None for n, v in vars(self).items() if n != "image_auroc_interval"}
        return plain | {"image_auroc_interval": None if math.isnan(low) else [low, high]}


def compute_metrics(
    scores: NDArray[np.float32],
    alarms: tuple[Rate, Rate],
    pixels: Pixels,
    threshold: float,
    sampling: Sampling,
    usable: NDArray[np.bool_],
) -> Metrics:
    """Every metric of the usable images.

    Args:
        scores: Their image scores, (n,).
        alarms: Detections and false alarms, for the F1 of the verdicts.
        pixels: Maps and masks.
        threshold: Threshold of the rule, for the F1 of pixels.
        sampling: Parts and lots of all test images.
        usable: Which of the test images are usable, (N,).
    """
    units = sampling.units(usable)
    found = {"image_auroc": estimate_auroc(units, scores), "image_ap": estimate_precision(units, scores)}
    measured, n_aupimo = _measure_pixels(pixels, threshold, sampling)
    found |= measured
    values = {name: one.value for name, one in found.items()}
    intervals = {name: one.interval() for name, one in found.items()}
    for name, share in QUANTILES.items():
        if name in found:
            intervals[name] = _quantile_interval(found[name], share, pixels)
    detections, false_alarms = alarms
    values["fpr_at_95_tpr"] = fpr_at_tpr(units.defective, scores)
    intervals["fpr_at_95_tpr"] = fpr_at_tpr_interval(units, scores)
    missed = detections.n - detections.count
    values["f1"] = float(f1_of(detections.count, false_alarms.count, missed))
    intervals["f1"] = f1_interval(*_worth(detections), *_worth(false_alarms))
    return Metrics(
        image_f1_max=f1_max(units.defective, scores),
        **values,
        n_aupimo=n_aupimo,
        intervals=intervals,
        several=units.k < len(scores),
    )


def _worth(rate: Rate) -> tuple[float, float]:
    """Count and n, as many as they are worth."""
    worth = rate.n if rate.worth is None else rate.worth
    return rate.count * worth / max(1, rate.n), worth


def compute_type_metrics(scores: NDArray[np.float32], pixels: Pixels, defect: str, units: Units) -> TypeMetrics:
    """One defect type: `scores` and `units` are those of its usable images and of the good ones."""
    chosen = [i for i, name in enumerate(pixels.defects) if name == defect or not pixels.defective[i]]
    found = pixels.overlaps({"pro": PRO_LIMITS, "spro": (0.05,)}, chosen) if chosen else {}
    area = estimate_auroc(units, scores)
    return TypeMetrics(
        image_auroc=area.value,
        image_auroc_interval=area.interval(),
        **{name: found[key] for name, key in AREAS.items() if key in found},
    )


def _measure_pixels(pixels: Pixels, threshold: float, sampling: Sampling) -> tuple[dict[str, Estimate], int]:
    """Estimates by name, and the number of images with an AUPIMO; empty without maps or masks."""
    if len(pixels) == 0:
        return {}, 0
    found = pixels.ranking() | pixels.overlaps(pixels.limits)
    values = {name: found[key] for name, key in AREAS.items() if key in found}
    count = sum(bool(mask.any()) for mask in pixels.masks) if "aupimo" in values else 0
    outcomes = pixel_outcomes(pixels.masks, pixels.maps, threshold)
    values["seg_f1"] = float(f1_of(*outcomes.sum(axis=0)))
    cells, limits = pixels.cells(), pixels.limits

    def measure(weights: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        weighted = areas(cells, weights, limits)
        return {name: weighted[key] for name, key in AREAS.items() if name in values} | {
            "seg_f1": f1_of(*(weights @ outcomes).T)
        }

    return estimate_shares(values, measure, sampling.units(pixels.indices).merged(MOST)), count


def _quantile_interval(found: Estimate, share: float, pixels: Pixels) -> Interval:
    """Of a quantile of AUPIMO: where it may lie among the defective images, and how far good ones move the axis."""
    cells = pixels.cells()
    values = pimo_values(cells, np.ones((1, len(pixels)), np.float32))[0]
    return found.widened(quantile_interval(values, share, min(len(values), found.units.count(defective=True))))
