"""Do intervals and proofs about verdicts hold: rates over lots, two detectors on the same parts, and lots one by one?

    python bench/verdicts.py [NAME ...] [--trials N]        writes docs/results/verdicts.json

Cases: lots (a rate, for parts of other lots), rates (the difference of two detectors' rates), margins (proofs that the
second is no worse, where it is worse by just the margin), looks (certificates that stop early, of which each look may
be the last; lots are the unit). Over parts the probabilities of all counts are added up, so nothing is simulated.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from promises_cases import case
from scipy import stats

from amiss.evaluation.conclusions import difference_of, no_worse
from amiss.metrics import Agreement, mcnemar, rate_over_lots
from amiss.metrics.paired_rates import non_inferiority, rate_difference
from amiss.rules.sequential import ABOVE, BELOW, WEIGHTS
from amiss.storage import write_file

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "verdicts.json"
SHARES = ((0.02, 0.02), (0.1, 0.02), (0.3, 0.2))
"""Parts on which only the first, and only the second detector is right."""
LOTS = ((6, 10), (6, 100), (20, 10), (60, 10))
"""Lots and parts of each."""


def lots(trials: int) -> dict[str, Any]:
    """Rates of lots are distributed as Beta, with this intraclass correlation."""

    def found() -> Iterator[tuple[str, float]]:
        settings = itertools.product((0.01, 0.05, 0.2), (0.0, 0.05, 0.2, 0.5), (*LOTS, (10, 20)))
        for number, (rate, alike, (count, each)) in enumerate(settings):
            rng, lot = np.random.default_rng([1, number]), np.repeat(np.arange(count), each)
            held = 0
            for _ in range(trials):
                ends = rate_over_lots(rng.random(len(lot)) < own_rates(rng, rate, alike, count)[lot], lot).interval
                held += ends[0] <= rate <= ends[1]
            yield f"rate {rate:g}, {count} lots of {each}, {alike:.0%} between lots", held / trials

    return case("share of samples whose interval holds the rate among parts of other lots", *HELD, trials, found())


def rates(trials: int) -> dict[str, Any]:
    """Tango's interval over parts exactly; over lots, of which each has its own shares, simulated."""

    def found() -> Iterator[tuple[str, float]]:
        for (first, second), n in itertools.product(SHARES, (20, 50, 100, 300)):
            ends = {(b, c): rate_difference(b, c, n).interval for b, c, _ in trinomial(n, first, second)}
            held = [x for b, c, x in trinomial(n, first, second) if _holds(ends[b, c], second - first)]
            yield f"only one right on {first:g} and {second:g}, n = {n}", sum(held)
        for number, ((first, second), alike, shape) in enumerate(itertools.product(SHARES, (0.0, 0.1, 0.3), LOTS)):
            rng = np.random.default_rng([2, number])
            some = (difference_of(draw(rng, (first, second), alike, *shape)).interval for _ in range(trials))
            held = [_holds(one, second - first) for one in some]
            yield f"only one right on {first:g} and {second:g}, {_of(shape, alike)}", float(np.mean(held))

    return case("share of samples whose interval holds the true difference of two rates", *HELD, trials, found())


def margins(trials: int) -> dict[str, Any]:
    """Tango's bound over parts exactly; over lots the bound of certificates, simulated."""

    def found() -> Iterator[tuple[str, float]]:
        for margin, more, n in itertools.product((0.02, 0.05, 0.1), (0.0, 0.02, 0.1), (50, 100, 300, 1000)):
            wrong = [x for b, c, x in trinomial(n, margin + more, more) if non_inferiority(b, c, n, margin).shown]
            yield f"margin {margin:g}, only the second right on {more:g}, n = {n}", 1 - sum(wrong)
        for number, (margin, alike, shape) in enumerate(itertools.product((0.05, 0.2), (0.0, 0.1, 0.3), LOTS)):
            rng = np.random.default_rng([3, number])
            shown = [no_worse(draw(rng, (margin + 0.02, 0.02), alike, *shape), margin).shown for _ in range(trials)]
            yield f"margin {margin:g}, {_of(shape, alike)}", 1 - float(np.mean(shown))

    return case("share of samples in which nothing false is shown about a margin", *HELD, trials, found())


