"""How good scores and decisions are: exact, over every distinct threshold. Larger score = more anomalous."""

from amiss.metrics.f1 import f1_max
from amiss.metrics.intervals import Metric, Rate, bootstrap_interval, clopper_pearson
from amiss.metrics.paired import Agreement, Difference, mcnemar, paired_difference
from amiss.metrics.pimo import Pimo, aupimo
from amiss.metrics.pro import aupro, pro_curve
from amiss.metrics.roc import auroc, average_precision, roc_curve
from amiss.metrics.spro import spro, spro_curve
from amiss.metrics.threshold import Outcomes, at_threshold, fpr_at_tpr, seg_f1

__all__ = [
    "Agreement",
    "Difference",
    "Metric",
    "Outcomes",
    "Pimo",
    "Rate",
    "at_threshold",
    "aupimo",
    "aupro",
    "auroc",
    "average_precision",
    "bootstrap_interval",
    "clopper_pearson",
    "f1_max",
    "fpr_at_tpr",
    "mcnemar",
    "paired_difference",
    "pro_curve",
    "roc_curve",
    "seg_f1",
    "spro",
    "spro_curve",
]
