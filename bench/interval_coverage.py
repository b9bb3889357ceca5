"""How often do the 95 % intervals of metrics hold the true value? Simulated, for n = 10 to 300 of a class.

    python bench/interval_coverage.py [SECTION ...]

Sections: image (AUROC, AP, false alarms at 95 % found), rivals (other intervals of the AUROC), parts (several images
per part), lots (rates over lots), counts (F1 of verdicts, exact), pixels and clean (areas over pixels, AUPIMO), paired
(differences of two detectors). Each replaces its part of `docs/results/interval_coverage.json`. Seeds are fixed. Rows
are kept with the number of trials; coverage near 95 % from 100 trials is uncertain by 4 points,
and what matters is how it is spread over many settings.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from interval_worlds import DRAWS, PIXEL_KINDS, Classes, parameter, pixel_world, population, two_scores
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
from amiss.metrics.estimate import Estimate, Interval, estimate_shares
from amiss.metrics.exact import quantile_interval
from amiss.metrics.influence import auroc_influence
from amiss.metrics.paired import difference_interval
from amiss.metrics.threshold import f1_of, pixel_outcomes
from amiss.metrics.weighted import areas, pimo_values
from amiss.storage import write_file

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "interval_coverage.json"
SIZES = ((10, 10), (20, 20), (50, 50), (100, 100), (300, 300), (20, 100), (100, 20), (10, 300))
"""Defective and good images."""
AREAS = (0.8, 0.95, 0.99, 0.998)
Row = dict[str, Any]


class Tally:
    """Counts for each interval whether it held the truth, on which side it missed, and how wide it was."""

    def __init__(self) -> None:
        self._found: dict[str, list[tuple[bool, bool, float]]] = {}

    def add(self, name: str, interval: Interval, truth: float) -> None:
        """One trial; 1e-9 of rounding is forgiven."""
        low, high = interval
        self._found.setdefault(name, []).append((truth < low - 1e-9, truth > high + 1e-9, high - low))

    def rows(self, **about: Any) -> list[Row]:
        """One row for each interval."""
        return [self._row(name, np.array(found)) | about for name, found in self._found.items()]

    @staticmethod
    def _row(name: str, found: NDArray[np.float64]) -> Row:
        below, above, width = (round(float(one), 4) for one in found.mean(axis=0))
        return {
            "interval": name,
            "trials": len(found),
            "coverage": round(1 - below - above, 4),
            "too_high": below,
            "too_low": above,
            "width": width,
            "no_width": round(float((found[:, 2] <= 0).mean()), 4),
        }


def image(trials: int = 100) -> list[Row]:
    """AUROC, AP and false alarms at 95 % found, each image a part."""
    rng, rows = np.random.default_rng(1), []
    for kind, area, (bad, good) in itertools.product(DRAWS, AREAS, SIZES):
        many = population(kind, parameter(kind, area), 100_000)
        truth = {"auroc": area_of(many), "ap": precision_of(many, bad / (bad + good)), "fpr_at_95_tpr": rate_at(many)}
        tally, units = Tally(), units_of(np.arange(bad + good) < bad)
        for _ in range(trials):
            scores = np.concatenate(DRAWS[kind](parameter(kind, area), bad, good, rng))
            tally.add("auroc", estimate_auroc(units, scores).interval(), truth["auroc"])
            tally.add("ap", estimate_precision(units, scores).interval(), truth["ap"])
            tally.add("fpr_at_95_tpr", fpr_at_tpr_interval(units, scores), truth["fpr_at_95_tpr"])
        rows += tally.rows(scores=kind, auroc=area, defective=bad, good=good)
    return rows


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


def rivals(trials: int = 40) -> list[Row]:
    """The interval in use beside DeLong's, plain and on the logit, Newcombe's, and bootstraps of 200 resamples."""
    rng, rows = np.random.default_rng(2), []
    kinds, sizes = ("normal", "wide", "exponential", "missed"), ((20, 20), (50, 50), (20, 100))
    for kind, area, (bad, good) in itertools.product(kinds, AREAS, sizes):
        shift = parameter(kind, area)
        truth, tally = area_of(population(kind, shift, 100_000)), Tally()
        units = units_of(np.arange(bad + good) < bad)
        for _ in range(trials):
            scores = np.concatenate(DRAWS[kind](shift, bad, good, rng))
            for name, interval in other_intervals(estimate_auroc(units, scores), scores, rng):
                tally.add(name, interval, truth)
        rows += tally.rows(scores=kind, auroc=area, defective=bad, good=good)
    return rows


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


def parts(trials: int = 60) -> list[Row]:
    """AUROC and AP where several images show one part; beside it, images taken for parts."""
    rng, rows = np.random.default_rng(3), []
    for alike, shift, tails in itertools.product((0.0, 0.3, 0.9), (1.3, 2.5, 3.6), (0, 3)):
        for bad, good, each in ((10, 10, 10), (20, 20, 10), (30, 30, 3), (50, 20, 5), (6, 6, 40), (10, 10, 30)):
            tally, draw = Tally(), clustered(alike, shift, tails)
            truth = area_of(draw(200_000, 200_000, 1, np.random.default_rng(0)))
            unit = np.repeat(np.arange(bad + good), each)
            units, apart = units_of(unit < bad, unit), units_of(unit < bad)
            for _ in range(trials):
                scores = np.concatenate(draw(bad, good, each, rng))
                tally.add("auroc", estimate_auroc(units, scores).interval(), truth)
                tally.add("auroc, images taken for parts", estimate_auroc(apart, scores).interval(), truth)
            rows += tally.rows(alike=alike, auroc=round(truth, 4), tails=tails, defective=bad, good=good, images=each)
    return rows


def clustered(alike: float, shift: float, tails: int) -> Callable[[int, int, int, np.random.Generator], Classes]:
    """Scores of which a share `alike` of the variance is between parts; normal, or t with `tails` degrees."""

    def draw(bad: int, good: int, each: int, rng: np.random.Generator) -> Classes:
        def noise(*shape: int) -> NDArray[np.float64]:
            return rng.standard_t(tails, shape) if tails else rng.normal(size=shape)

        scores = np.sqrt(alike) * noise(bad + good, 1) + np.sqrt(1 - alike) * noise(bad + good, each)
        return scores[:bad].ravel() + shift, scores[bad:].ravel()

    return draw


def lots(trials: int = 300) -> list[Row]:
    """A rate over lots (beta-binomial), for parts of other lots; beside it, lots that are not told apart."""
    rng, rows = np.random.default_rng(4), []
    for rate, alike, (count, each) in itertools.product(
        (0.01, 0.05, 0.2), (0.0, 0.05, 0.2), ((6, 10), (6, 100), (10, 20), (20, 10))
    ):
        tally, lot = Tally(), np.repeat(np.arange(count), each)
        for _ in range(trials):
            own = rng.beta(rate * (1 / alike - 1), (1 - rate) * (1 / alike - 1), count) if alike else rate
            events = rng.random(count * each) < np.broadcast_to(own, count)[lot]
            tally.add("rate", rate_over_lots(events, lot).interval, rate)
            tally.add("rate, lots not told apart", Rate(int(events.sum()), len(events)).interval, rate)
        rows += tally.rows(rate=rate, alike=alike, lots=count, parts_per_lot=each)
    return rows


def counts() -> list[Row]:
    """F1 of verdicts: no simulation, the probability of every pair of counts is known."""
    rows = []
    sizes = ((10, 10), (20, 20), (50, 50), (20, 100))
    for (bad, good), recall, false in itertools.product(sizes, (0.5, 0.8, 0.95, 0.99), (0.01, 0.05, 0.2)):
        truth, held = 2 * bad * recall / (bad * recall + good * false + bad), 0.0
        for found, alarms in itertools.product(range(bad + 1), range(good + 1)):
            chance = stats.binom.pmf(found, bad, recall) * stats.binom.pmf(alarms, good, false)
            if chance > 1e-4:
                low, high = f1_interval(found, bad, alarms, good)
                held += chance * (low <= truth <= high)
        about = {"defective": bad, "good": good, "recall": recall, "false_alarms": false}
        rows.append({"interval": "f1", "coverage": round(float(held), 4), **about})
    return rows


def pixels(trials: int = 25) -> list[Row]:
    """AUROC, AP, AUPRO and F1 of pixels; maps of 16 x 16."""
    return _pixels(trials, 16, ((10, 10, 1), (20, 20, 1), (40, 40, 1), (60, 60, 3)), pimo=False)


def clean(trials: int = 20) -> list[Row]:
    """AUPIMO; maps of 40 x 40, so that good images have 100,000 pixels together."""
    return _pixels(trials, 40, ((20, 64, 1),), pimo=True)


def _pixels(trials: int, side: int, sizes: tuple[tuple[int, int, int], ...], *, pimo: bool) -> list[Row]:
    rng, rows = np.random.default_rng(5), []
    for kind, (bad, good, each) in itertools.product(PIXEL_KINDS, sizes):
        scale = 20 if not pimo else 8
        large = pixel_world(kind, bad * scale, good * scale, each, side, np.random.default_rng(0))
        truth, tally = pixel_values(large, pimo)[0], Tally()
        for _ in range(trials):
            for name, interval in pixel_intervals(pixel_world(kind, bad, good, each, side, rng), each, pimo):
                tally.add(name, interval, truth[name])
        rows += tally.rows(maps=kind, defective=bad, good=good, images_per_part=each)
    return rows


def pixel_values(world: Any, pimo: bool) -> tuple[dict[str, float], Callable[..., Any], Any]:
    """Values of all metrics, the same as functions of weights, and the cells."""
    limits, cells = {"pro": (0.3, 0.05)}, world.cells()
    outcomes = pixel_outcomes(world.masks, world.maps, 4.0)

    def measure(weights: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        found = areas(cells, weights, limits, pimo=pimo)
        found = {name: values for name, values in found.items() if name.startswith("aupimo") == pimo}
        return found if pimo else found | {"f1 of pixels": f1_of(*(weights @ outcomes).T)}

    values = measure(np.ones((1, len(world.maps)), np.int64))
    return {name: float(one[0]) for name, one in values.items()}, measure, cells


def pixel_intervals(world: Any, each: int, pimo: bool) -> Iterator[tuple[str, Interval]]:
    """Each interval by name."""
    values, measure, cells = pixel_values(world, pimo)
    units = units_of(world.defective, np.arange(len(world.maps)) // each)
    for name, found in estimate_shares(values, measure, units).items():
        share = {"aupimo median": 0.5, "aupimo p33": 0.33}.get(name)
        if share is None:
            yield name, found.interval()
            continue
        known = pimo_values(cells, np.ones((1, len(world.maps)), np.float32))[0]
        yield name, found.widened(quantile_interval(known, share, len(known)))


def paired(trials: int = 60) -> list[Row]:
    """Differences of AUROC of two detectors, and how often no difference is called one."""
    rng, rows = np.random.default_rng(6), []
    pairs = (("normal", 2.0, 2.0), ("normal", 3.3, 2.3), ("normal", 4.5, 3.0), ("t3", 6, 4), ("missed", 0.02, 0.1))
    sizes = ((10, 10), (20, 20), (20, 100), (50, 50), (200, 200))
    for (kind, one, other), common, (bad, good) in itertools.product(
        (*pairs, ("missed", 0.05, 0.05)), (0.3, 0.9, 0.99), sizes
    ):
        many = two_scores(kind, one, other, common, 100_000, 100_000, np.random.default_rng(0))
        truth, tally = auroc(many[0], many[1]) - auroc(many[0], many[2]), Tally()
        rejected = 0
        for _ in range(trials):
            defective, *scores = two_scores(kind, one, other, common, bad, good, rng)
            units = units_of(defective)
            found = difference_interval(*(estimate_auroc(units, scored) for scored in scores))
            tally.add("difference of auroc", found, truth)
            rejected += not found[0] <= 0 <= found[1]  # p <= 0.05, by definition
        about = {"scores": kind, "first": one, "second": other, "common": common, "defective": bad, "good": good}
        rows += tally.rows(**about, difference=round(truth, 4), rejected=round(rejected / trials, 4))
    return rows


SECTIONS: dict[str, Callable[[], list[Row]]] = {
    "image": image,
    "rivals": rivals,
    "parts": parts,
    "lots": lots,
    "counts": counts,
    "pixels": pixels,
    "clean": clean,
    "paired": paired,
}


def summarise(rows: list[Row]) -> list[Row]:
    """For each interval and smaller class how its coverage is spread over the rows."""
    found = []
    groups = sorted({(row["interval"], min(row.get("defective", 0), row.get("good", 0))) for row in rows})
    for name, least in groups:
        cover = [
            row["coverage"]
            for row in rows
            if row["interval"] == name and min(row.get("defective", 0), row.get("good", 0)) == least
        ]
        low, middle = (round(float(np.quantile(cover, share)), 3) for share in (0.05, 0.5))
        share = round(float(np.mean(np.array(cover) < 0.93)), 3)
        spread = {"least": min(cover), "p05": low, "median": middle, "below_93": share}
        found.append({"interval": name, "n_least": least, "settings": len(cover), **spread})
    return found


def main() -> None:
    """Run the sections that are asked for, and keep the others."""
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in sys.argv[1:] or SECTIONS:
        rows = SECTIONS[name]()
        known[name] = {"summary": summarise(rows), "rows": rows}
        lines = ",\n".join(
            f' "{section}": {{"summary": [\n  '
            + ",\n  ".join(json.dumps(row) for row in known[section]["summary"])
            + '],\n  "rows": [\n  '
            + ",\n  ".join(json.dumps(row) for row in known[section]["rows"])
            + "]}"
            for section in SECTIONS
            if section in known
        )
        write_file(RESULTS, f"{{\n{lines}\n}}\n".encode())
        print(json.dumps(known[name]["summary"], indent=1), flush=True)


if __name__ == "__main__":
    main()
