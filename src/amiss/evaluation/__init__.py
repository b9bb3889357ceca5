"""Measure an inspector on a data set."""

from amiss.evaluation.certificate import Certificate, certify
from amiss.evaluation.compare import Comparison, compare
from amiss.evaluation.evaluate import Evaluation, Metrics, evaluate
from amiss.evaluation.unseen import check_unseen, only_unseen, open_for
from amiss.evaluation.watch import watch

__all__ = [
    "Certificate",
    "Comparison",
    "Evaluation",
    "Metrics",
    "certify",
    "check_unseen",
    "compare",
    "evaluate",
    "only_unseen",
    "open_for",
    "watch",
]
