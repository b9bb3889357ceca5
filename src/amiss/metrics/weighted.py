"""Pixel metrics of images that count more or less often: what a metric would be without one of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.metrics.cells import Cells
from amiss.metrics.pimo import LIMITS, log_weights, resolves

Limits = Mapping[str, Sequence[float]]
"""For each kind of region, "pro" or "spro", the limits of its areas."""

BATCH = 16


def areas(
    cells: Cells, weights: NDArray[np.int64], limits: Limits, *, pimo: bool = True
) -> dict[str, NDArray[np.float64]]:
    """Pixel metrics of images that are weighted.

    Args:
        cells: The images, reduced.
        weights: How often each image counts, (R, M); one row of ones gives the metrics of the images themselves.
        limits: For each kind of region in `cells` the limits of its area.
        pimo: Whether AUPIMO is wanted too.

    Returns:
        "auroc", "ap", for each kind and limit such as ("pro", 0.3) under "pro 0.3", and "aupimo", "aupimo median",
        "aupimo p33": float64 (R,) each, NaN where not defined.
    """
    batches: dict[str, list[NDArray[np.float64]]] = {}
    for part in _batches(weights):
        found = _ranking(cells, part, limits)
        if pimo:
            found |= _pimo(cells, part)
        for name, values in found.items():
            batches.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in batches.items()}


def error_bound(cells: Cells, limits: Limits) -> dict[str, float]:
    """How far the metrics of the images, taken from cells, can be from the exact ones; names as in `areas`.

    A cell is a rectangle that the exact curve crosses from corner to corner, and the cell takes the diagonal: half of
    the rectangle bounds what is lost. A cell of tied scores loses nothing.
    """
    n, a = cells.normal.sum(axis=0, dtype=np.float64), cells.anomalous.sum(axis=0, dtype=np.float64)
    fpr, open_cells = n / max(1.0, n.sum()), ~cells.exact
    tpr = a / max(1.0, a.sum())
    bounds = {"auroc": float((fpr * tpr)[open_cells].sum() / 2), "ap": _precision_bound(n, a, open_cells)}
    before = np.cumsum(fpr) - fpr
    for kind, steps in limits.items():
        rise = cells.overlap[kind].sum(axis=0, dtype=np.float64) if kind in cells.overlap else np.zeros_like(fpr)
        rise /= max(1.0, rise.sum())
        for limit in steps:
            bounds[f"{kind} {limit:g}"] = float((fpr * rise)[open_cells & (before < limit)].sum() / (2 * limit))
    return bounds | {"aupimo": _pimo_bound(cells)}


def _pimo_bound(cells: Cells) -> float:
    """Largest over images: within a cell the height may be that of either corner, all along."""
    if len(cells.rows) == 0 or not cells.good.any():
        return 0.0
    start, end = log_weights(np.cumsum(cells.shares.mean(axis=0), dtype=np.float64), *LIMITS)
    off = np.where(cells.exact, 0.0, np.maximum(start, end))
    return float((np.diff(cells.found, axis=1, prepend=0.0) @ off).max())


def _precision_bound(n: NDArray[np.float64], a: NDArray[np.float64], open_cells: NDArray[np.bool_]) -> float:
    true, false = np.cumsum(a), np.cumsum(n)
    with np.errstate(invalid="ignore", divide="ignore"):
        taken = (true - a / 2) / (true - a / 2 + false - n / 2)
        off = np.maximum(true / (true + false - n) - taken, taken - (true - a) / (true - a + false))
    inside = open_cells & (a > 0)
    return float((a * off)[inside].sum() / max(1.0, a.sum()))


def _batches(weights: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(weights), BATCH):
        yield weights[start : start + BATCH].astype(np.float32)


def _ranking(cells: Cells, weights: NDArray[np.float32], limits: Limits) -> dict[str, NDArray[np.float64]]:
    n = np.asarray(weights @ cells.normal, np.float64)
    false = np.cumsum(n, axis=1)
    total = false[:, -1:]
    bad = weights[:, cells.rows]
    a = np.asarray(bad @ cells.anomalous, np.float64)
    true = np.cumsum(a, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        below = 1 - (false - n / 2) / total
        found = {"auroc": np.einsum("rb,rb->r", a, below) / true[:, -1]}
        part = np.where(cells.exact, 0.0, 0.5)
        hits = true - part * a
        precision = np.divide(hits, hits + false - part * n, out=np.zeros_like(a), where=a > 0)
        found["ap"] = np.einsum("rb,rb->r", a, precision) / true[:, -1]
        fpr = false / total
        for kind, steps in limits.items():
            found |= {f"{kind} {limit:g}": value for limit, value in _overlap(cells, bad, fpr, kind, steps).items()}
    return found


def _overlap(
    cells: Cells, bad: NDArray[np.float32], fpr: NDArray[np.float64], kind: str, limits: Sequence[float]
) -> dict[float, NDArray[np.float64]]:
    if kind not in cells.overlap:
        return {limit: np.full(len(bad), np.nan) for limit in limits}
    height = np.cumsum(np.asarray(bad @ cells.overlap[kind], np.float64), axis=1)
    height /= (bad @ cells.regions[kind])[:, None]
    start = np.zeros((len(bad), 1))
    fpr, height = np.concatenate([start, fpr], axis=1), np.concatenate([start, height], axis=1)
    total = np.cumsum(np.diff(fpr) * (height[:, 1:] + height[:, :-1]) / 2, axis=1)
    return {limit: _cut(fpr, height, total, limit) for limit in limits}


def _cut(
    fpr: NDArray[np.float64], height: NDArray[np.float64], total: NDArray[np.float64], limit: float
) -> NDArray[np.float64]:
    """Area up to exactly the limit over the limit: whole cells, and part of the one that it falls into."""
    row = np.arange(len(fpr))
    last = np.minimum((fpr < limit).sum(axis=1), fpr.shape[1] - 1)  # the first corner at or beyond the limit
    x0, x1, y0, y1 = fpr[row, last - 1], fpr[row, last], height[row, last - 1], height[row, last]
    reach = np.minimum(limit, x1) - x0
    rise = np.divide(y1 - y0, x1 - x0, out=np.zeros_like(x0), where=x1 > x0)
    before = np.where(last >= 2, total[row, last - 2], 0.0)
    return np.asarray(np.minimum(1.0, (before + reach * (y0 + rise * reach / 2)) / limit), np.float64)


def pimo_values(cells: Cells, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """AUPIMO of each defective image with a marked pixel, for weighted good images, (R, D); NaN without enough of them.

    Args:
        cells: The images, reduced.
        weights: How often each image counts, (R, M).
    """
    low, high = LIMITS
    if not resolves(cells.pixels[cells.good].sum(), low) or len(cells.rows) == 0:
        return np.full((len(weights), len(cells.rows)), np.nan)
    good = weights[:, cells.good] / weights[:, cells.good].sum(axis=1, keepdims=True)
    expected = np.cumsum(cells.shares.mean(axis=0), dtype=np.float64)
    last = int(np.searchsorted(expected, 30 * high)) + 1  # beyond all but the strangest weights
    fpr = np.cumsum(good @ cells.shares[:, :last], axis=1, dtype=np.float64)
    if fpr[:, -1].min() < high:
        fpr = np.cumsum(good @ cells.shares, axis=1, dtype=np.float64)
    last = min(fpr.shape[1], int((fpr < high).sum(axis=1).max()) + 1)
    at = cells.found[:, :last]
    above = np.concatenate([np.zeros((len(at), 1)), at[:, :-1]], axis=1)
    start, end = log_weights(fpr[:, :last], low, high)
    return np.asarray(start @ above.T + end @ at.T, np.float64)


def _pimo(cells: Cells, weights: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    values = pimo_values(cells, weights)
    counts = weights[:, cells.rows].astype(np.int64)
    return dict(zip(("aupimo", "aupimo median", "aupimo p33"), _summaries(values, counts), strict=True))


def _summaries(values: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[Any]:
    """Mean, median and third of each row of values, each value as often as it was drawn, (3, R)."""
    rows = []
    for row, count in zip(values, counts, strict=True):
        drawn = np.repeat(row, count)
        known = len(drawn) > 0
        rows.append((drawn.mean(), *np.quantile(drawn, [0.5, 0.33])) if known else (math.nan,) * 3)
    return np.array(rows).T
