"""Splitting images for learning and calibration: held out or folds, by whole lots where known; one score per part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amiss.core.checks import check_count, check_rate, read_rate
from amiss.core.errors import CalibrationError, DataError, InputError
from amiss.core.origin import Origin, count_lots, count_parts, part_numbers, stay_together
from amiss.core.rule import Rule
from amiss.core.scores import Scores

FOLDS_BELOW = 50
"""With fewer normal images than this the default calibrates by folds."""

HELD_OUT = 0.2
"""Share of the normal images that the default holds out for calibration."""


@dataclass(frozen=True)
class Folds:
    """Calibrate with every normal image, each scored by a detector that did not see it; learn k + 1 times.

    The final detector learns from all images, so its scores of new parts are not quite exchangeable with those of the
    folds: the guarantee is weaker than that of held-out images (`bench/coverage.py` measures by how much).

    Args:
        k: Number of folds, at least 2; more than there are images (or lots) means one image (or lot) a fold.

    Raises:
        InputError: k is not a whole number of at least 2.

    Example:
        >>> read_calibration("folds:10"), read_calibration("20%"), read_calibration("auto")
        (Folds(k=10), 0.2, 'auto')
    """

    k: int = 5

    def __post_init__(self) -> None:
        check_count("folds", self.k, least=2)


How = float | Folds | str
"""A share to hold out in (0, 1), `Folds(k)`, or words for these: "auto", "folds", "folds:10", "0.2", "20%"."""


@dataclass(frozen=True)
class CalibrationPlan:
    """How images are split for learning and calibration.

    Args:
        learn: Images that the deployed detector learns from.
        calibrate: Images whose scores calibrate the rule.
        parts: For each image of `calibrate` the number of the part it shows, 0 to n - 1.
        lots: Number of lots among `calibrate`, None when lots are not known.
        folds: The images that each fold leaves out, together `calibrate`; empty when images are held out.
    """

    learn: NDArray[np.intp]
    calibrate: NDArray[np.intp]
    parts: NDArray[np.intp]
    lots: int | None = None
    folds: tuple[NDArray[np.intp], ...] = ()

    @property
    def n(self) -> int:
        """Number of parts that calibrate: the n of the rule."""
        return int(self.parts.max(initial=-1)) + 1


def read_calibration(how: How) -> How:
    """Parse a calibration: "auto" stays, other words become a share or `Folds`.

    Raises:
        InputError: Other words, or a share or k out of range.
    """
    if isinstance(how, Folds):
        return how
    if not isinstance(how, str):
        return check_rate("calibration", how)
    name, colon, count = how.partition(":")
    if name == "folds" and (count.isdecimal() or not colon):
        return Folds(int(count)) if colon else Folds()
    if how == "auto":
        return how
    try:
        return read_rate("calibration", how)
    except InputError as error:
        raise InputError(f"{error}; 'auto', 'folds' and 'folds:10' are words for it too") from error


def plan_calibration(n: int, how: How, rule: Rule, seed: int, origins: Sequence[Origin] = ()) -> CalibrationPlan:
    """Split images for learning and calibration, and refuse at once what cannot work.

    Images of one lot stay together, and so do images of one part: a detector that has learned from a lot knows it,
    and its scores of that lot would flatter it.

    Args:
        n: Number of normal images.
        how: See `How`; "auto" holds out a fifth, and makes folds below 50 images.
        rule: Its promise must be supported by the number of parts that calibrate.
        seed: Random seed.
        origins: Origin of each image, or nothing.

    Raises:
        CalibrationError: Too few parts for the rule's promise.
        DataError: Fewer than two images, or all of one lot and part.
        InputError: `how` is not understood.
    """
    how = read_calibration(how)
    if n < 2:
        raise DataError(f"at least 2 good images are needed to learn, and 9 to promise a false-alarm rate, got {n}")
    if how == "auto":
        how = Folds() if n < FOLDS_BELOW else HELD_OUT
    groups = stay_together(n, origins)
    if len(groups) < 2:
        raise DataError(f"all {n} good images show one part; calibration needs parts that learning never saw")
    order = np.random.default_rng(seed).permutation(len(groups))
    if isinstance(how, Folds):
        shares = np.array_split(order, min(how.k, len(groups)))
        folds = tuple(np.sort(np.concatenate([groups[group] for group in share])) for share in shares)
        everyone = np.arange(n)
        rule.check(count_parts(everyone, origins))
        return CalibrationPlan(
            everyone, everyone, part_numbers(everyone, origins), count_lots(everyone, origins), folds
        )
    held = _hold_out(groups, order, n * float(how))
    parts = part_numbers(held, origins)
    try:
        rule.check(int(parts.max()) + 1)
    except CalibrationError as error:
        advice = f"{len(held)} of your {n} good images are held out to calibrate; calibration='folds' uses all."
        raise CalibrationError(f"{error} {advice}") from error
    return CalibrationPlan(np.setdiff1d(np.arange(n), held), held, parts, count_lots(held, origins))


def largest_of_each(scores: NDArray[np.float32], parts: NDArray[np.intp]) -> Scores:
    """One score per part: the largest of its images, as the score of an image is the largest of its pixels.

    Images of one part are not independent evidence. A bound for the part's largest score holds for each image.

    Example:
        >>> largest_of_each(np.array([1, 5, 2], np.float32), np.array([0, 1, 0])).image.tolist()
        [2.0, 5.0]
    """
    largest = np.full(int(parts.max(initial=-1)) + 1, -np.inf, np.float32)
    np.maximum.at(largest, parts, scores)
    return Scores(largest)


def _hold_out(groups: list[NDArray[np.intp]], order: NDArray[np.intp], wanted: float) -> NDArray[np.intp]:
    """Whole groups in random order until about `wanted` images are together; one group at least stays to learn."""
    sizes = np.cumsum([len(groups[group]) for group in order])
    count = int(np.abs(sizes[:-1] - max(1, round(wanted))).argmin()) + 1
    return np.sort(np.concatenate([groups[group] for group in order[:count]]))
