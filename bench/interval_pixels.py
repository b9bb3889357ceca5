"""Intervals of pixel metrics, for `interval_coverage.py`: areas, AUPRO, sPRO, F1 of pixels and AUPIMO.

Scores are rounded, to 0.05 or 0.01: a map then has some hundred distinct values, so that leaving each image out takes
milliseconds. Metrics treat equal scores exactly, and rounding is part of the world whose true metrics are known.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
from interval_tally import Interval, Section, Tally
from interval_worlds import PIXEL_KINDS, World, pixel_world
from numpy.typing import NDArray

from amiss.metrics import units_of
from amiss.metrics.estimate import estimate_shares
from amiss.metrics.exact import quantile_interval
from amiss.metrics.threshold import f1_of, pixel_outcomes
from amiss.metrics.weighted import areas, pimo_values

LIMITS = {"pro": (0.3, 0.05), "spro": (0.05, 0.3)}
STEPS = {False: 0.05, True: 0.01}
"""To which scores are rounded, without and with AUPIMO."""
LARGE = 4_000
"""Images, about, that the true values come from."""
QUANTILES = {"aupimo median": 0.5, "aupimo p33": 0.33}


def values_of(world: World, pimo: bool) -> tuple[dict[str, float], Callable[..., Any], Any]:
    """Values of all metrics, the same as functions of weights, and the cells."""
    cells = world.cells()
    outcomes = pixel_outcomes(world.masks, world.maps, 4.0)

    def measure(weights: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        found = areas(cells, weights, LIMITS, pimo=pimo)
        found = {name: values for name, values in found.items() if name.startswith("aupimo") == pimo}
        return found if pimo else found | {"f1 of pixels": f1_of(*(weights @ outcomes).T)}

    values = measure(np.ones((1, len(world.maps)), np.int64))
    return {name: float(one[0]) for name, one in values.items()}, measure, cells


@cache
def truth_of(kind: str, bad: int, good: int, each: int, side: int, pimo: bool) -> dict[str, float]:
    """True values, from the same world with thousands of images."""
    scale = max(1, LARGE // (bad + good))
    rng = np.random.default_rng(0)
    return values_of(pixel_world(kind, bad * scale, good * scale, each, side, rng, STEPS[pimo]), pimo)[0]


def intervals_of(world: World, each: int, pimo: bool) -> Iterator[tuple[str, Interval]]:
    """Each interval by name."""
    values, measure, cells = values_of(world, pimo)
    units = units_of(world.defective, np.arange(len(world.maps)) // each)
    for name, found in estimate_shares(values, measure, units).items():
        if name not in QUANTILES:
            yield name, found.interval()
            continue
        known = pimo_values(cells, np.ones((1, len(world.maps)), np.float32))[0]
        yield name, found.widened(quantile_interval(known, QUANTILES[name], len(known)))


def _run(tally: Tally, rng: np.random.Generator, trials: int, side: int, pimo: bool) -> None:
    kind, bad, good, each = (tally.setting[name] for name in ("maps", "defective", "good", "images_per_part"))
    truth = truth_of(kind, bad, good, each, side, pimo)
    for _ in range(trials):
        world = pixel_world(kind, bad, good, each, side, rng, STEPS[pimo])
        for name, interval in intervals_of(world, each, pimo):
            tally.add(name, interval, truth[name])


def pixels(tally: Tally, rng: np.random.Generator, trials: int) -> None:
    """AUROC, AP, AUPRO, sPRO and F1 of pixels; maps of 16 x 16."""
    _run(tally, rng, trials, 16, pimo=False)


def clean(tally: Tally, rng: np.random.Generator, trials: int) -> None:
    """AUPIMO; maps of 40 x 40, so that good images have 100,000 pixels together."""
    _run(tally, rng, trials, 40, pimo=True)


def _settings(*sizes: tuple[int, int, int]) -> tuple[dict[str, Any], ...]:
    names = ("maps", "defective", "good", "images_per_part")
    return tuple(dict(zip(names, (kind, *size), strict=True)) for kind, size in itertools.product(PIXEL_KINDS, sizes))


PIXELS = Section(_settings((10, 10, 1), (20, 20, 1), (50, 50, 1), (100, 100, 1), (60, 60, 3)), pixels, 1_000)
CLEAN = Section(_settings((10, 64, 1), (20, 64, 1), (60, 64, 1)), clean, 1_000)
