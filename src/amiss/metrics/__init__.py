"""How good scores and decisions are: exact, over every distinct threshold. Larger score = more anomalous."""

from amiss.metrics.f1 import f1_max
from amiss.metrics.intervals import Metric, Rate, bootstrap_interval, clopper_pearson
from amiss.metrics.pro import aupro, pro_curve
from amiss.metrics.roc import auroc, average_precision, roc_curve

__all__ = [
    "Metric",
    "Rate",
    "aupro",
    "auroc",
    "average_precision",
    "bootstrap_interval",
    "clopper_pearson",
    "f1_max",
    "pro_curve",
    "roc_curve",
]
