"""Measure an inspector on a data set."""

from amiss.evaluation.evaluate import Evaluation, Metrics, evaluate

__all__ = ["Evaluation", "Metrics", "evaluate"]
