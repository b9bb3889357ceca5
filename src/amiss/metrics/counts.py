"""What the ranking metrics share: checked labels and scores, split by class, and counted at every threshold.

Nothing here sorts labels along with scores. Each class is sorted by itself, and the counts of one class at
the scores of the other are looked up: exact, in whole numbers, and quick for tens of millions of pixels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amiss.core.errors import InputError


class Classes(NamedTuple):
    """Scores of the two classes, each ascending.

    Args:
        anomalous: Scores with label 1, (P,).
        normal: Scores with label 0, (N,), of the same type.
    """

    anomalous: NDArray[Any]
    normal: NDArray[Any]


class Counts(NamedTuple):
    """How many scores reach each distinct anomalous score, thresholds ascending.

    Thresholds between them add false positives only, so no best F1 and no step of recall is missed.

    Args:
        true: Anomalous scores of at least the threshold, int64 (T,), falling strictly.
        false: Normal scores of at least the threshold, int64 (T,).
    """

    true: NDArray[np.int64]
    false: NDArray[np.int64]


def check_binary(values: ArrayLike, what: str) -> NDArray[np.bool_]:
    """Labels or a mask as bool, any shape.

    Args:
        values: Bools, or the numbers 0 and 1.
        what: How errors call it.

    Raises:
        InputError: Any other value.
    """
    array = np.asarray(values)
    if array.dtype == np.bool_ or array.size == 0:
        return array.astype(np.bool_, copy=False)
    if array.dtype.kind not in "iuf":
        raise InputError(f"{what} must be bool, or the numbers 0 and 1, got {array.dtype}")
    strange = (array != 0) & (array != 1)
    if strange.any():
        raise InputError(f"{what} must be 0 or 1, got {array[strange][0]} (of a 0/255 mask, give mask > 0)")
    return array.astype(np.bool_)


def check_scores(values: ArrayLike, what: str) -> NDArray[Any]:
    """Finite scores in a floating-point type that holds them exactly, any shape; float32 stays float32.

    Args:
        values: Real numbers.
        what: How errors call it.

    Raises:
        InputError: Not real numbers, or one that is not finite.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{what} must be real numbers, got {array.dtype}")
    finite = np.isfinite(array)
    if not finite.all():
        bad = array.size - np.count_nonzero(finite)
        raise InputError(f"{what}: {bad} of {array.size} numbers are not finite; such a score has no rank")
    return array.astype(np.result_type(array.dtype, np.float32), copy=False)


def split(labels: ArrayLike, scores: ArrayLike) -> Classes:
    """Scores by class, sorted.

    Args:
        labels: 1 or True = anomalous, any shape.
        scores: Larger = more anomalous, of the same shape.

    Raises:
        InputError: Shapes differ, labels are not binary, or scores are not finite.
    """
    truth, values = check_binary(labels, "labels"), check_scores(scores, "scores")
    if truth.shape != values.shape:
        raise InputError(f"labels and scores must have the same shape, got {truth.shape} and {values.shape}")
    classes = Classes(values[truth], values[~truth])
    classes.anomalous.sort()
    classes.normal.sort()
    return classes


def count(classes: Classes) -> Counts:
    """Counts at every distinct anomalous score; empty without anomalous scores."""
    start = first_of_ties(classes.anomalous)
    return Counts(
        true=len(classes.anomalous) - start,
        false=at_least(classes.normal, classes.anomalous[start]),
    )


def at_least(ordered: NDArray[Any], thresholds: NDArray[Any]) -> NDArray[np.int64]:
    """How many of the ascending numbers (N,) are not below each threshold (T,); int64 (T,)."""
    return (len(ordered) - np.searchsorted(ordered, thresholds, side="left")).astype(np.int64, copy=False)


def first_of_ties(ordered: NDArray[Any]) -> NDArray[np.int64]:
    """Where each distinct value of an ascending array (N,) begins; int64 (T,)."""
    new = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return np.flatnonzero(new).astype(np.int64, copy=False)
