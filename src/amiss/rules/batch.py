"""Decide over many parts at once: of those called anomalous, at most a stated share is good, on average."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amiss.core.checks import check_count, check_rate
from amiss.core.errors import InputError


@dataclass(frozen=True)
class BatchDecision:
    """What is said of m parts together. Parts without a p-value (images in error) are in `error` and nowhere else.

    Args:
        rejected: (m,) True = called anomalous.
        adjusted: (m,) smallest `rate` at which the part would be called anomalous, in [0, 1]; NaN for an error.
        error: (m,) True = had no p-value. Neither good nor anomalous: it has not been judged.
        threshold: Parts with a p-value of at most this are called anomalous; 0 when there are none.
        rate: The false discovery rate that was asked for.
        judged: Number of parts with a p-value.
        warning: What the number of calibration images makes impossible here; "" when nothing.
    """

    rejected: NDArray[np.bool_]
    adjusted: NDArray[np.float64]
    error: NDArray[np.bool_]
    threshold: float
    rate: float
    judged: int
    warning: str


def benjamini_hochberg(
    p_values: ArrayLike, rate: float, *, n: int | None = None, units: str = "images"
) -> BatchDecision:
    """Call parts anomalous so that on average at most the share `rate` of those called so is good.

    With the p-values in ascending order, the first k are called anomalous for the largest k with p_k <= k rate / m
    (Benjamini and Hochberg 1995). That holds for p-values that depend on each other positively, as conformal p-values
    that share one calibration set do (Bates, Candès, Lei, Romano and Sesia 2023). The false-alarm rate of a single
    part, which `Rule.alpha` promises, is another promise: in a batch of good parts only, one part called anomalous is
    a false discovery rate of 1, and happens in at most a share `rate` of such batches.

    An image in error has no p-value (NaN). It is left out of m and is never called good or anomalous; the promise is
    about the parts that were judged.

    Args:
        p_values: (m,) in [0, 1], all from one calibrated rule; NaN for an image in error.
        rate: False discovery rate in (0, 1).
        n: Number of calibration images behind the p-values. Their smallest value is 1 / (n + 1); with n given, the
            decision warns when that is too large for this m.
        units: What n counts, for the warning.

    Raises:
        InputError: A p-value outside [0, 1], another shape, or a rate or n out of range.

    Example:
        >>> decision = benjamini_hochberg([0.01, 0.02, 0.5, float("nan"), 0.9], rate=0.1)
        >>> decision.rejected.tolist(), decision.error.tolist()
        ([True, True, False, False, False], [False, False, False, True, False])
        >>> benjamini_hochberg([0.05] * 10, rate=0.1, n=19).warning  # doctest: +ELLIPSIS
        'n = 19 calibration images: the smallest p-value is 0.05, so fewer than 5 anomalous parts among 10 ...'
    """
    p = np.asarray(p_values, np.float64)
    check_rate("rate", rate)
    error = np.isnan(p)
    if p.ndim != 1 or not ((p[~error] >= 0) & (p[~error] <= 1)).all():
        raise InputError(f"p-values must be one number from 0 to 1, or NaN, per part, got an array of shape {p.shape}")
    judged = int((~error).sum())
    adjusted = np.full(len(p), np.nan)
    adjusted[~error] = _adjusted(p[~error])
    rejected = ~error & (np.nan_to_num(adjusted, nan=1) <= rate * (1 + 1e-12))
    threshold = float(p[rejected].max(initial=0))
    warning = "" if n is None else _too_few(check_count("n", n), judged, rate, units)
    return BatchDecision(rejected, adjusted, error, threshold, float(rate), judged, warning)


def _adjusted(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each p-value the smallest m p_j / j over those that are no smaller, at most 1."""
    m = len(p)
    order = np.argsort(p)
    steps = p[order] * m / np.arange(1, m + 1)
    adjusted = np.empty(m)
    adjusted[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1)
    return adjusted


def _too_few(n: int, m: int, rate: float, units: str) -> str:
    """r parts can be called anomalous only when r rate / m >= 1 / (n + 1)."""
    fewest = math.ceil(m / (rate * (n + 1)) - 1e-9)
    if fewest <= 1:
        return ""
    for_one = f"{math.ceil(m / rate - 1 - 1e-9)} {units} would find a single one."
    smallest = f"n = {n} calibration {units}: the smallest p-value is {1 / (n + 1):.3g}, so "
    if fewest > m:
        for_all = math.ceil(1 / rate - 1 - 1e-9)
        return f"{smallest}none of {m} parts can be called anomalous. At least {for_all} are needed, and {for_one}"
    return f"{smallest}fewer than {fewest} anomalous parts among {m} cannot be found. {for_one}"
