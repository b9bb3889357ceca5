"""Measure an inspector on a data set."""

from amiss.evaluation.certificate import Certificate, certify
from amiss.evaluation.compare import Comparison, compare
from amiss.evaluation.evaluate import Evaluation, Metrics, evaluate

__all__ = ["Certificate", "Comparison", "Evaluation", "Metrics", "certify", "compare", "evaluate"]
