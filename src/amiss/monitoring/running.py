"""From a chart and a stream to a `ChartRun`: path, limits, first alarm, and the stretch that changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from amiss.core.words import percent
from amiss.monitoring.change import Stretch, find_change, find_rate_change
from amiss.monitoring.charts import AlarmRate, Cusum, Ewma
from amiss.monitoring.design import Design
from amiss.monitoring.martingale import Martingale
from amiss.monitoring.normal_score import normal_scores
from amiss.monitoring.outcome import Alarm, ChartRun, HealthRun

Floats = NDArray[np.float64]


def run_cusum(chart: Cusum, z: Floats, design: Design) -> ChartRun:
    """A CUSUM over normal scores (N,)."""
    path, upper = chart.path(z), np.full(len(z), design.limit)
    return _run(chart.name, path, upper, None, lambda _: chart.direction, _by_mean(z), design)


def run_ewma(chart: Ewma, z: Floats, design: Design) -> ChartRun:
    """An EWMA over normal scores (N,), limits on both sides."""
    path, (lower, upper) = chart.path(z), chart.bounds(design.limit, len(z))
    return _run(chart.name, path, upper, lower, lambda part: _side(path[part] > 0), _by_mean(z), design)


def run_rate(chart: AlarmRate, above: NDArray[np.bool_], design: Design) -> ChartRun:
    """The rate of parts above the threshold, from True = above (N,)."""

    def changed(direction: str) -> Stretch:
        return find_rate_change(above, chart.expected, chart.worse(chart.expected))

    path = chart.path(above).astype(np.float64)
    upper = np.full(len(path), design.limit - 0.5)  # at the limit, a whole number, it alarms
    return _run(chart.name, path, upper, None, lambda _: "up", changed, design)


def run_martingale(chart: Martingale, scores: Floats, normal: Floats, z: Floats) -> ChartRun:
    """The martingale over scores (N,) after calibration scores (n,); the stretch is found on normal scores (N,)."""
    up, down = chart.sides(chart.p_values(scores, normal))
    path = np.logaddexp(up, down)
    upper = np.full(len(path), chart.limit - 1e-9)
    return _run(
        chart.name, path, upper, None, lambda part: _side(up[part] >= down[part]), _by_mean(z), None, delta=chart.delta
    )


def run_health(measure: str, values: Floats, reference: Floats, start: int, design: Design, chart: Ewma) -> HealthRun:
    """One measure of the images, (N,), against reference images (m,); charted from part `start` on."""
    run = run_ewma(chart, normal_scores(values[start:], reference), design)
    blank = np.full(start, np.nan)
    path, upper = np.concatenate([blank, run.path]), np.concatenate([blank, run.upper])
    alarm = run.alarm
    if alarm is not None:
        alarm = replace(alarm, part=alarm.part + start, changed=alarm.changed.moved(start))
    chart_run = ChartRun(measure, path, upper, -upper, run.promise, alarm, design)
    return HealthRun(measure, values, reference, start, chart_run)


def _by_mean(z: Floats) -> Callable[[str], Stretch]:
    return lambda direction: find_change(z, direction)


def _side(up: bool) -> str:
    return "up" if up else "down"


def _run(
    name: str,
    path: Floats,
    upper: Floats,
    lower: Floats | None,
    direction: Callable[[int], str],
    changed: Callable[[str], Stretch],
    design: Design | None,
    *,
    delta: float = 0.0,
) -> ChartRun:
    beyond = path > upper if lower is None else (path > upper) | (path < lower)
    promise = f"ever alarms on an unchanged process with probability of at most {percent(delta)}"
    if design is not None:
        promise = f"one false alarm in {design.arl:.0f} parts, over calibration sets of n = {design.n}"
    if not beyond.any():
        return ChartRun(name, path, upper, lower, promise, design=design)
    part = int(np.argmax(beyond))
    side = direction(part)
    alarm = Alarm(part, side, changed(side), bool(beyond[-1]))
    return ChartRun(name, path, upper, lower, promise, alarm, design)
