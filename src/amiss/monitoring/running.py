"""From a chart and a stream to a `ChartRun`: path, limits, the stretch that changed, the alarm that announces it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from amiss.core.sentence import Sentence
from amiss.core.words import percent
from amiss.monitoring.change import Stretch, find_change, find_rate_change
from amiss.monitoring.charts import AlarmRate, Cusum, Ewma
from amiss.monitoring.design import Design
from amiss.monitoring.martingale import Martingale
from amiss.monitoring.normal_score import normal_scores
from amiss.monitoring.outcome import Alarm, ChartRun, HealthRun

Floats = NDArray[np.float64]

RARELY = Sentence(
    "one false alarm in {arl} parts, over calibration sets of n = {n}",
    "tests/monitoring/test_design.py::test_false_alarms_are_as_designed",
)
NEVER = Sentence(
    "ever alarms on an unchanged process with probability of at most {delta}",
    "tests/monitoring/test_martingale.py::test_ville_on_exchangeable_streams_of_scores",
)


def run_cusum(chart: Cusum, z: Floats, design: Design) -> ChartRun:
    """A CUSUM over normal scores (N,)."""
    path, upper = chart.path(z), np.full(len(z), design.limit)
    return _run(
        chart.name, path, upper, None, lambda parts: _sides(parts, chart.direction == "up"), _by_mean(z), design
    )


def run_ewma(chart: Ewma, z: Floats, design: Design) -> ChartRun:
    """An EWMA over normal scores (N,), limits on both sides."""
    path, (lower, upper) = chart.path(z), chart.bounds(design.limit, len(z))
    return _run(chart.name, path, upper, lower, lambda parts: path[parts] > 0, _by_mean(z), design)


def run_rate(chart: AlarmRate, above: NDArray[np.bool_], design: Design) -> ChartRun:
    """The rate of parts above the threshold, from True = above (N,)."""

    def changed(direction: str, until: int) -> Stretch:
        return find_rate_change(above[:until], chart.expected, chart.worse(chart.expected))

    path = chart.path(above).astype(np.float64)
    upper = np.full(len(path), design.limit - 0.5)  # at the limit, a whole number, it alarms
    return _run(chart.name, path, upper, None, lambda parts: _sides(parts, True), changed, design)


def run_martingale(chart: Martingale, scores: Floats, normal: Floats, z: Floats) -> ChartRun:
    """The martingale over scores (N,) after calibration scores (n,); the stretch is found on normal scores (N,)."""
    up, down = chart.sides(chart.p_values(scores, normal))
    path = np.logaddexp(up, down)
    upper = np.full(len(path), chart.limit - 1e-9)
    promise = NEVER(delta=percent(chart.delta))
    return _run(chart.name, path, upper, None, lambda parts: up[parts] >= down[parts], _by_mean(z), None, promise)


def run_health(measure: str, values: Floats, reference: Floats, start: int, design: Design, chart: Ewma) -> HealthRun:
    """One measure of the images, (N,), against reference images (m,); charted from part `start` on."""
    run = run_ewma(chart, normal_scores(values[start:], reference), design)
    blank = np.full(start, np.nan)
    path, upper = np.concatenate([blank, run.path]), np.concatenate([blank, run.upper])
    alarm = None if run.alarm is None else run.alarm.moved(start)
    chart_run = ChartRun(measure, path, upper, -upper, run.promise, alarm, design)
    return HealthRun(measure, values, reference, start, chart_run)


def _by_mean(z: Floats) -> Callable[[str, int], Stretch]:
    return lambda direction, until: find_change(z[:until], direction)


def _sides(parts: NDArray[np.intp], up: bool) -> NDArray[np.bool_]:
    return np.full(len(parts), up)


def _run(
    name: str,
    path: Floats,
    upper: Floats,
    lower: Floats | None,
    rising: Callable[[NDArray[np.intp]], NDArray[np.bool_]],
    changed: Callable[[str, int], Stretch],
    design: Design | None,
    promise: str = "",
) -> ChartRun:
    """A chart and its alarm.

    Args:
        name: Of the chart.
        path: See `ChartRun`.
        upper: See `ChartRun`.
        lower: See `ChartRun`.
        rising: For parts beyond a limit, whether scores rose there.
        changed: The clearest stretch in a direction among the first so many parts.
        design: See `ChartRun`.
        promise: In words, where there is no design.
    """
    beyond = np.flatnonzero(path > upper if lower is None else (path > upper) | (path < lower))
    if design is not None:
        promise = RARELY(arl=f"{design.arl:.0f}", n=design.n)
    alarm = _announced(beyond, rising(beyond), changed, len(path)) if len(beyond) else None
    return ChartRun(name, path, upper, lower, promise, alarm, design)


def _announced(
    beyond: NDArray[np.intp], rising: NDArray[np.bool_], changed: Callable[[str, int], Stretch], count: int
) -> Alarm:
    """The alarm that announces the clearest change: the first one in its direction since it began.

    A stretch that begins after the last alarm is announced by none of them. What the first alarm announces then lies
    before it: it is looked for among the parts up to the alarm.

    Args:
        beyond: Parts beyond a limit, ascending, at least one.
        rising: Whether scores rose at each of them.
        changed: See `_run`.
        count: Number of parts.
    """
    first, lasting = int(beyond[0]), bool(beyond[-1] == count - 1)
    found = []
    for side in ("up", "down"):
        parts = beyond[rising == (side == "up")]
        if len(parts):
            stretch = changed(side, count)
            since = parts[parts >= stretch.first]
            if len(since):
                part = int(since[0])
                found.append(Alarm(part, side, stretch, lasting, first if first < stretch.first else None))
    if not found:
        side = "up" if rising[0] else "down"
        return Alarm(first, side, changed(side, first + 1), lasting)
    return max(found, key=lambda alarm: alarm.changed.strength)
