"""Geometry of the report's charts, in SVG units; the template draws what is computed here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amiss.core.rule import Rule
from amiss.metrics import Rate, roc_curve
from amiss.reporting.overlay import ORANGE, RED, YELLOW, ColourScale, Stop

BINS = 60


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where it is and what it says."""

    at: float
    text: str


@dataclass(frozen=True)
class Bars:
    """One row of the histogram: its title, number of scores, SVG path, and base line."""

    title: str
    kind: str
    n: int
    path: str
    base: float


@dataclass(frozen=True)
class Histogram:
    """Rows of bars over one score axis, each row scaled to its own highest bar."""

    width: float
    height: float
    left: float
    right: float
    rows: tuple[Bars, ...]
    ticks: tuple[Tick, ...]
    threshold: float
    beyond: int


@dataclass(frozen=True)
class Roc:
    """The ROC curve in a square; `cross` is the operating point with its 95 % intervals, left to bottom."""

    path: str
    ticks: tuple[Tick, ...]
    alpha: float | None
    x: float
    y: float
    cross: tuple[float, float, float, float]


@dataclass(frozen=True)
class Legend:
    """The colour scale: gradient stops with their offset in [0, 1], p-value ticks and score ticks."""

    stops: tuple[tuple[float, Stop], ...]
    p_values: tuple[Tick, ...]
    scores: tuple[Tick, ...]
    threshold: float


def histogram(
    series: Sequence[tuple[str, str, NDArray[np.float32]]], threshold: float, *, width: float = 940.0
) -> Histogram:
    """Bars of several groups of scores over one axis, so that shapes can be compared whatever their sizes.

    The axis ends where the defective scores leave the bars of the good ones too small to see: the last bar
    then holds everything beyond, and `beyond` counts it.

    Args:
        series: Title, CSS class and scores (n,) of each row; rows without scores are left out.
        threshold: Always inside the axis.
        width: Width of the whole chart.
    """
    left, right, row, top = 170.0, width - 20.0, 74.0, 22.0
    series = [entry for entry in series if len(entry[2])]
    everything = np.concatenate([scores for _, _, scores in series] + [np.array([threshold])]).astype(np.float64)
    low, high = float(everything.min()), float(everything.max())
    calm = np.concatenate([scores for _, kind, scores in series if kind != "bad"] + [np.array([threshold])])
    high = min(high, low + 8 * ((float(calm.max()) - low) or (high - low) or 1.0))
    high = high if high > low else low + (abs(low) or 1.0)
    edges = np.linspace(low, high, BINS + 1)
    rows = []
    for number, (title, kind, scores) in enumerate(series):
        counts, _ = np.histogram(np.minimum(scores, high), edges)
        base = top + (number + 1) * row
        rows.append(Bars(title, kind, len(scores), _bars(counts, left, right, base, row - 16), base))
    ticks = tuple(Tick(_place(at, low, high, left, right), f"{at:g}") for at in nice_ticks(low, high))
    place = _place(threshold, low, high, left, right)
    beyond = int((everything > high).sum())
    return Histogram(width, top + len(rows) * row + 34, left, right, tuple(rows), ticks, place, beyond)


def roc(
    labels: NDArray[np.bool_], scores: NDArray[np.float32], alpha: float | None, false_alarms: Rate, detections: Rate
) -> Roc | None:
    """The ROC curve in a square of 300 units; None when good or defective images are missing."""
    if labels.all() or not labels.any():
        return None
    side, edge = 300.0, 0.0
    fpr, tpr, _ = roc_curve(labels, scores)
    bends = np.ones(len(fpr), bool)  # corners only: a long curve would make a long file
    bends[1:-1] = (np.diff(fpr)[:-1] * np.diff(tpr)[1:]) != (np.diff(fpr)[1:] * np.diff(tpr)[:-1])
    points = [f"{edge + side * x:.2f},{edge + side * (1 - y):.2f}" for x, y in zip(fpr[bends], tpr[bends], strict=True)]
    return Roc(
        path="M" + "L".join(points),
        ticks=tuple(Tick(side * share, f"{100 * share:.0f} %") for share in (0, 0.25, 0.5, 0.75, 1)),
        alpha=None if alpha is None else side * alpha,
        x=side * false_alarms.rate,
        y=side * (1 - detections.rate),
        cross=(
            side * false_alarms.interval[0],
            side * false_alarms.interval[1],
            side * (1 - detections.interval[1]),
            side * (1 - detections.interval[0]),
        ),
    )


def legend(rule: Rule, scale: ColourScale, *, width: float = 600.0) -> Legend:
    """The colour scale as a bar, from a little below `start` to a little beyond `full`."""
    margin = 0.12 * (scale.full - scale.start)
    low, high = scale.start - margin, scale.full + margin
    share = [(score - low) / (high - low) for score in (scale.start, scale.threshold, scale.full)]
    ticks: list[Tick] = []
    for p_value, score in _p_value_scores(rule):
        at = _place(score, low, high, 0, width)
        if 0 <= at <= width and all(abs(at - tick.at) >= 0.13 * width for tick in ticks):
            ticks.append(Tick(at, f"{p_value:.2g}"))
    scores = {scale.start, scale.threshold, scale.full}
    return Legend(
        stops=tuple(zip(share, (YELLOW, ORANGE, RED), strict=True)),
        p_values=tuple(sorted(ticks, key=lambda tick: tick.at)),
        scores=tuple(Tick(_place(score, low, high, 0, width), f"{score:.4g}") for score in sorted(scores)),
        threshold=_place(scale.threshold, low, high, 0, width),
    )


def nice_ticks(low: float, high: float, wanted: int = 8) -> list[float]:
    """Round numbers inside [low, high], about as many as wanted; the steps are 1, 2 or 5 times a power of ten.

    Example:
        >>> nice_ticks(17.2, 61.0)
        [20.0, 30.0, 40.0, 50.0, 60.0]
    """
    step = 10.0 ** math.floor(math.log10((high - low) / wanted))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (factor * step) <= wanted)
    return [float(f"{k * step:.10g}") for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _p_value_scores(rule: Rule) -> list[tuple[float, float]]:
    """p-values and the score above which an image gets them: 0.5, the threshold's, then what fits in between."""
    n = rule.n
    if n == 0 or not rule.tells_rates:
        return []
    half, alarm = (n + 1) // 2, 1 + int((rule.normal > np.float32(rule.threshold)).sum())
    others = [int(p * (n + 1)) for p in (0.2, 0.1, 0.05, 0.02, 0.01)]
    ranks = dict.fromkeys(rank for rank in (half, alarm, *others) if 1 <= rank <= n)
    return [(rule.mean_rate(float(rule.normal[-rank])), float(rule.normal[-rank])) for rank in ranks]


def _place(value: float, low: float, high: float, left: float, right: float) -> float:
    return left + (right - left) * (value - low) / (high - low)


def _bars(counts: NDArray[np.intp], left: float, right: float, base: float, height: float) -> str:
    wide = (right - left) / len(counts)
    tallest = max(1, int(counts.max()))
    pieces = []
    for number, count in enumerate(counts):
        if count:
            up = max(1.5, height * int(count) / tallest)
            pieces.append(f"M{left + number * wide:.1f} {base:.1f}v{-up:.1f}h{wide - 0.6:.1f}v{up:.1f}z")
    return "".join(pieces)
