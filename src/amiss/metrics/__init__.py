"""How good scores and decisions are: exact, over every distinct threshold. Larger score = more anomalous."""

from amiss.metrics.estimate import Estimate, estimate_auroc, estimate_precision
from amiss.metrics.exact import f1_interval, fpr_at_tpr_interval
from amiss.metrics.f1 import f1_max
from amiss.metrics.intervals import Rate, clopper_pearson, rate_over_lots
from amiss.metrics.paired import Agreement, Difference, mcnemar, paired_difference
from amiss.metrics.pimo import Pimo, aupimo
from amiss.metrics.pro import aupro, pro_curve
from amiss.metrics.roc import auroc, average_precision, roc_curve
from amiss.metrics.spro import spro, spro_curve
from amiss.metrics.threshold import Outcomes, at_threshold, fpr_at_tpr, seg_f1
from amiss.metrics.units import Units, units_of

__all__ = [
    "Agreement",
    "Difference",
    "Estimate",
    "Outcomes",
    "Pimo",
    "Rate",
    "Units",
    "at_threshold",
    "aupimo",
    "aupro",
    "auroc",
    "average_precision",
    "clopper_pearson",
    "estimate_auroc",
    "estimate_precision",
    "f1_interval",
    "f1_max",
    "fpr_at_tpr",
    "fpr_at_tpr_interval",
    "mcnemar",
    "paired_difference",
    "pro_curve",
    "rate_over_lots",
    "roc_curve",
    "seg_f1",
    "spro",
    "spro_curve",
    "units_of",
]
