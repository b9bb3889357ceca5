"""Intervals of image metrics, for `interval_coverage.py`: images, parts, lots, verdicts, two detectors."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
from interval_tally import Interval, Row, Section, Tally
from interval_worlds import DRAWS, Classes, clustered, parameter, population, two_scores
from numpy.typing import NDArray
from scipy import stats

from amiss.metrics import (
    Rate,
    auroc,
    estimate_auroc,
    estimate_precision,
    f1_interval,
    fpr_at_tpr_interval,
    rate_over_lots,
    units_of,
)
from amiss.metrics.estimate import Estimate
from amiss.metrics.influence import auroc_influence
from amiss.metrics.paired import difference_interval

SIZES = ((10, 10), (20, 20), (50, 50), (100, 100), (300, 300), (20, 100), (100, 20), (10, 300), (300, 10))
"""Defective and good images."""
AREAS = (0.8, 0.95, 0.99, 0.998)


def area_of(many: Classes) -> float:
    """AUROC of two large samples."""
    return auroc(np.repeat([1, 0], [len(one) for one in many]), np.concatenate(many))


def precision_of(many: Classes, share: float) -> float:
    """Average precision of two large samples where this share is defective."""
    bad, good = (np.sort(one) for one in many)
    tpr = 1 - np.searchsorted(bad, bad, side="left") / len(bad)
    fpr = 1 - np.searchsorted(good, bad, side="left") / len(good)
    return float((share * tpr / (share * tpr + (1 - share) * fpr)).mean())


def rate_at(many: Classes) -> float:
    """False-alarm rate at the threshold that finds 95 % of a large sample."""
    bad, good = (np.sort(one) for one in many)
    return float((good >= bad[len(bad) // 20]).mean())


@cache
def truths(kind: str, area: float, share: float) -> tuple[float, float, float]:
    """AUROC, AP and false alarms at 95 % found of a kind of scores."""
    many = population(kind, parameter(kind, area), 200_000)
    return area_of(many), precision_of(many, share), rate_at(many)


def image(tally: Tally, rng: np.random.Generator, trials: int) -> None:
    """AUROC, AP and false alarms at 95 % found, each image a part."""
    kind, area, bad, good = (tally.setting[name] for name in ("scores", "auroc", "defective", "good"))
    truth, units = truths(kind, area, bad / (bad + good)), units_of(np.arange(bad + good) < bad)
    for _ in range(trials):
        scores = np.concatenate(DRAWS[kind](parameter(kind, area), bad, good, rng))
        tally.add("auroc", estimate_auroc(units, scores).interval(), truth[0])
        tally.add("ap", estimate_precision(units, scores).interval(), truth[1])
        tally.add("fpr_at_95_tpr", fpr_at_tpr_interval(units, scores), truth[2])


def rivals(tally: Tally, rng: np.random.Generator, trials: int) -> None:
    """The interval in use beside DeLong's, plain and on the logit, Newcombe's, and bootstraps of 200 resamples."""
    kind, area, bad, good = (tally.setting[name] for name in ("scores", "auroc", "defective", "good"))
    truth, units = truths(kind, area, bad / (bad + good))[0], units_of(np.arange(bad + good) < bad)
    for _ in range(trials):
        scores = np.concatenate(DRAWS[kind](parameter(kind, area), bad, good, rng))
        for name, interval in other_intervals(estimate_auroc(units, scores), scores, rng):
            tally.add(name, interval, truth)


def other_intervals(found: Estimate, scores: NDArray[Any], rng: np.random.Generator) -> Iterator[tuple[str, Interval]]:
    """Each rival by name."""
    yield "in use", found.interval()
    value, spread, normal = found.value, np.sqrt(found.variance), stats.norm.ppf(0.975)
    yield "DeLong", (max(0.0, value - normal * spread), min(1.0, value + normal * spread))
    inside = min(max(value, 1e-12), 1 - 1e-12)
    logit, reach = np.log(inside / (1 - inside)), normal * spread / (inside * (1 - inside))
    yield "DeLong, logit", (float(1 / (1 + np.exp(reach - logit))), float(1 / (1 + np.exp(-reach - logit))))
    model = Estimate(value, np.zeros(len(scores)), found.units, found.spread)
    yield "Newcombe 5, t", model.interval()
    defective = found.units.defective
    drawn = np.array([auroc(defective, scores[chosen]) for chosen in resamples(defective, rng, 200)])
    low, high = np.quantile(drawn, [0.025, 0.975])
    yield "bootstrap, percentile", (float(low), float(high))
    influence = auroc_influence(defective, scores)
    cubes, squares = (influence**3).sum(), (influence**2).sum() ** 1.5
    push = cubes / (6 * squares) if squares > 0 else 0.0
    middle = stats.norm.ppf(np.clip(((drawn < value).mean() + (drawn <= value).mean()) / 2, 0.002, 0.998))
    ends = [stats.norm.cdf(middle + (middle + z) / (1 - push * (middle + z))) for z in (-normal, normal)]
    low, high = np.quantile(drawn, ends)
    yield "bootstrap, BCa", (float(low), float(high))


def resamples(defective: NDArray[np.bool_], rng: np.random.Generator, count: int) -> Iterator[NDArray[np.intp]]:
    """Images drawn anew within their class, in the order of the classes."""
    for _ in range(count):
        chosen = np.empty(len(defective), np.intp)
        for one in (defective, ~defective):
            places = np.flatnonzero(one)
            chosen[places] = rng.choice(places, len(places))
        yield chosen


@cache
def truths_of_clusters(shift: float, alike: float, tails: int, share: float) -> tuple[float, float, float]:
    """As `truths`: what one image of each part shows."""
    many = clustered(alike, shift, tails)(200_000, 200_000, 1, np.random.default_rng(0))
    return area_of(many), precision_of(many, share), rate_at(many)


def parts(tally: Tally, rng: np.random.Generator, trials: int) -> None:
    """The same where several images show one part; beside it, images taken for parts."""
    names = ("shift", "alike", "tails", "defective", "good", "images")
    shift, alike, tails, bad, good, each = (tally.setting[name] for name in names)
    draw, truth = clustered(alike, shift, tails), truths_of_clusters(shift, alike, tails, bad / (bad + good))
    unit = np.repeat(np.arange(bad + good), each)
    units, apart = units_of(unit < bad, unit), units_of(unit < bad)
    for _ in range(trials):
        scores = np.concatenate(draw(bad, good, each, rng))
        tally.add("auroc", estimate_auroc(units, scores).interval(), truth[0])
        tally.add("ap", estimate_precision(units, scores).interval(), truth[1])
        tally.add("fpr_at_95_tpr", fpr_at_tpr_interval(units, scores), truth[2])
        tally.add("auroc, images taken for parts", estimate_auroc(apart, scores).interval(), truth[0])


def lots(tally: Tally, rng: np.random.Generator, trials: int) -> None:
    """A rate over lots (beta-binomial), for parts of other lots; beside it, lots that are not told apart."""
    rate, alike, count, each = (tally.setting[name] for name in ("rate", "alike", "lots", "parts_per_lot"))
    lot = np.repeat(np.arange(count), each)
    for _ in range(trials):
        own = rng.beta(rate * (1 / alike - 1), (1 - rate) * (1 / alike - 1), count) if alike else rate
        events = rng.random(count * each) < np.broadcast_to(own, count)[lot]
        tally.add("rate", rate_over_lots(events, lot).interval, rate)
        tally.add("rate, lots not told apart", Rate(int(events.sum()), len(events)).interval, rate)


def counts() -> list[Row]:
    """F1 of verdicts: no simulation, the chance of every pair of counts is known; pairs below 1e-6 are left out."""
    rows = []
    for (bad, good), recall, false in itertools.product(SIZES, (0.5, 0.8, 0.95, 0.99), (0.01, 0.05, 0.2)):
        truth, held, all_of_it = 2 * bad * recall / (bad * recall + good * false + bad), 0.0, 0.0
        chances = np.outer(
            stats.binom.pmf(np.arange(bad + 1), bad, recall), stats.binom.pmf(np.arange(good + 1), good, false)
        )
        for found, alarms in np.argwhere(chances > 1e-6).tolist():
            low, high = f1_interval(found, bad, alarms, good)
            held += chances[found, alarms] * (low - 1e-9 <= truth <= high + 1e-9)
            all_of_it += chances[found, alarms]
        about = {"defective": bad, "good": good, "recall": recall, "false_alarms": false}
        rows.append({"interval": "f1", "coverage": round(float(held / all_of_it), 4), **about})
    return rows


def paired(tally: Tally, rng: np.random.Generator, trials: int) -> None:
    """Differences of AUROC of two detectors; `rejected` counts how often no difference is called one (p <= 0.05)."""
    names = ("scores", "first", "second", "common", "defective", "good")
    kind, one, other, common, bad, good = (tally.setting[name] for name in names)
    truth = difference_of(kind, one, other, common)
    for _ in range(trials):
        defective, *scores = two_scores(kind, one, other, common, bad, good, rng)
        units = units_of(defective)
        found = difference_interval(*(estimate_auroc(units, scored) for scored in scores))
        tally.add("difference of auroc", found, truth)


@cache
def difference_of(kind: str, one: float, other: float, common: float) -> float:
    """The true difference; exactly 0 where both detectors are alike."""
    many = two_scores(kind, one, other, common, 200_000, 200_000, np.random.default_rng(0))
    return 0.0 if one == other else auroc(many[0], many[1]) - auroc(many[0], many[2])


def _settings(names: str, *values: Any) -> tuple[Row, ...]:
    """Every combination; a value that is a tuple holds the last names together."""
    rows = []
    for found in itertools.product(*values):
        flat = [one for each in found for one in (each if isinstance(each, tuple) else (each,))]
        rows.append(dict(zip(names.split(), flat, strict=True)))
    return tuple(rows)


Run = Callable[[Tally, np.random.Generator, int], None]
CLASSES = "scores auroc defective good"
IMAGE = Section(_settings(CLASSES, DRAWS, AREAS, SIZES), image, 2_000)
RIVALS = Section(
    _settings(CLASSES, ("normal", "wide", "exponential", "missed"), AREAS, ((20, 20), (50, 50), (20, 100))), rivals, 250
)
PARTS = Section(
    _settings(
        "alike shift tails defective good images",
        (0.0, 0.3, 0.9),
        (1.3, 2.5, 3.6),
        (0, 3),
        ((10, 10, 10), (20, 20, 10), (30, 30, 3), (50, 20, 5), (6, 6, 40), (10, 10, 30)),
    ),
    parts,
    1_000,
)
LOTS = Section(
    _settings(
        "rate alike lots parts_per_lot",
        (0.01, 0.05, 0.2),
        (0.0, 0.05, 0.2),
        ((6, 10), (6, 100), (10, 20), (20, 10), (20, 50)),
    ),
    lots,
)
PAIRED = Section(
    _settings(
        "scores first second common defective good",
        (
            ("normal", 2.0, 2.0),
            ("normal", 3.3, 2.3),
            ("normal", 4.5, 3.0),
            ("t3", 6, 4),
            ("missed", 0.02, 0.1),
            ("missed", 0.05, 0.05),
        ),
        (0.3, 0.9, 0.99),
        ((10, 10), (20, 20), (20, 100), (50, 50), (200, 200)),
    ),
    paired,
    2_000,
)
