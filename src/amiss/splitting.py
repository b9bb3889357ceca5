"""Splitting images for learning and calibration: held out, by folds, or chosen apart; whole lots and parts together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from amiss.core.checks import check_choice, check_count, check_rate, read_rate
from amiss.core.classes import check_classes_left, deal, leave_classes
from amiss.core.errors import CalibrationError, DataError, InputError
from amiss.core.lots import FUTURES, NEW_LOTS, THESE_LOTS, Lots
from amiss.core.origin import Origin, check_origins, lot_numbers, on_both_sides, part_numbers, stay_together
from amiss.core.rule import Rule
from amiss.rules import Conformal, FewShot
from amiss.rules.few_shot import NEEDED

FOLDS_BELOW = 50
"""With fewer normal images than this the default calibrates by folds."""

FOLDS_BELOW_LOTS = 95
"""With fewer lots than this a promise for new lots calibrates by folds: a fifth of them would not be 19 lots."""

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


ALTERED = "altered copies"
"""How a single part calibrates: its images are learned from, and score as copies that are altered a little."""

How = float | Folds | str
"""A share to hold out in (0, 1), `Folds(k)`, or words for these: "auto", "folds", "folds:10", "0.2", "20%"."""


@dataclass(frozen=True)
class CalibrationPlan:
    """How images are split for learning and calibration.

    Args:
        learn: Images that the deployed detector learns from.
        calibrate: Images whose scores calibrate the rule.
        parts: For each image of `calibrate` the number of the part it shows, 0 to n - 1.
        lots: The lot of each part, and whose parts the promise is for; None when lots are not known.
        folds: The images that each fold leaves out, together `calibrate`; empty when images are held out.
        altered: Whether what is scored are altered copies of `calibrate`, which was learned from.
    """

    learn: NDArray[np.intp]
    calibrate: NDArray[np.intp]
    parts: NDArray[np.intp]
    lots: Lots | None = None
    folds: tuple[NDArray[np.intp], ...] = ()
    altered: bool = False

    @property
    def kind(self) -> Literal["held out", "folds", "altered copies"]:
        """In a word, see `amiss.record.Calibration`."""
        return "altered copies" if self.altered else "folds" if self.folds else "held out"

    @property
    def n(self) -> int:
        """Number of parts that calibrate: the n of the rule."""
        return int(self.parts.max(initial=-1)) + 1

    @property
    def shown(self) -> NDArray[np.intp]:
        """Images that learning is given: those that learn, or where none do one whose size alone counts."""
        return self.learn if len(self.learn) else self.calibrate[:1]


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


def read_contamination(share: float | str | None) -> float | None:
    """Parse a share of good images that may be defective: None stays, words such as "10%" become a number.

    Raises:
        InputError: Other words, or not in (0, 0.5): with half of them defective nobody knows which half is.
    """
    if share is None:
        return None
    value = read_rate("contamination", share) if isinstance(share, str) else check_rate("contamination", share)
    if value >= 0.5:
        raise InputError(f"contamination must be below 0.5, since most images must be good, got {share!r}")
    return value


def plan_calibration(
    n: int,
    how: How,
    rule: Rule,
    seed: int,
    origins: Sequence[Origin] = (),
    future: str | None = None,
    *,
    labels: Sequence[str] = (),
) -> CalibrationPlan:
    """Split images for learning and calibration, and refuse at once what cannot work.

    Images of one part stay together, and for new lots so do images of one lot: a detector that has learned from a lot
    knows it, and its scores of that lot would flatter it. For further parts of the same lots, which it knows as well,
    lots are divided.

    Args:
        n: Number of normal images.
        how: See `How`; "auto" holds out a fifth, and makes folds below 50 images, or below 95 lots for new lots; for
            `FewShot` of one image each, and where there is one part only, calibrates on altered copies of it.
        rule: Its promise must be supported by the number of parts, or lots, that calibrate.
        seed: Random seed.
        origins: Origin of each image, or nothing.
        future: Whose parts the promise is for, one of `amiss.core.lots.FUTURES`; for None new lots, if lots are known.
        labels: The class of each image where classes are learned, or nothing: at least half of each class learns, and
            folds share out each class evenly.

    Raises:
        CalibrationError: Too few parts or lots for the rule's promise, or a lot is not known.
        DataError: Fewer than two images, or all of one lot and part, except for `FewShot`; or a class that cannot be
            divided.
        InputError: `how` is not understood.
    """
    how = read_calibration(how)
    few = isinstance(rule, FewShot)
    if n < 2 and not few:
        raise DataError(f"at least 2 good images are needed to learn, and 9 to promise a false-alarm rate, got {n}")
    check_origins(n, origins)
    everyone = np.arange(n)
    parts, lots = parts_and_lots(everyone, origins, future)
    by_lot = lots is not None and lots.future == NEW_LOTS
    if how == "auto":
        how = _held_out_or_folds(n, lots if by_lot else None, few=few)
    groups = stay_together(n, origins, lots=by_lot)
    if len(groups) < 2 and few:
        return CalibrationPlan(everyone, everyone, parts, lots, altered=True)
    if len(groups) < 2:
        raise DataError(f"all {n} good images show one part; calibration needs parts that learning never saw")
    order = np.random.default_rng(seed).permutation(len(groups))
    if isinstance(how, Folds):
        folds = _deal(order, groups, how.k, labels)
        check_support(rule, parts, lots)
        check_classes_left(folds, labels)
        return CalibrationPlan(everyone, everyone, parts, lots, folds)
    order = order if not labels else leave_classes(groups, order, labels)
    held = _hold_out(groups, order, n * float(how))
    parts, lots = parts_and_lots(held, origins, future)
    try:
        check_support(rule, parts, lots)
    except CalibrationError as error:
        advice = f"{len(held)} of your {n} good images are held out to calibrate; calibration='folds' uses all."
        raise CalibrationError(f"{error} {advice}") from error
    return CalibrationPlan(np.setdiff1d(everyone, held), held, parts, lots)


def _held_out_or_folds(n: int, lots: Lots | None, *, few: bool) -> Folds | float:
    """Where nobody has said: folds where too few images, or lots of a promise for new ones, would be held out."""
    by_folds = n < FOLDS_BELOW or (lots is not None and lots.count < FOLDS_BELOW_LOTS)
    return Folds(NEEDED if few else Folds.k) if by_folds else HELD_OUT


def plan_folds(n: int, k: int, seed: int, origins: Sequence[Origin] = ()) -> CalibrationPlan:
    """Folds of which each is scored by what has learned from the others, and nothing is promised.

    Args:
        n: Number of images.
        k: Number of folds, see `Folds`.
        seed: Random seed.
        origins: Origin of each image, or nothing: images of one lot, or part, are never divided.

    Raises:
        DataError: Fewer than two images, or all of one part.
    """
    groups, everyone = stay_together(n, origins), np.arange(n)
    if len(groups) < 2:
        raise DataError(f"images must be of at least 2 parts, to learn from one and score another, got {n} of one part")
    order = np.random.default_rng(seed).permutation(len(groups))
    return CalibrationPlan(everyone, everyone, part_numbers(everyone, origins), folds=_deal(order, groups, k, ()))


def count_parts(n: int, origins: Sequence[Origin] = ()) -> int:
    """Number of parts that n images show: fewer where several show one."""
    check_origins(n, origins)
    return int(part_numbers(np.arange(n), origins).max(initial=-1)) + 1


def count_classes(labels: Sequence[str], plan: CalibrationPlan) -> dict[str, int]:
    """Number of calibration parts of each class, by name, those without any too."""
    _, first = np.unique(plan.parts, return_index=True)
    found = Counter(labels[plan.calibrate[index]] for index in first)
    return {name: found[name] for name in sorted(set(labels))}


def rule_for(rule: Rule, n: int, origins: Sequence[Origin] = ()) -> Rule:
    """The rule itself; but of `Conformal("auto")` and `FewShot` the one that so many parts call for.

    Args:
        rule: Not calibrated.
        n: Number of good images, fewer parts where several show one.
        origins: Origin of each image, or nothing.

    Example:
        >>> rule_for(Conformal(), 4).name, rule_for(Conformal(0.05), 4).name, rule_for(FewShot(), 9).name
        ('few_shot', 'conformal', 'conformal')
    """
    parts = count_parts(n, origins)
    if isinstance(rule, FewShot) and parts >= NEEDED:
        return Conformal()
    open_ended = isinstance(rule, Conformal) and rule.config()["alpha"] == "auto"
    return FewShot() if open_ended and parts < NEEDED else rule


@contextmanager
def hint_at_so_few(plan: CalibrationPlan, left: int) -> Iterator[None]:
    """Around learning from the images outside a fold: an error that comes of their number says where the rest is."""
    try:
        yield
    except InputError as error:
        if plan.n >= NEEDED:
            raise
        raise InputError(
            f"{error}. Of {len(plan.learn)} good images {left} learn, to score the others unseen; give more, or take "
            "patchcore with the preset few_shot"
        ) from error


def plan_apart(
    learn: int, calibrate: int, rule: Rule, origins: Sequence[Origin] = (), future: str | None = None
) -> CalibrationPlan:
    """Learn from the first images, calibrate on those after them, which somebody has chosen for it.

    Args:
        learn: Number of images that are learned from.
        calibrate: Number of good images after them.
        rule: Not calibrated; its promise may need more images or lots.
        origins: Origin of each image, or nothing.
        future: As for `plan_calibration`.

    Raises:
        CalibrationError: Too few parts or lots for the rule's promise, or a lot is not known.
    """
    chosen = np.arange(learn, learn + calibrate)
    parts, lots = parts_and_lots(chosen, origins, future)
    check_support(rule, parts, lots)
    return CalibrationPlan(np.arange(learn), chosen, parts, lots)


def check_apart(plan: CalibrationPlan, origins: Sequence[Origin]) -> None:
    """Refuse a plan under which images of one part, or for new lots of one lot, both learn and calibrate.

    A detector that has learned from a lot knows it: its scores of that lot flatter it, and say nothing of new lots.

    Args:
        plan: Of images that somebody has chosen to calibrate, without copies of those that learn.
        origins: Origin of each image, or nothing.

    Raises:
        CalibrationError: Some do both.
    """
    by_lot = plan.lots is not None and plan.lots.future == NEW_LOTS
    shared = on_both_sides(plan.learn, plan.calibrate, origins, lots=by_lot)
    if not shared:
        return
    first, what = shared[0], "lots" if by_lot else "parts"
    advice = f", or ask for further parts of these lots only, with future={THESE_LOTS!r}" if what == "lots" else ""
    raise CalibrationError(
        f"{what} that calibrate must be others than those that are learned from, got {len(shared)} on both sides, such "
        f"as {first.lot if what == 'lots' else first.part!r}; calibrate on images of other {what}{advice}"
    )


def read_future(future: str | None) -> str | None:
    """None, or one of `amiss.core.lots.FUTURES`.

    Raises:
        InputError: Anything else.
    """
    return None if future is None else check_choice("future", future, FUTURES)


def parts_and_lots(
    images: NDArray[np.intp], origins: Sequence[Origin], future: str | None = None, *, usual: str = NEW_LOTS
) -> tuple[NDArray[np.intp], Lots | None]:
    """The part that each of these images shows, and the lot of each part.

    Args:
        images: Indices of the images.
        origins: Origin of every image, or nothing.
        future: Whose parts the promise is for, one of `amiss.core.lots.FUTURES`, or None.
        usual: What None means where lots are known.

    Returns:
        Parts as numbers from 0 without gaps, one per image; lots, one per part, or None where no lot is known.

    Raises:
        CalibrationError: For new lots, the lot of some images is not known.
        InputError: A future is asked for where no lot is known.
    """
    read_future(future)
    parts, numbers = part_numbers(images, origins), lot_numbers(images, origins)
    if numbers is None:
        if future is not None:
            raise InputError(f"future={future!r} needs the lots of the images, such as a manifest's column 'lot'")
        return parts, None
    future = future or usual
    unknown = sum(not origins[image].lot for image in images)
    if unknown and future == NEW_LOTS:
        raise CalibrationError(
            f"{unknown} of {len(images)} good images have no lot, and a promise for new lots needs that of each. State "
            f"it, or ask for further parts of these lots only, with future={THESE_LOTS!r}."
        )
    _, first = np.unique(parts, return_index=True)
    return parts, Lots(numbers[first], future)


def check_support(rule: Rule, parts: NDArray[np.intp], lots: Lots | None) -> None:
    """Refuse at once what these parts and lots cannot support.

    Raises:
        CalibrationError: Too few for the rule's promise.
    """
    counted = lots.count if lots is not None and lots.future == NEW_LOTS else None
    rule.check_all(int(parts.max(initial=-1)) + 1, counted)


def _hold_out(groups: list[NDArray[np.intp]], order: NDArray[np.intp], wanted: float) -> NDArray[np.intp]:
    """Whole groups in the order given until about `wanted` images are together; one group at least stays to learn."""
    sizes = np.cumsum([len(groups[group]) for group in order[: len(groups) - 1]])
    count = int(np.abs(sizes - max(1, round(wanted))).argmin()) + 1
    return np.sort(np.concatenate([groups[group] for group in order[:count]]))


def _deal(
    order: NDArray[np.intp], groups: list[NDArray[np.intp]], k: int, labels: Sequence[str]
) -> tuple[NDArray[np.intp], ...]:
    """The images of k folds, or of one fold for each group where there are fewer."""
    shares = deal(order, groups, min(k, len(groups)), labels)
    return tuple(np.sort(np.concatenate([groups[group] for group in share])) for share in shares)
