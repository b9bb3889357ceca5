"""Do the promises of the rule `Tail` hold? For `bench/promises.py`.

The bootstrap of a fit depends on its sample through the shape alone. So it is run once for each shape of a fine grid
and of each of two seeds, by the functions of the rule itself, and what a sample gets lies between two shapes of the
grid. The first samples of each setting go through the rule as well, which must say the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from promises_cases import EXPONENTIAL, HEAVY, NORMAL, Case, Floats, World, case, clustered, continuous
from scipy import stats

from amiss.core.errors import CalibrationError
from amiss.core.scores import Scores
from amiss.rules import Tail
from amiss.rules import tail as rule
from amiss.rules.goodness import anderson_darling
from amiss.rules.pareto import excess_at, fit_pareto, share_above
from amiss.rules.ranks import count_bound

TAIL_WORLDS = (NORMAL, EXPONENTIAL, continuous("Student's t with 4 degrees of freedom", stats.t(4)))
OTHERS = (NORMAL, HEAVY, clustered(0.005), clustered(0.01), clustered(0.003, 5.0))
SETTINGS = ((300, 0.002), (300, 0.01), (1000, 0.001), (1000, 0.01))
SEEDS = 2
STEP = 0.05
"""Between two shapes of the grid."""
ALIKE = 4
"""So many samples of each setting are put through the rule too."""


@cache
def _bootstrap(n: int, alpha: float, count: int, seed: int, place: int) -> tuple[Floats, float, float]:
    """Misfits of resamples, ascending; level and bound of the rate, both NaN where the rule refuses.

    Of a fit with shape ``place * STEP`` and scale 1, as in `amiss.rules.tail.fit_tail`.
    """
    rng, shape, scale = np.random.default_rng(seed), np.float64(place * STEP), np.float64(1.0)
    shapes, scales, misfits = rule._resample(count, float(shape), 1.0, rng)
    begins, above = (count + 1) / (n + 1), rng.beta(count + 1, n - count, rule.RESAMPLES)

    def rates(level: float) -> Floats:
        return above * share_above(excess_at(np.full(rule.RESAMPLES, level / begins), shapes, scales), shape, scale)

    try:
        level = rule._level(rates, alpha, n)
    except CalibrationError:
        return np.sort(misfits), np.nan, np.nan
    return np.sort(misfits), level, float(np.quantile(rates(level), rule.BOUND_LEVEL))


def _between(n: int, alpha: float, count: int, seed: int, shape: float, misfit: float) -> tuple[float, float, float]:
    """p-value of the fit, level and bound, between those of two shapes of the grid."""
    place = int(np.floor(shape / STEP))
    part, found = shape / STEP - place, []
    for near in (place, place + 1):
        misfits, level, bound = _bootstrap(n, alpha, count, seed, near)
        as_bad = len(misfits) - np.searchsorted(misfits, misfit, side="left")
        found.append(((1 + as_bad) / (len(misfits) + 1), np.log(level), bound))
    p_value, level, bound = ((1 - part) * one + part * other for one, other in zip(*found, strict=True))
    return float(p_value), float(np.exp(level)), float(bound)


@cache
def _samples(world: World, n: int, alpha: float, trials: int) -> tuple[Floats, Floats, Floats, float]:
    """True rates, bounds and bounds for any distribution of the samples that are not refused; share refused."""
    rng, rows = np.random.default_rng([n, round(1 / alpha)]), []
    normal = np.sort(world.draw(rng, (trials, n)).astype(np.float32), axis=1).astype(np.float64)
    tails = [rule._tail_of(row, alpha) for row in normal]
    counts = np.array([len(excess) for _, excess in tails])  # rarely a tie at the start of a tail takes one off
    shapes, scales, misfits = np.empty(trials), np.empty(trials), np.empty(trials)
    for count in set(counts.tolist()):
        chosen = np.flatnonzero(counts == count)
        excess = np.array([tails[row][1] for row in chosen])
        shapes[chosen], scales[chosen] = fit_pareto(excess)
        misfits[chosen] = anderson_darling(1 - share_above(excess, shapes[chosen, None], scales[chosen, None]))
    for trial, (shape, scale) in enumerate(zip(shapes.tolist(), scales.tolist(), strict=True)):
        count = int(counts[trial])
        p_value, level, bound = _between(n, alpha, count, trial % SEEDS, shape, float(misfits[trial]))
        refused = p_value < rule.LEVEL or not np.isfinite(level)
        share = level / ((count + 1) / (n + 1))
        at = tails[trial][0] + (
            0.0 if refused else float(excess_at(np.asarray(share), np.asarray(shape), np.asarray(scale)))
        )
        if trial < ALIKE and abs(p_value - rule.LEVEL) > 0.01:
            _check(normal[trial], alpha, trial % SEEDS, None if refused else (at - tails[trial][0], bound))
        if not refused:
            above = int((normal[trial] > at).sum())
            rows.append((float(world.above(np.float64(at))), bound, count_bound(above, n, rule.ANYWAY_LEVEL)))
    rates, bounds, free = np.array(rows).T
    return rates, bounds, free, 1 - len(rows) / trials


def _check(normal: Floats, alpha: float, seed: int, found: tuple[float, float] | None) -> None:
    """The rule says the same of a sample: it refuses, or its threshold and bound are these."""
    try:
        fit = Tail(alpha, seed=seed).calibrate(Scores(normal)).fit
    except CalibrationError:
        assert found is None
        return
    assert found is not None
    np.testing.assert_allclose(found, (fit.threshold - fit.start, fit.bound), rtol=0.02)


def tail_mean(trials: int) -> dict[str, Any]:
    """Mean true rate over alpha."""
    return _case(trials, "mean true false-alarm rate over alpha", "at most 1, but for chance of 0.1", 0)


def tail_bound(trials: int) -> dict[str, Any]:
    """Share of samples whose rate is below the bound, if the tail is as fitted."""
    return _case(trials, "share of samples whose true rate is below the bound", "at least 0.95", 1)


def _case(trials: int, what: str, demanded: str, which: int) -> dict[str, Any]:
    def found() -> Iterator[tuple[str, float]]:
        for world in TAIL_WORLDS:
            for n, alpha in SETTINGS:
                rates, bounds, _, _ = _samples(world, n, alpha, trials)
                numbers = (rates.mean() / alpha, (rates <= bounds).mean())
                yield f"{world.name}, n = {n}, alpha = {alpha:g}", numbers[which]

    return case(what, demanded, trials, found())


def tail_anyway(trials: int) -> dict[str, Any]:
    """Share of samples whose rate is below the bound for any distribution; beside it the bound of the fit."""
    beside = {}

    def found() -> Iterator[tuple[str, float]]:
        for world in OTHERS:
            for n, alpha in SETTINGS:
                rates, bounds, free, refused = _samples(world, n, alpha, trials)
                setting = f"{world.name}, n = {n}, alpha = {alpha:g}"
                held = round((rates <= bounds).mean(), 3)
                beside[setting] = {"refused": round(refused, 3), "bound of the fit held": held}
                yield setting, (rates <= free + 1e-12).mean()

    result = case("share of samples whose true rate is below the bound", "at least 0.95", trials, found())
    return result | {"beside": beside}


CASES: dict[str, Case] = {"tail-mean": tail_mean, "tail-bound": tail_bound, "tail-anyway": tail_anyway}
