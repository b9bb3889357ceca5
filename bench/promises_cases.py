"""What the simulations of `bench/promises.py` share: scores with a known tail, and how a case is summed up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Case = Callable[[int], dict[str, Any]]
"""From the trials per setting to the figures of record."""

SIZES = (20, 50, 100, 300, 1000)


@dataclass(frozen=True)
class World:
    """Scores of good parts.

    Args:
        name: For the record.
        draw: Generator and shape to scores.
        above: Share of good parts that score above a number, exactly.
    """

    name: str
    draw: Callable[[np.random.Generator, tuple[int, ...]], Floats]
    above: Callable[[Floats], Floats]


def continuous(name: str, law: Any) -> World:
    """From a distribution of SciPy."""
    return World(name, lambda rng, shape: law.ppf(rng.random(shape)), law.sf)


def rounded(step: float) -> World:
    """Normal scores rounded to multiples of a step: ties."""
    return World(
        f"normal, rounded to {step:g}",
        lambda rng, shape: np.round(rng.normal(size=shape) / step) * step,
        lambda at: stats.norm.sf((np.floor(np.asarray(at) / step + 1e-9) + 0.5) * step),
    )


def clustered(share: float, place: float = 8.0) -> World:
    """Normal scores, and a small share of good parts of a second kind that scores far higher."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        second = rng.random(shape) < share
        return np.where(second, rng.normal(place, 0.5, shape), rng.normal(size=shape))

    return World(
        f"normal, {share:.1%} at {place:g}",
        draw,
        lambda at: (1 - share) * stats.norm.sf(at) + share * stats.norm.sf(at, place, 0.5),
    )


NORMAL = continuous("normal", stats.norm)
EXPONENTIAL = continuous("exponential", stats.expon)
HEAVY = continuous("Student's t with 3 degrees of freedom", stats.t(3))
WORLDS = (NORMAL, EXPONENTIAL, HEAVY, rounded(0.5), clustered(0.02))


def case(what: str, demanded: str, trials: int, found: Iterable[tuple[str, float]], **facts: Any) -> dict[str, Any]:
    """The figures of record of a case.

    Args:
        what: What each number is.
        demanded: What it has to be.
        trials: Per setting.
        found: Setting and number.
        facts: Anything else worth keeping.
    """
    each = {setting: round(float(number), 5) for setting, number in found}
    low, high = min(each.values()), max(each.values())
    head = {"what": what, "demanded": demanded, "trials": trials, "settings": len(each), "lowest": low, "highest": high}
    return {**head, **facts, "each": each}
