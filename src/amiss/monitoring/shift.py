"""How do recent images differ from good ones that are known, and what is each of the latter worth for the former?

Under covariate shift the light has changed, but a good part scores as ever under the same light. The scores of known
good images then serve for recent ones, each weighted by the likelihood ratio of its measures: how much likelier they
are among recent images than among known ones (Tibshirani, Barber, Candès and Ramdas 2019). The ratio is estimated by a
classifier that tells recent from known images by their measures and the squares of these, so that it is exact for
normally distributed measures whose means and spreads have changed. Nobody needs to know which recent images are good,
as long as defects do not move the measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import CalibrationError
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.monitoring.health import Health, as_columns, measure_health

Floats = NDArray[np.float64]

LEAST, RECENT = 50, 200
"""Known images, and recent ones: with 50 recent ones the rate came to 1.17 times what was promised (bench/shift.py)."""

RIDGE = 1.0
"""Penalty of the classifier: as if one image more had shown that a measure says nothing."""

NEXT = 1.5
"""The next part weighs so many times the root mean square of what recent images weigh: its own weight is not known
before it is seen, and weights are estimated. Chosen by simulation (`bench/shift.py`)."""

FURTHEST = 30.0
"""Largest logarithm of a likelihood ratio."""

FAR = 1000.0
"""Standard deviations; measures further away count as so far."""


@dataclass(frozen=True)
class Shift:
    """What known good images are worth for recent ones.

    Args:
        weights: Of each known image, where the next recent one weighs 1, (n,).
        recent: Number of recent images.
        moved: By how many standard deviations of the known images the mean of each measure has moved.
    """

    weights: Floats
    recent: int
    moved: dict[str, float]


def measure_shift(known: Images, recent: Images, progress: Progress) -> Shift:
    """As `find_shift`, from images.

    Raises:
        CalibrationError: Too few of either, or nothing in common.
        ImageError: An image cannot be used.
    """

    def measured(images: Images) -> list[Health]:
        found = []
        for done, image in enumerate(images, start=1):
            found.append(measure_health(image))
            progress("measuring", done, len(images))
        return found

    return find_shift(measured(known), measured(recent))


def find_shift(known: Sequence[Health], recent: Sequence[Health]) -> Shift:
    """Weights of known good images, from the measures of both.

    Args:
        known: Measures of the good images that calibrate.
        recent: Measures of recent images, good or not.

    Raises:
        CalibrationError: Too few of either, or nothing in common.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> def images(brightness, count):
        ...     return [Health(value, 50.0, 0.1, 0.0) for value in rng.normal(brightness, 5, count)]
        >>> shift = find_shift(images(100, 200), images(105, 200))
        >>> 0.7 < shift.moved["brightness"] < 1.3
        True
    """
    for what, images, least in (("good images to weigh", known, LEAST), ("recent images", recent, RECENT)):
        if len(images) < least:
            raise CalibrationError(f"at least {least} {what} are needed, got {len(images)}")
    before, now = as_columns(known), as_columns(recent)
    varying = [name for name in before if np.ptp(np.concatenate([before[name], now[name]])) > 0]
    for name in varying:
        if np.ptp(before[name]) == 0:
            raise CalibrationError(
                f"{name} is {before[name][0]:g} in all good images but not in the recent ones, so nothing can be said "
                "of those; calibrate on good images taken under the new conditions"
            )
    moved = {name: float((now[name].mean() - before[name].mean()) / before[name].std()) for name in varying}
    if not varying:
        return Shift(np.ones(len(known)), len(recent), moved)
    weights = weigh(*(np.column_stack([one[name] for name in varying]) for one in (before, now)))
    return Shift(weights, len(recent), moved)


def weigh(known: Floats, recent: Floats) -> Floats:
    """What each row of measures of known images counts for, where the next recent one counts 1, (n,).

    Args:
        known: Measures of known images, (n, k), each column with some spread.
        recent: Those of recent images, (m, k).
    """
    weights, of_recent = likelihood_ratio(known, recent)
    return np.asarray(weights / (NEXT * np.sqrt((of_recent**2).mean())), np.float64)


def likelihood_ratio(known: Floats, recent: Floats) -> tuple[Floats, Floats]:
    """How much likelier each row of measures is among recent images than among known ones: 1 on average over the known.

    A logistic regression on the measures and their squares, both classes counting alike, by Newton's method.

    Args:
        known: Measures of known images, (n, k), each column with some spread.
        recent: Those of recent images, (m, k).

    Returns:
        The ratio of each known and of each recent image, (n,) and (m,).
    """
    middle, spread = known.mean(axis=0), known.std(axis=0)
    rows = [np.clip((one - middle) / spread, -FAR, FAR) for one in (known, recent)]
    design = np.concatenate([np.column_stack([np.ones(len(one)), one, one**2]) for one in rows])
    is_recent = np.repeat([0.0, 1.0], [len(known), len(recent)])
    share = np.where(is_recent > 0, len(design) / (2 * len(recent)), len(design) / (2 * len(known)))
    penalty = np.append(0.0, np.full(design.shape[1] - 1, RIDGE))
    log_ratio = np.clip(design @ _fit(design, is_recent, share, penalty), -FURTHEST, FURTHEST)
    ratio = np.exp(log_ratio)
    ratio /= ratio[: len(known)].mean()
    return ratio[: len(known)], ratio[len(known) :]


def _fit(design: Floats, is_recent: Floats, share: Floats, penalty: Floats) -> Floats:
    """Coefficients with the largest penalised likelihood; each Newton step is halved until it gains."""

    def loss(coefficients: Floats) -> float:
        at = design @ coefficients
        return float((share * (np.logaddexp(0, at) - is_recent * at)).sum() + (penalty * coefficients**2).sum() / 2)

    found = np.zeros(design.shape[1])
    best = loss(found)
    for _ in range(100):
        chance = 1 / (1 + np.exp(-np.clip(design @ found, -FURTHEST, FURTHEST)))
        slope = design.T @ (share * (is_recent - chance)) - penalty * found
        bend = (design * (share * chance * (1 - chance))[:, None]).T @ design + np.diag(penalty + 1e-9)
        step = np.linalg.solve(bend, slope)
        while (after := loss(found + step)) > best and np.abs(step).max() > 1e-9:
            step = step / 2
        found, gained, best = found + step, best - after, after
        if gained < 1e-9 * max(1.0, abs(best)):
            break
    return found