def looks(trials: int) -> dict[str, Any]:
    """Upper and lower bound after every one of 60 lots, whichever is worse; the capital by its formula."""

    def found() -> Iterator[tuple[str, float]]:
        settings = itertools.product((0.01, 0.05, 0.2), (0.0, 0.2, 0.5), (1, 5, 50))
        for number, (rate, alike, each) in enumerate(settings):
            rng = np.random.default_rng([4, number])
            own = np.array([own_rates(rng, rate, alike, 60) for _ in range(trials)])
            shares = rng.binomial(each, own) / each
            above = ABOVE[ABOVE * rate < 1]
            wrong = [
                (capital(shares, rate, BELOW, WEIGHTS) >= np.log(20)).any(axis=1).mean(),
                (capital(shares, rate, above, np.full(len(above), 1 / len(ABOVE))) >= np.log(20)).any(axis=1).mean(),
            ]
            yield f"rate {rate:g}, lots of {each}, {alike:.0%} between lots", 1 - max(wrong)

    what = "share of streams of 60 lots in which a bound holds at every look"
    return case(what, "at least 0.95", trials, found())


def capital(
    shares: NDArray[np.float64], rate: float, bets: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Logarithm of the capital against a rate after each lot, (trials, lots)."""
    logs = []
    for bet, weight in zip(bets, weights, strict=True):
        with np.errstate(divide="ignore"):
            gained = np.log(shares * bet + (1 - shares) * (1 - bet * rate) / (1 - rate))
        logs.append(np.log(weight) + gained.cumsum(axis=1))
    return np.asarray(np.logaddexp.reduce(logs, axis=0), np.float64)


HELD = ("at least 0.93",)
CASES = {"lots": lots, "rates": rates, "margins": margins, "looks": looks}


def own_rates(rng: np.random.Generator, rate: float, alike: float, count: int) -> NDArray[np.float64]:
    """Rates of lots with this mean and intraclass correlation."""
    if not alike:
        return np.full(count, rate)
    return rng.beta(rate * (1 / alike - 1), (1 - rate) * (1 / alike - 1), count)


def draw(rng: np.random.Generator, shares: tuple[float, float], alike: float, count: int, each: int) -> Agreement:
    """Verdicts on parts of lots whose shares are distributed as Dirichlet around these."""
    mean = np.array([*shares, 1 - sum(shares)])
    own = rng.dirichlet(mean * (1 / alike - 1), count) if alike else np.tile(mean, (count, 1))
    kinds = (rng.random((count, each, 1)) > own.cumsum(axis=1)[:, None, :2]).sum(axis=2).ravel()
    return mcnemar(kinds != 1, kinds != 0, np.repeat(np.arange(count), each))


def trinomial(n: int, first: float, second: float) -> list[tuple[int, int, float]]:
    """Every pair of counts that is not too rare, and its probability."""
    found = []
    for b in range(n + 1):
        outer = stats.binom.pmf(b, n, first)
        if outer > 1e-7:
            inner = outer * stats.binom.pmf(np.arange(n - b + 1), n - b, second / (1 - first))
            found += [(b, c, float(chance)) for c, chance in enumerate(inner) if chance > 1e-7]
    return found


def _holds(ends: tuple[float, float], truth: float) -> bool:
    return ends[0] - 1e-9 <= truth <= ends[1] + 1e-9


def _of(shape: tuple[int, int], alike: float) -> str:
    return f"{shape[0]} lots of {shape[1]}, {alike:.0%} between lots"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*CASES, []], metavar="NAME", help="cases; default: all")
    parser.add_argument("--trials", type=int, default=2_000, help="trials per setting")
    options = parser.parse_args()
    for name in options.names or CASES:
        found = CASES[name](options.trials)
        print(name, json.dumps({key: value for key, value in found.items() if key != "each"}), flush=True)
        known = json.loads(RESULTS.read_text(encoding="utf-8"))["cases"] if RESULTS.is_file() else {}
        text = json.dumps(
            {"command": "python bench/verdicts.py", "cases": known | {name: found}}, indent=1, sort_keys=True
        )
        write_file(RESULTS, text.encode() + b"\n")


if __name__ == "__main__":
    main()
