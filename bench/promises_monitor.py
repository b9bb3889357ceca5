"""How often does a line that never changes raise an alarm? For `bench/promises.py`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from promises_cases import NORMAL, WORLDS, Case, World, case

from amiss.monitoring import Health, Stream, find_change, monitor

PARTS = 200


def streams(trials: int) -> dict[str, Any]:
    """Share of unchanged streams that alarm over the probability that is printed."""
    trials = max(1, trials // 10)

    def found() -> Iterator[tuple[str, float]]:
        for arl, n in ((370.0, 20), (370.0, 100), (370.0, 1000), (1000.0, 100), (5000.0, 100)):
            yield f"arl {arl:g}, n = {n}", _alarming(NORMAL, n, trials, arl=arl)[1]
        for world in WORLDS[1:]:
            yield f"arl 370, n = 100, {world.name}", _alarming(world, 100, trials, arl=370.0)[1]

    what = "share of unchanged streams of 200 parts that alarm, over the printed probability"
    return case(what, "at most 1", trials, found())


def shifts(trials: int) -> dict[str, Any]:
    """Of 20 shifts of 200 parts at most one alarms: share of shifts that do."""
    trials = max(1, trials // 10)

    def found() -> Iterator[tuple[str, float]]:
        for n in (50, 100, 1000):
            yield f"20 x 200, n = {n}", _alarming(NORMAL, n, trials, shifts=(20, PARTS))[0]
        for n in (50, 1000):
            yield f"20 x 200, n = {n}, images", _alarming(NORMAL, n, trials, images=True, shifts=(20, PARTS))[0]
        for world in WORLDS[1:]:
            yield f"20 x 200, n = 100, {world.name}", _alarming(world, 100, trials, shifts=(20, PARTS))[0]

    return case("share of shifts that alarm while nothing changes", "at most 0.05", trials, found())


def arl_table(trials: int) -> dict[str, Any]:
    """Share of unchanged streams of 200 parts that alarm, less what 1 - exp(-200 / ARL) says."""
    trials = max(1, trials // 10)

    def found() -> Iterator[tuple[str, float]]:
        for arl in (370.0, 1000.0, 2500.0, 5000.0, 20000.0):
            share, _ = _alarming(NORMAL, 1000, trials, arl=arl, charts=["cusum", "cusum-down", "rate"])
            yield f"arl {arl:g}", share + math.expm1(-PARTS / arl)

    what = "share of unchanged streams of 200 parts that alarm, n = 1000, less 1 - exp(-200 / ARL)"
    return case(what, "at most 0.01", trials, found())


def change_points(trials: int) -> dict[str, Any]:
    """How far off the change point is in three of four streams."""
    trials = max(1, trials // 10)

    def found() -> Iterator[tuple[str, float]]:
        for parts in (50, 200, 1000, 5000):
            for changed in (20, parts // 2):
                for shift in (0.5, 1.0, 2.0):
                    errors = []
                    for trial in range(trials):
                        z = np.random.default_rng([parts, trial]).normal(size=parts)
                        z[-changed:] += shift
                        errors.append(abs(find_change(z, "up").first - (parts - changed)))
                    yield f"shift {shift:g}, the last {changed} of {parts} parts", float(np.quantile(errors, 0.75))

    return case("parts between the change and where it is found, in three of four streams", "nothing", trials, found())


def _alarming(world: World, n: int, trials: int, *, images: bool = False, **options: Any) -> tuple[float, float]:
    """Share of streams that alarm, each with its own calibration; and that share over the printed probability."""
    alarms, chance = 0, 1.0
    for trial in range(trials):
        rng = np.random.default_rng([n, trial])
        normal = np.sort(world.draw(rng, (n,)))
        health = _images(rng, PARTS) if images else []
        found = monitor(
            Stream(world.draw(rng, (PARTS,)).tolist(), health=health),
            normal,
            threshold=float(normal[-max(1, n // 20)]),
            reference=_images(rng, n) if images else (),
            **options,
        )
        alarms += found.alarm
        chance = found.chance
    return alarms / trials, alarms / trials / chance


def _images(rng: np.random.Generator, count: int) -> list[Health]:
    return [Health(*row) for row in rng.normal([120, 90, 0.5, 10], [4, 3, 0.02, 1], (count, 4)).tolist()]


CASES: dict[str, Case] = {"streams": streams, "shifts": shifts, "arl-table": arl_table, "change-point": change_points}
