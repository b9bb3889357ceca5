"""Do the promises of the rules hold? For `bench/promises.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from promises_cases import NORMAL, SIZES, WORLDS, Case, Floats, World, case

from amiss.core.scores import Scores
from amiss.rules import Bootstrap, Certified, Conformal, Quantile, Sigma
from amiss.rules.ranks import RankRule, count_bound, false_alarm_bound

ALPHAS = (0.01, 0.05, 0.1)


def _rank(rule: RankRule, n: int) -> int:
    return rule.calibrate(Scores(np.arange(n))).rank


def _thresholds(world: World, rank: int, n: int, trials: int) -> Floats:
    """The rank-th largest of n scores, for every trial."""
    rng = np.random.default_rng([rank, n])
    rows = [np.partition(world.draw(rng, (100, n)), n - rank)[:, n - rank] for _ in range(-(-trials // 100))]
    return np.concatenate(rows)[:trials]


def _settings(make: Callable[[float], RankRule]) -> Iterator[tuple[str, World, float, int, int]]:
    """Every world, n and alpha that n supports: name, world, alpha, n, rank."""
    for world in WORLDS:
        for n in SIZES:
            for alpha in ALPHAS:
                if make(alpha).needed(alpha) <= n:
                    yield f"{world.name}, n = {n}, alpha = {alpha:g}", world, alpha, n, _rank(make(alpha), n)


def conformal_mean(trials: int) -> dict[str, Any]:
    """Mean true rate over alpha."""
    found = (
        (name, world.above(_thresholds(world, rank, n, trials)).mean() / alpha)
        for name, world, alpha, n, rank in _settings(Conformal)
    )
    return case("mean true false-alarm rate over alpha", "at most 1, but for chance of 0.03", trials, found)


def rank_mean(trials: int) -> dict[str, Any]:
    """Mean true rate over rank / (n + 1)."""
    found = (
        (name, world.above(_thresholds(world, rank, n, trials)).mean() * (n + 1) / rank)
        for name, world, _, n, rank in _settings(lambda alpha: Quantile(1 - alpha))
    )
    return case("mean true false-alarm rate over the stated mean", "at most 1, but for chance of 0.03", trials, found)


def this_set(trials: int) -> dict[str, Any]:
    """Share of calibrations whose true rate is below the bound for this very set."""
    found = (
        (name, (world.above(_thresholds(world, rank, n, trials)) <= false_alarm_bound(rank, n) + 1e-12).mean())
        for name, world, _, n, rank in _settings(Conformal)
    )
    return case("share of calibrations whose true rate is below the bound", "at least 0.95", trials, found)


def certified(trials: int) -> dict[str, Any]:
    """Share of calibrations whose true rate is at most alpha."""
    found = (
        (name, (world.above(_thresholds(world, rank, n, trials)) <= alpha).mean())
        for name, world, alpha, n, rank in _settings(Certified)
    )
    return case("share of calibrations whose true rate is at most alpha", "at least 0.95", trials, found)


def count_bounds(trials: int) -> dict[str, Any]:
    """Share of calibrations whose true rate is below the bound from the count above a threshold."""

    def found() -> Iterator[tuple[str, float]]:
        for world in WORLDS:
            for n in SIZES:
                rng = np.random.default_rng(n)
                bounds = np.array([count_bound(count, n) for count in range(n + 1)])
                for k in (2.0, 3.0):
                    held = []
                    for _ in range(-(-trials // 100)):
                        draws = world.draw(rng, (100, n))
                        at = draws.mean(axis=1) + k * draws.std(axis=1, ddof=1)
                        counts = (draws > at[:, None]).sum(axis=1)
                        held.append(world.above(at) <= bounds[counts] + 1e-12)
                    yield f"{world.name}, n = {n}, mean + {k:g} deviations", float(np.mean(held))
                draws = world.draw(rng, (trials, min(n, 300)))
                at_fixed = float(np.quantile(world.draw(rng, (10_000,)), 0.97))
                small = np.array([count_bound(count, min(n, 300)) for count in range(min(n, 300) + 1)])
                held_fixed = world.above(np.float64(at_fixed)) <= small[(draws > at_fixed).sum(axis=1)] + 1e-12
                yield f"{world.name}, n = {min(n, 300)}, a fixed threshold", float(held_fixed.mean())

    return case("share of calibrations whose true rate is below the bound", "at least 0.95", trials, found())


def sigma_nominal(trials: int) -> dict[str, Any]:
    """Mean true rate over the nominal one, where scores are normally distributed."""

    def found() -> Iterator[tuple[str, float]]:
        for n in SIZES:
            for k in (2.0, 3.0):
                draws = NORMAL.draw(np.random.default_rng(n), (trials, n))
                rate = NORMAL.above(draws.mean(axis=1) + k * draws.std(axis=1, ddof=1)).mean()
                yield f"n = {n}, k = {k:g}", rate / Sigma(k).calibrate(Scores(np.arange(n))).nominal

    return case("mean true false-alarm rate over the nominal one", "1, but for chance of 0.1", trials, found())


def bootstrap_interval(trials: int) -> dict[str, Any]:
    """Share of pairs of calibrations of which the threshold of one lies in the interval of the other."""
    trials = max(1, trials // 2)

    def found() -> Iterator[tuple[str, float]]:
        for world in WORLDS:
            for n in SIZES:
                for alpha in ALPHAS:
                    if Bootstrap(alpha).needed(alpha) > n:
                        continue
                    others = _thresholds(world, _rank(Bootstrap(alpha), n), n, trials).astype(np.float32)
                    rng = np.random.default_rng([n, 7])
                    held = 0
                    for seed, other in enumerate(others):
                        rule = Bootstrap(alpha, seed=seed).calibrate(Scores(world.draw(rng, (n,))))
                        low, high = rule.interval
                        held += low <= other <= high
                    yield f"{world.name}, n = {n}, alpha = {alpha:g}", held / trials

    what = "share of other calibrations whose threshold lies in the interval"
    return case(what, "at least 0.95, but for chance of 0.01", trials, found())


CASES: dict[str, Case] = {
    "conformal-mean": conformal_mean,
    "rank-mean": rank_mean,
    "this-set": this_set,
    "certified": certified,
    "count-bound": count_bounds,
    "sigma-nominal": sigma_nominal,
    "bootstrap-interval": bootstrap_interval,
}
