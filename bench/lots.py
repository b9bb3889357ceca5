"""Which rule holds for parts of new lots? Thousands of calibrations for each kind of lots, with known true rates.

    python bench/lots.py --study promises these-lots ignored
    python bench/lots.py --study candidates shares --trials 2000

A score is the sum of a lot's effect and a part's own; `between` is the share of the variance between lots. The true
false-alarm rate of a threshold, for a part of a new lot, is found from a million scores. Rules that promise alpha on
average are judged by their mean rate; those that promise it with a confidence by the share of calibrations whose rate
is above alpha. The bound "for this very set" (95 %) is judged by the share of calibrations whose rate it misses.

Candidates:

* parts: ranks of all parts, lots ignored (what `Conformal` and `Certified` do where no lots are stated);
* lots: each lot counted once, with the next one's part taken to alarm (what they do for new lots);
* one of each: ranks of one part per lot;
* effective n: ranks for the number of independent parts that the intraclass correlation leaves;
* bootstrap: lots drawn with replacement; the mean share above the threshold, or its quantile, is at most alpha;
* maximum: ranks of the largest score of each lot.

The study "promises" judges the rules as they are, "ignored" what happens where nobody states the lots, "these-lots" the
promise for further parts of the lots that calibrate, and "shares" the interval of the variance's share between lots.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from amiss.core.errors import CalibrationError
from amiss.core.lots import THESE_LOTS, Lots
from amiss.core.rule import Rule
from amiss.core.scores import Scores
from amiss.rules import Certified, Conformal, Sigma
from amiss.rules.lots import chance_above
from amiss.rules.variance import between_lots, normal_scores
from amiss.storage import write_file

RESULTS = Path(__file__).parent.parent / "docs" / "results"
Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, int, float], tuple[Floats, Floats]]
BETWEEN = (0.0, 0.1, 0.3, 0.6)
COMPARED = ((5, 12), (20, 10), (60, 5))  # lots, parts of each
HELD = (
    (Conformal(0.05), ((20, 1), (20, 50), (60, 5))),
    (Conformal(0.1), ((9, 12), (20, 50))),
    (Certified(0.05), ((60, 5),)),
    (Certified(0.2, 0.9), ((12, 12), (20, 50))),
    (Sigma(3), ((10, 12), (20, 50))),
)
"""Rules, and what they are judged on."""
RARE = 1 / 25


def normal(rng: np.random.Generator, lots: int, parts: int, between: float) -> tuple[Floats, Floats]:
    """Normally distributed effects of lots (lots, 1) and parts (lots, parts)."""
    lot, part = rng.standard_normal((lots, 1)), rng.standard_normal((lots, parts))
    return math.sqrt(between) * lot, math.sqrt(1 - between) * part


def heavy(rng: np.random.Generator, lots: int, parts: int, between: float) -> tuple[Floats, Floats]:
    """Student's t with 3 degrees of freedom, for lots and parts."""
    lot, part = rng.standard_t(3, (lots, 1)), rng.standard_t(3, (lots, parts))
    return math.sqrt(between / 3) * lot, math.sqrt((1 - between) / 3) * part


def rounded(rng: np.random.Generator, lots: int, parts: int, between: float) -> tuple[Floats, Floats]:
    """Normal, rounded so that about ten values are left: many equal scores."""
    lot, part = normal(rng, lots, parts, between)
    return lot * 0, np.round(2 * (lot + part)) / 2


def rare(rng: np.random.Generator, lots: int, parts: int, between: float) -> tuple[Floats, Floats]:
    """One lot in twenty-five is moved; the others are alike."""
    lot = (rng.random((lots, 1)) < RARE) / math.sqrt(RARE * (1 - RARE))
    return math.sqrt(between) * lot, math.sqrt(1 - between) * rng.standard_normal((lots, parts))


KINDS: dict[str, Draw] = {"normal": normal, "heavy": heavy, "rounded": rounded, "rare": rare}


def numbers(scores: Floats) -> NDArray[np.intp]:
    return np.repeat(np.arange(len(scores)), scores.shape[1])


def parts_rule(rule: Rule, scores: Floats, rng: np.random.Generator) -> Rule:
    return rule.calibrate(Scores(scores.ravel()))


def lots_rule(rule: Rule, scores: Floats, rng: np.random.Generator) -> Rule:
    return rule.calibrate(Scores(scores.ravel()), Lots(numbers(scores)))


def one_of_each(rule: Rule, scores: Floats, rng: np.random.Generator) -> Rule:
    return rule.calibrate(Scores(scores[:, 0]))


