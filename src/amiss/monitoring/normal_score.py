"""From an anomaly score to a number that control charts can add up: the normal score of its rank."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amiss.core.errors import CalibrationError, InputError

LEAST = 20
"""Fewest scores to compare with. With fewer, one unlucky set of them decides what the chart does."""


def cell_scores(n: int) -> NDArray[np.float64]:
    """The n + 1 values that a normal score can take, ascending: one for each place among n sorted scores.

    Example:
        >>> cell_scores(4).round(2).tolist()
        [-1.28, -0.52, 0.0, 0.52, 1.28]
    """
    from scipy.special import ndtri

    return np.asarray(ndtri((np.arange(n + 1) + 0.5) / (n + 1)), np.float64)


def normal_scores(scores: ArrayLike, normal: ArrayLike) -> NDArray[np.float64]:
    """Normal scores z = Phi^-1(1 - p) of a stream, with the middle of the step that the p-value lies on.

    The conformal p-value is one of 1/(n+1) ... 1, and p = 1 would give minus infinity. The middle of its step,
    p - 1/(2(n+1)), is never 0 or 1, treats high and low scores alike, and needs no random number: one stream gives one
    result. What it costs is known: z is a little less spread than a standard normal and never beyond
    Phi^-1(1 - 1/(2(n+1))), and the limits of the charts are designed for exactly these n + 1 values. A score that
    equals some of `normal` gets the middle of all the steps it may lie on.

    Args:
        scores: Scores of the stream, (N,).
        normal: Scores of good images that learning never saw, in any order, (n,).

    Returns:
        (N,); about standard normal while the process is what it was, larger = more anomalous.

    Raises:
        CalibrationError: Fewer than 20 scores to compare with.
        InputError: A number that is not finite.

    Example:
        >>> import numpy as np
        >>> normal_scores([-1.0, 9.5, 99.0], np.arange(20)).round(2).tolist()
        [-1.98, 0.0, 1.98]
    """
    from scipy.special import ndtri

    reference = np.sort(check_scores("calibration scores", normal))
    values = check_scores("scores of the stream", scores)
    n = check_n(len(reference))
    below = np.searchsorted(reference, values, side="left") + np.searchsorted(reference, values, side="right")
    return np.asarray(ndtri((below / 2 + 0.5) / (n + 1)), np.float64)


def check_n(n: int) -> int:
    """Enough scores to compare with.

    Raises:
        CalibrationError: Too few.
    """
    if n < LEAST:
        raise CalibrationError(f"monitoring needs at least {LEAST} calibration scores, better 100, got {n}")
    return n


def check_scores(what: str, values: ArrayLike) -> NDArray[np.float64]:
    """One-dimensional, finite, at the float32 precision that rules compare in.

    Raises:
        InputError: Anything else.
    """
    with np.errstate(over="ignore"):
        return check_numbers(what, np.asarray(values, np.float32))


def check_numbers(what: str, values: ArrayLike) -> NDArray[np.float64]:
    """One-dimensional and finite.

    Raises:
        InputError: Anything else.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1:
        raise InputError(f"{what} must be a list of numbers, got an array of shape {array.shape}")
    if not np.isfinite(array).all():
        where = int(np.flatnonzero(~np.isfinite(array))[0])
        raise InputError(f"{what} must be finite numbers, got {array[where]} at index {where}")
    return array
