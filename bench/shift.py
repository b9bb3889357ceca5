"""Does a promise hold under other light, once scores are weighted by how recent images look? Simulated.

    python bench/shift.py [--trials N]

Known images have four measures, of which the first (or the first two) decide about the score of a good part together
with chance; recent images have moved by 0 to 2 standard deviations. A good part scores as ever under the same measures.
Weights are estimated from n known and m recent images as `amiss calibrate --recent` does; the true rate is that of
good parts under the new light. Where the rule refuses there is no promise: `refused` says how often. `unweighted` is
the mean rate of the same scores without weights.

Writes docs/results/shift.json: N calibrations where light shifts, a fifth of that for the other worlds; the bound is
judged on the first 100 that are accepted. A setting in which fewer than a tenth are accepted is not judged. What is
kept is not simulated again: stopped, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from promises_cases import Floats, case

from amiss.core.errors import CalibrationError
from amiss.core.scores import Scores
from amiss.monitoring.shift import weigh
from amiss.rules import Conformal
from amiss.rules.lots import rate_bound
from amiss.storage import write_file

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "shift.json"
SHIFTS = (0.0, 0.5, 1.0, 1.5, 2.0)
SIZES = ((50, 200), (100, 200), (200, 200), (500, 200))
"""Known and recent images."""
ALPHA = 0.05
Draw = Callable[[np.random.Generator, int, float], tuple[Floats, Floats]]


def _world(share: float, *, heavy: bool = False, square: bool = False, spread: bool = False, two: bool = False) -> Draw:
    """Measures (n, 4) and scores (n,); `share` of the standard deviation of a score comes from its measures."""

    def draw(rng: np.random.Generator, n: int, shift: float) -> tuple[Floats, Floats]:
        def noise(*shape: int) -> Floats:
            return rng.standard_t(4, shape) / np.sqrt(2) if heavy else rng.normal(size=shape)

        measures = noise(n, 4)
        if spread:
            measures[:, 0] *= 1 + shift / 2
        elif two:
            measures[:, :2] += shift / np.sqrt(2)
        else:
            measures[:, 0] += shift
        cause = measures[:, :2].sum(axis=1) / np.sqrt(2) if two else measures[:, 0]
        cause = (cause**2 - 1) / np.sqrt(2) if square else cause
        return measures, share * cause + np.sqrt(1 - share**2) * noise(n)

    return draw


WORLDS: dict[str, Draw] = {
    "light shifts": _world(0.6),
    "light shifts, scores nearly follow it": _world(0.9),
    "light shifts, scores hardly follow it": _world(0.3),
    "light and contrast shift": _world(0.6, two=True),
    "light varies more": _world(0.6, spread=True),
    "light shifts, scores follow its square": _world(0.6, square=True),
    "light shifts, heavy tails": _world(0.6, heavy=True),
}


BOUNDED = 100
"""So many bounds of each setting are judged: each takes 10,000 draws."""
FEWEST = 0.1
"""Share of calibrations that must be accepted for a setting to be judged."""
CASES = {
    "mean": (
        "mean true false-alarm rate over alpha, where the rule does not refuse",
        "at most 1, but for chance of 0.1",
    ),
    "this-set": ("share of calibrations whose true rate is below the bound", "at least 0.95"),
}


def judge(draw: Draw, shift: float, n: int, m: int, trials: int) -> dict[str, float]:
    """Mean rates over alpha, with weights and without, share of calibrations below the bound, share refused."""
    many = np.sort(draw(np.random.default_rng([7, round(10 * shift)]), 400_000, shift)[1])
    rng = np.random.default_rng([n, m, round(10 * shift)])
    rates, held, plain = [], [], []
    for trial in range(trials):
        if trial == BOUNDED and len(rates) <= FEWEST * trial:
            break
        (known, scores), (recent, _) = draw(rng, n, 0.0), draw(rng, m, shift)
        rule = Conformal(ALPHA).calibrate(Scores(scores))
        plain.append(_rate(many, rule.threshold))
        try:
            weighted = rule.weighted(weigh(known, recent)[np.argsort(scores)])
        except CalibrationError:
            continue
        rates.append(_rate(many, weighted.threshold))
        if len(held) < BOUNDED:
            held.append(rates[-1] <= rate_bound(weighted, weighted.rank - 1))
    return {
        "mean": float(np.mean(rates)) / ALPHA if rates else 0.0,
        "this-set": float(np.mean(held)) if held else 1.0,
        "refused": 1 - len(rates) / len(plain),
        "trials": len(plain),
        "unweighted": float(np.mean(plain)) / ALPHA,
    }


def _rate(many: Floats, threshold: float) -> float:
    return 1 - float(np.searchsorted(many, threshold, side="right")) / len(many)


def settings() -> Iterator[tuple[str, Draw, float, int, int]]:
    """Every world, shift and size, those where light shifts first."""
    for name, draw in WORLDS.items():
        for shift in SHIFTS:
            for n, m in SIZES:
                yield f"{name} by {shift:g}, n = {n}, {m} recent", draw, shift, n, m


def keep(found: dict[str, dict[str, float]]) -> None:
    """Write what there is, and the worst of it."""
    judged = {name: one for name, one in found.items() if one["refused"] <= 1 - FEWEST}
    cases = {}
    for key, (what, demanded) in CASES.items():
        trials = min(int(one["trials"]) for one in judged.values())
        cases[key] = case(what, demanded, trials, ((name, one[key]) for name, one in judged.items()))
    content = {"command": "python bench/shift.py", "settings": found, "cases": cases}
    write_file(RESULTS, json.dumps(content, indent=1).encode() + b"\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    trials = parser.parse_args().trials
    found = json.loads(RESULTS.read_text(encoding="utf-8"))["settings"] if RESULTS.is_file() else {}
    for setting, draw, shift, n, m in settings():
        wanted = trials if setting.startswith("light shifts by") else max(1, trials // 5)
        known = found.get(setting)
        if known and (known["trials"] >= wanted or known["refused"] > 1 - FEWEST):
            continue
        found[setting] = {key: round(value, 4) for key, value in judge(draw, shift, n, m, wanted).items()}
        print(setting, found[setting], flush=True)
        keep(found)


if __name__ == "__main__":
    main()