def maximum(rule: Rule, scores: Floats, rng: np.random.Generator) -> Rule:
    return rule.calibrate(Scores(scores.max(axis=1)))


def effective(rule: Rule, scores: Floats, rng: np.random.Generator) -> float:
    """The share of the calibration scores that the rank of the effective n is of that n."""
    found = between_lots(scores.ravel(), numbers(scores))
    n = scores.size if found is None else max(1, int(found.effective))
    worth = rule.calibrate(Scores(np.arange(n)))
    rank = max(1, int(worth.rank / (n + 1) * (scores.size + 1)))  # type: ignore[attr-defined]
    return float(np.sort(scores, axis=None)[-rank])


def bootstrap(rule: Rule, scores: Floats, rng: np.random.Generator) -> float:
    """The lowest score at which the resampled share above keeps alpha: on average, or with the confidence."""
    lots, alpha = len(scores), rule.config()["alpha"]
    weights = rng.multinomial(lots, np.full(lots, 1 / lots), 200) / lots
    ordered = np.sort(scores, axis=None)
    low, high = 0, scores.size - 1
    while low < high:
        middle = (low + high) // 2
        shares = weights @ (scores > ordered[middle]).mean(axis=1)
        level = np.quantile(shares, rule.confidence) if isinstance(rule, Certified) else shares.mean()
        low, high = (low, middle) if level <= alpha else (middle + 1, high)
    return float(ordered[low])


CANDIDATES: dict[str, Callable[..., Rule | float]] = {
    "parts": parts_rule,
    "lots": lots_rule,
    "one of each": one_of_each,
    "effective n": effective,
    "bootstrap": bootstrap,
    "maximum": maximum,
}


class Truth:
    """True false-alarm rates: of parts of new lots, from a million scores."""

    def __init__(self, draw: Draw, between: float, seed: int) -> None:
        lot, part = draw(np.random.default_rng([seed, 1]), 40_000, 25, between)
        self.scores = np.sort((lot + part).astype(np.float32), axis=None)

    def rate(self, threshold: float) -> float:
        above = len(self.scores) - np.searchsorted(self.scores, np.float32(threshold), side="right")
        return float(above / len(self.scores))


def judge(
    rule: Rule, candidate: str, draw: Draw, shape: tuple[int, int, float], truth: Truth, trials: int, seed: int
) -> dict[str, Any] | None:
    """Mean rate, and shares of calibrations whose rate is above alpha and above the bound; None where refused."""
    rng = np.random.default_rng([seed, *(int(100 * value) for value in shape)])
    rates, missed = np.empty(trials), np.zeros(trials)
    try:
        for trial in range(trials):
            lot, part = draw(rng, *shape)
            made = CANDIDATES[candidate](rule, lot + part, rng)
            rates[trial] = truth.rate(made if isinstance(made, float) else made.threshold)
            missed[trial] = _missed(made, rates[trial]) if isinstance(made, Conformal | Sigma) else math.nan
    except CalibrationError:
        return None
    return {"lots": shape[0], "parts": shape[1], "between": shape[2], "candidate": candidate, **_figures(rule, rates),
            "above_bound": None if np.isnan(missed).any() else round(float(missed.mean()), 4)}  # fmt: skip


def _missed(rule: Rule, rate: float) -> bool:
    """Whether the true rate is above the bound that the rule states with 95 % confidence."""
    count = int((rule.normal > np.float32(rule.threshold)).sum())
    count = count if isinstance(rule, Sigma) else rule.rank - 1  # type: ignore[attr-defined]
    return rate >= 1 or (rate > 0 and chance_above(rule.top(count), rate) < 0.05)


def _figures(rule: Rule, rates: Floats) -> dict[str, Any]:
    alpha = rule.config().get("alpha")
    above = None if alpha is None else round(float((rates > alpha).mean()), 4)
    return {
        "rule": rule.name,
        **rule.config(),
        "trials": len(rates),
        "mean_rate": round(float(rates.mean()), 5),
        "standard_error": round(float(rates.std() / math.sqrt(len(rates))), 5),
        "above_alpha": above,
    }


def candidates(trials: int, seed: int) -> Iterator[dict[str, Any]]:
    """Every candidate on ordinary lots and on lots of which few are strange."""
    for kind in ("normal", "rare"):
        for between in (0.0, 0.3):
            truth = Truth(KINDS[kind], between, seed)
            for lots, parts in COMPARED:
                for rule in (Conformal(0.05), Certified(0.2, 0.9)):
                    for name in CANDIDATES:
                        found = judge(rule, name, KINDS[kind], (lots, parts, between), truth, trials, seed)
                        if found is not None:
                            yield {"scores": kind, **found}


