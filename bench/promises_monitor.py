"""How often does a line that never changes raise an alarm? For `bench/promises.py`.

Ten thousand streams of a setting are charted at once, with the limits that the charts design; the first streams of
each setting go through `amiss.monitoring.monitor` as well, which must give the same verdict.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from promises_cases import NORMAL, SIZES, WORLDS, Case, Floats, World, case
from scipy.signal import lfilter
from scipy.special import ndtri

from amiss.monitoring import AlarmRate, Cusum, Ewma, Health, Martingale, Stream, find_change, monitor
from amiss.monitoring.assess import DEFAULT_CHARTS
from amiss.monitoring.design import Share, share_of_shifts

PARTS = 200
ALIKE = 10
"""So many streams of each setting are put through `monitor` too."""
MEASURED = ([120, 90, 0.5, 10], [4, 3, 0.02, 1])
"""Means and standard deviations of the measures of images."""
Verdicts = NDArray[np.bool_]


def streams(trials: int) -> dict[str, Any]:
    """Share of unchanged streams that alarm over the probability that is printed."""

    def found() -> Iterator[tuple[str, float]]:
        for world in WORLDS:
            for n in SIZES:
                yield f"arl 370, n = {n}, {world.name}", _ratio(world, n, trials, arl=370.0)
        for arl, n in ((1000.0, 100), (5000.0, 20), (5000.0, 100), (5000.0, 1000)):
            yield f"arl {arl:g}, n = {n}, {NORMAL.name}", _ratio(NORMAL, n, trials, arl=arl)

    what = "share of unchanged streams of 200 parts that alarm, over the printed probability"
    return case(what, "at most 1", trials, found())


def shifts(trials: int) -> dict[str, Any]:
    """Of 20 shifts of 200 parts at most one alarms: share of shifts that do."""

    def found() -> Iterator[tuple[str, float]]:
        for world in WORLDS:
            for n in SIZES:
                yield f"20 x 200, n = {n}, {world.name}", _alarming(world, n, trials, shifts=(20, PARTS))[0]
        for n in SIZES:
            yield f"20 x 200, n = {n}, images", _alarming(NORMAL, n, trials, images=True, shifts=(20, PARTS))[0]

    return case("share of shifts that alarm while nothing changes", "at most 0.05", trials, found())


def arl_table(trials: int) -> dict[str, Any]:
    """Share of unchanged streams of 200 parts that alarm, less what 1 - exp(-200 / ARL) says."""

    def found() -> Iterator[tuple[str, float]]:
        for n in (100, 1000):
            for arl in (370.0, 1000.0, 2500.0, 5000.0, 20000.0):
                share, _ = _alarming(NORMAL, n, trials, arl=arl, charts=("cusum", "cusum-down", "rate"))
                yield f"arl {arl:g}, n = {n}", share + math.expm1(-PARTS / arl)

    what = "share of unchanged streams of 200 parts that alarm, less 1 - exp(-200 / ARL)"
    return case(what, "at most 0.01", trials, found())


def change_points(trials: int) -> dict[str, Any]:
    """How far off the change point is in three of four streams."""

    def found() -> Iterator[tuple[str, float]]:
        for parts in (50, 200, 1000, 5000):
            rng = np.random.default_rng(parts)
            for changed in (20, parts // 2):
                for shift in (0.5, 1.0, 2.0):
                    errors = []
                    for _ in range(trials):
                        z = rng.normal(size=parts)
                        z[-changed:] += shift
                        errors.append(abs(find_change(z, "up").first - (parts - changed)))
                    yield f"shift {shift:g}, the last {changed} of {parts} parts", float(np.quantile(errors, 0.75))

    return case("parts between the change and where it is found, in three of four streams", "nothing", trials, found())


def _ratio(world: World, n: int, trials: int, **options: Any) -> float:
    share, chance = _alarming(world, n, trials, **options)
    return share / chance


def _alarming(
    world: World,
    n: int,
    trials: int,
    *,
    images: bool = False,
    charts: Sequence[str] = DEFAULT_CHARTS,
    arl: float = 370.0,
    shifts: tuple[int, int] | None = None,
) -> tuple[float, float]:
    """Share of streams that alarm, each with its own calibration; and the probability that is printed."""
    groups = 1 + images
    share = Share(arl, 0.01) if shifts is None else share_of_shifts(*shifts, groups, 0.01)
    alarms = []
    for block in range(0, trials, 1000):
        rng, count = np.random.default_rng([n, block]), min(1000, trials - block)
        normal = np.sort(world.draw(rng, (count, n)).astype(np.float32), axis=1)
        stream = world.draw(rng, (count, PARTS)).astype(np.float32)
        health = rng.normal(*MEASURED, (count, n + PARTS, 4)) if images else None
        found = _scores(stream, normal, charts, share)
        if health is not None:
            found |= _health(health, n, share.arl)
        if block == 0:
            options = {"arl": arl, "shifts": shifts, "charts": list(charts)}
            for row in range(min(ALIKE, count)):
                measured = None if health is None else [Health(*one) for one in health[row].tolist()]
                assert _really(stream[row], normal[row], measured, options) == found[row]
        alarms.append(found)
    return float(np.concatenate(alarms).mean()), share.chance(PARTS, groups, "martingale" in charts)


def _really(stream: Floats, normal: Floats, health: list[Health] | None, options: dict[str, Any]) -> bool:
    """The verdict of the product."""
    n = len(normal)
    found = monitor(
        Stream(stream.tolist(), health=[] if health is None else health[n:]),
        normal,
        threshold=_threshold(normal),
        reference=() if health is None else health[:n],
        **options,
    )
    return found.alarm


def _threshold(normal: Floats) -> float:
    return float(normal[-max(1, len(normal) // 20)])


def _places(stream: Floats, normal: Floats) -> Floats:
    """Normal scores of each stream (T, N) among its own calibration scores (T, n), ascending."""
    places = [
        np.searchsorted(row, values, "left") + np.searchsorted(row, values, "right")
        for row, values in zip(normal, stream, strict=True)
    ]
    return np.asarray(ndtri((np.array(places) / 2 + 0.5) / (normal.shape[1] + 1)), np.float64)


def _highest(steps: Floats) -> Floats:
    """How high the CUSUM of each row gets."""
    total = np.concatenate([np.zeros((len(steps), 1)), np.cumsum(steps, axis=1)], axis=1)
    return np.asarray((total - np.minimum.accumulate(total, axis=1)).max(axis=1), np.float64)


def _scores(stream: Floats, normal: Floats, charts: Sequence[str], share: Share) -> Verdicts:
    """Which streams (T, N) some chart of scores alarms in."""
    n, z = normal.shape[1], _places(stream, normal)
    threshold = np.array([_threshold(row) for row in normal], np.float32)[:, None]
    ranks = 1 + (normal > threshold).sum(axis=1)
    rated = ("rate" in charts) & (2 * ranks <= n + 1)
    found = np.zeros(len(stream), bool)
    for with_rate in set(rated.tolist()):
        rows = np.flatnonzero(rated == with_rate)
        each = share.arl * (sum(name.startswith("cusum") for name in charts) + with_rate)
        for name in (name for name in charts if name.startswith("cusum")):
            sign = -1 if name == "cusum-down" else 1
            limit = Cusum(direction="down" if sign < 0 else "up").design(n, arl=each).limit
            found[rows] |= _highest(sign * z[rows] - 0.5) > limit
        for rank in set(ranks[rows].tolist()) if with_rate else ():
            chart, some = AlarmRate(rank, n), rows[ranks[rows] == rank]
            steps = np.where(stream[some] > threshold[some], chart.every, 0) - 1.0
            found[some] |= _highest(steps) > chart.design(arl=each).limit - 0.5
    if "martingale" in charts:
        bet = Martingale(share.delta, 0)
        up, down = bet.sides(np.array([bet.p_values(*pair) for pair in zip(stream, normal, strict=True)]))
        found |= (np.logaddexp(up, down) > bet.limit - 1e-9).any(axis=1)
    return found


def _health(measures: Floats, n: int, arl: float) -> Verdicts:
    """Which streams some chart of the images alarms in; the first n of (T, n + N, 4) are the reference."""
    chart = Ewma()
    _, upper = chart.bounds(chart.design(n, arl=4 * arl).limit, measures.shape[1] - n)
    found = np.zeros(len(measures), bool)
    for values in np.moveaxis(measures.astype(np.float32), 2, 0):
        z = _places(values[:, n:], np.sort(values[:, :n], axis=1))
        path = lfilter([chart.weight], [1, chart.weight - 1], z, axis=1)
        found |= (np.abs(path) > upper).any(axis=1)
    return found


CASES: dict[str, Case] = {"streams": streams, "shifts": shifts, "arl-table": arl_table, "change-point": change_points}
