"""Geometry of the chart of detection against the size of defects, in SVG units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from amiss.reporting.charts import Tick

if TYPE_CHECKING:
    from amiss.evaluation.detection import DetectionBySize

LEFT, RIGHT, TOP, BASE = 60.0, 600.0, 20.0, 220.0


@dataclass(frozen=True)
class SizeDot:
    """One defect."""

    x: float
    y: float
    found: bool


@dataclass(frozen=True)
class SizeChart:
    """Dots, the curve as an SVG path ("" without one), and where a90 and a90/95 lie, None where outside the axis."""

    dots: tuple[SizeDot, ...]
    curve: str
    a90: float | None
    a90_95: float | None
    sizes: tuple[Tick, ...]
    shares: tuple[Tick, ...]


def pod_chart(found: DetectionBySize) -> SizeChart:
    """Where everything lies; the axis of sizes is logarithmic, from the smallest defect to the largest."""
    pod = found.pod
    low, high = (float(end) for end in (found.sizes.min(), found.sizes.max()))
    if pod is not None and pod.a90_95 < 4 * high:
        high = max(high, pod.a90_95)
    low, high = low / 1.1, high * 1.1
    span = math.log(high / low)

    def across(size: float) -> float:
        return LEFT + (RIGHT - LEFT) * math.log(size / low) / span

    def up(share: float) -> float:
        return BASE - (BASE - TOP) * share

    curve = ""
    if pod is not None:
        sizes = np.exp(np.linspace(math.log(low), math.log(high), 80))
        points = zip(sizes, pod.probability(sizes), strict=True)
        curve = "M" + "L".join(f"{across(size):.1f},{up(float(share)):.1f}" for size, share in points)
    rng = np.random.default_rng(0)  # dots of one kind would hide each other on one line
    jitter = rng.uniform(0, 0.05, len(found.sizes))
    dots = [
        SizeDot(across(float(size)), up(1 - float(by) if hit else float(by)), bool(hit))
        for size, hit, by in zip(found.sizes, found.found, jitter, strict=True)
    ]
    marks = [m * 10.0**power for power in range(-1, 6) for m in (1, 2, 5)]
    return SizeChart(
        dots=tuple(dots),
        curve=curve,
        a90=None if pod is None or not low <= pod.a90 <= high else across(pod.a90),
        a90_95=None if pod is None or not low <= pod.a90_95 <= high else across(pod.a90_95),
        sizes=tuple(Tick(across(mark), f"{mark:g}") for mark in marks if low <= mark <= high),
        shares=tuple(Tick(up(share), f"{100 * share:.0f} %") for share in (0, 0.25, 0.5, 0.75, 0.9, 1)),
    )