def ignored(trials: int, seed: int) -> Iterator[dict[str, Any]]:
    """What a promise is worth for parts of new lots when nobody states the lots."""
    for between in BETWEEN:
        truth = Truth(normal, between, seed)
        for lots, parts in ((1, 60), (10, 12)):
            found = judge(Certified(0.05), "parts", normal, (lots, parts, between), truth, trials, seed)
            if found is not None:
                yield {"scores": "normal", **found}


def promises(trials: int, seed: int) -> Iterator[dict[str, Any]]:
    """The rules as they are: where they do not refuse, every promise holds."""
    for kind, draw in KINDS.items():
        for between in BETWEEN if kind == "normal" else (0.3, 0.6):
            truth = Truth(draw, between, seed)
            for rule, shapes in HELD:
                for lots, parts in shapes:
                    found = judge(rule, "lots", draw, (lots, parts, between), truth, trials, seed)
                    if found is not None:
                        yield {"scores": kind, **found}


def these_lots(trials: int, seed: int) -> Iterator[dict[str, Any]]:
    """Further parts of the lots that calibrate; normal effects, so the true rate is known from the lots' effects."""
    for between in BETWEEN:
        for lots, parts in ((1, 20), (1, 60), (2, 30), (5, 12), (10, 12), (20, 50), (60, 1)):
            for rule in (Conformal(0.05), Certified(0.05)):
                if lots * parts < rule.needed(0.05):
                    continue
                rng = np.random.default_rng([seed, lots, parts, int(100 * between)])
                rates = np.empty(trials)
                for trial in range(trials):
                    lot, part = normal(rng, lots, parts, between)
                    made = rule.calibrate(Scores((lot + part).ravel()), Lots(numbers(part), THESE_LOTS))
                    rates[trial] = 1 - ndtr((made.threshold - lot) / math.sqrt(1 - between)).mean()
                yield {"scores": "normal", "lots": lots, "parts": parts, "between": between, "candidate": "these lots",
                       **_figures(rule, rates)}  # fmt: skip


def shares(trials: int, seed: int) -> Iterator[dict[str, Any]]:
    """The interval of the share of the variance between lots, of ranks; sizes all equal, or spread one to three."""
    for kind in ("normal", "heavy", "rare"):
        for between in BETWEEN:
            lot, part = KINDS[kind](np.random.default_rng([seed, 2]), 4000, 50, between)
            large = between_lots(normal_scores((lot + part).ravel()), numbers(part))
            true = 0.0 if large is None or between == 0 else large.share
            for lots, parts in ((2, 30), (5, 12), (10, 12), (20, 10), (20, 50)):
                for spread in (False, True):
                    rng = np.random.default_rng([seed, lots, parts, int(100 * between), spread])
                    below = above = 0
                    for _ in range(trials):
                        lot, part = KINDS[kind](rng, lots, parts, between)
                        keep = (
                            np.arange(parts) < rng.integers(parts // 3, parts + 1, (lots, 1)) if spread else part < 1e9
                        )
                        found = between_lots(normal_scores((lot + part)[keep]), np.nonzero(keep)[0])
                        if found is not None:
                            below, above = below + (found.high < true), above + (found.low > true)
                    yield {"scores": kind, "lots": lots, "parts": parts, "between": between, "spread": spread,
                           "true_share": round(true, 4),
                           "trials": trials, "covered": round(1 - (below + above) / trials, 4),
                           "share_above": below / trials, "share_below": above / trials}  # fmt: skip


STUDIES: dict[str, Callable[[int, int], Iterator[dict[str, Any]]]] = {
    "candidates": candidates,
    "ignored": ignored,
    "promises": promises,
    "these-lots": these_lots,
    "shares": shares,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--study", nargs="+", default=list(STUDIES), choices=list(STUDIES))
    parser.add_argument("--output", type=Path, default=RESULTS, help="Folder for lots_STUDY.json.")
    asked = parser.parse_args()
    for name in asked.study:
        lines = []
        for line in STUDIES[name](asked.trials, asked.seed):
            lines.append(json.dumps(line))
            print(lines[-1], flush=True)
        path = asked.output / f"lots_{name.replace('-', '_')}.json"
        write_file(path, ("[\n" + ",\n".join(lines) + "\n]\n").encode())


if __name__ == "__main__":
    main()
