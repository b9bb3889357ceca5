"""How a fit arranges its images, which learn and which calibrate, and what is refused before anything is learned."""

from __future__ import annotations

from collections.abc import Sequence

from amiss.calibration import shown_classes
from amiss.core.card import Card, Learning, LearnsFrom
from amiss.core.classes import class_numbers, find_classes
from amiss.core.errors import CalibrationError, InputError
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.core.rule import Rule
from amiss.core.survey import Distinct, distinct, first_of_each
from amiss.core.tiling import Tiling
from amiss.recipe import Recipe
from amiss.splitting import CalibrationPlan, count_parts, plan_apart, plan_calibration, rule_for


def check_learnable(card: Card, images: Images, tiling: Tiling | None, *, apart: bool = False) -> None:
    """Refuse at once images from which this method cannot learn, or cannot be calibrated.

    Args:
        card: The method's.
        images: What it is to learn from.
        tiling: How images are cut, or None.
        apart: Whether it is calibrated on other images, which are good.

    Raises:
        InputError: It learns classes, and the images have no labels of them, or are to be cut into tiles.
        CalibrationError: It learns from unlabelled images, from which no rate of false alarms can be promised.
    """
    if card.learns_from is LearnsFrom.UNLABELLED and not apart:
        raise CalibrationError(
            f"{card.name} learns from unlabelled images: nobody knows which of them are good, so they cannot calibrate "
            "a rule; give good images for it, with --calibrate-on or calibrate_on"
        )
    if card.learns_from is LearnsFrom.CLASSES:
        find_classes(images)
        if tiling is not None:
            raise InputError(f"images must be resized as a whole for {card.name}, which tells classes, got tiles")


def leave_out_copies(
    images: Images, origins: Sequence[Origin], identities: Sequence[str], learn: int | None
) -> tuple[Distinct, int | None]:
    """The same images without their copies, and how many of them learn where others were chosen to calibrate.

    Args:
        images: Those that are learned from, and after them those that calibrate where these were chosen.
        origins: Origin of each image, or nothing.
        identities: Of each image; copies have the same.
        learn: How many learn where others were chosen to calibrate; otherwise None.

    Raises:
        DataError: Copies have different labels.
        InputError: Not one origin per image.
    """
    given = distinct(images, origins, identities)
    return given, None if learn is None else int((first_of_each(identities) < learn).sum())


def recipe_for(recipe: Recipe, images: Images, origins: Sequence[Origin], learn: int | None) -> Recipe:
    """What a recipe asks for with so many parts to learn from, see `Recipe.for_parts`; arguments as above."""
    return recipe.for_parts(count_parts(len(images) if learn is None else learn, origins[:learn]))


def plan_fit(
    card: Card, recipe: Recipe, images: Images, origins: Sequence[Origin], learn: int | None, copies: int = 0
) -> tuple[Rule, CalibrationPlan]:
    """The rule of a fit, and which images learn and which calibrate.

    Args:
        card: The method's. Of one that learns classes, some images of each class learn; of one that learns nothing, all
            images calibrate.
        recipe: What is asked for.
        images: Those that are learned from, and after them those that calibrate where these were chosen.
        origins: Origin of each image, or nothing.
        learn: How many learn where others were chosen to calibrate; otherwise None.
        copies: How many copies were left out before; said where too few images are left.

    Raises:
        CalibrationError: Too few parts or lots for the rule's promise, or too few of a class for one of each class.
        DataError: The images cannot be divided.
        InputError: A promise for each class of a method that learns none, or images of other classes that calibrate.
    """
    try:
        return _plan_fit(card, recipe, images, origins, learn)
    except CalibrationError as error:
        if copies == 0:
            raise
        were = "1 copy was" if copies == 1 else f"{copies} copies were"
        raise CalibrationError(f"{error} Before that, {were} left out: the same image again is no evidence.") from None


def _plan_fit(
    card: Card, recipe: Recipe, images: Images, origins: Sequence[Origin], learn: int | None
) -> tuple[Rule, CalibrationPlan]:
    """As `plan_fit`, of images without copies."""
    rule, count, future = recipe.make_rule(), len(images), recipe.future
    classes: tuple[str, ...] = ()
    if card.learns_from is LearnsFrom.CLASSES:
        classes = find_classes(images if learn is None else images.subset(range(learn)))
        class_numbers(images.labels, classes)
    if learn is not None:
        plan = plan_apart(learn, count - learn, rule, origins, future)
    elif card.learning is Learning.NONE:
        rule = rule_for(rule, count, origins)
        plan = plan_apart(0, count, rule, origins, future)
    else:
        rule = rule if classes else rule_for(rule, count, origins)
        labels = images.labels if classes else ()
        plan = plan_calibration(count, recipe.calibration, rule, recipe.seed, origins, future, labels=labels)
    shown_classes(rule, images, plan, classes)
    return rule, plan
