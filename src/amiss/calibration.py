"""What becomes of the scores of calibration images: a calibrated rule, and what an artefact says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from amiss.core.classes import class_numbers
from amiss.core.errors import CalibrationError, InputError
from amiss.core.images import Images
from amiss.core.lots import NEW_LOTS, THESE_LOTS, Lots
from amiss.core.origin import Origin
from amiss.core.products import Products, find_products, only_product
from amiss.core.progress import Progress
from amiss.core.rule import Rule
from amiss.core.scores import Scores
from amiss.record import Calibration, Component, Recent, Variance
from amiss.rules import EachClass
from amiss.rules.variance import between_lots, components, normal_scores
from amiss.splitting import ALTERED, CalibrationPlan, count_classes, read_future, rule_for


def change_future(lots: Lots | None, future: str | None) -> Lots | None:
    """The lots of scores that are known already, under a promise for other parts.

    Scores that calibrated for new lots can calibrate for these lots. The other way round the detector may have learned
    from the same lots.

    Raises:
        InputError: The scores cannot support that future.
    """
    if read_future(future) is None or (lots is not None and future == lots.future):
        return lots
    if lots is None or future == NEW_LOTS:
        why = "no lots are known" if lots is None else "the model was calibrated for further parts of its own lots"
        raise InputError(
            f"future must be one that the stored scores support, got {future!r}: {why}. Calibrate on images of lots "
            "that the model has not learned from"
        )
    return Lots(lots.numbers, THESE_LOTS)


class Calibrated(NamedTuple):
    """A calibrated rule, what an artefact says of its scores, and the product of each where products are stated."""

    rule: Rule
    calibration: Calibration
    products: Products | None


def calibrate_rule(
    rule: Rule,
    plan: CalibrationPlan,
    scores: NDArray[np.float32],
    origins: Sequence[Origin],
    tiles: tuple[int, int] | None,
    score_filters: tuple[Component, ...],
    copies: int,
    classes: Sequence[int] = (),
) -> Calibrated:
    """Calibrate a rule on the scores of normal images.

    Args:
        rule: Not calibrated.
        plan: Which images they are of, by part and lot.
        scores: One per image, (N,).
        origins: Where every image comes from, or nothing.
        tiles: See `amiss.record.Calibration`.
        score_filters: Those that the scores went through.
        copies: How many images were left out, being the same bytes as others.
        classes: The class that every image shows, or nothing.
    """
    largest, lots = largest_of_each(scores, plan.parts), plan.lots
    if len(classes):
        _, first = np.unique(plan.parts, return_index=True)
        largest = replace(largest, classes=np.array(classes, np.int64)[plan.calibrate[first]])
    products = find_products(largest.image, plan.calibrate, plan.parts, origins, lots)
    calibration = Calibration(
        kind=plan.kind,
        images=len(scores),
        lots=None if lots is None else lots.count,
        future=None if lots is None else lots.future,
        variance=divide_variance(scores, plan.parts, lots),
        tiles=tiles,
        score_filters=score_filters,
        copies=copies,
        products={} if products is None else products.counts,
    )
    return Calibrated(rule.calibrate(largest, lots), calibration, products)


def shown_classes(rule: Rule, images: Images, plan: CalibrationPlan, classes: Sequence[str]) -> Sequence[int]:
    """The class that each image shows, where the rule promises a rate for each; otherwise nothing.

    Raises:
        CalibrationError: The images have no labels, or too few of a class calibrate.
        InputError: The method knows no classes, or other ones.
    """
    if not isinstance(rule, EachClass):
        return ()
    if not classes:
        raise InputError("each_class promises a rate for each class, and this method learns none; take conformal")
    if not images.labels:
        raise CalibrationError("each_class needs the class of each good image: labels, or a folder for each class")
    numbers = class_numbers(images.labels, classes)
    counts = count_classes(images.labels, plan)
    rule.check_classes({name: counts.get(name, 0) for name in classes})
    return numbers


def weigh(
    found: Calibrated,
    normal: NDArray[np.float32],
    parts: NDArray[np.intp],
    images: Images,
    recent: Images,
    bits: int | None,
    progress: Progress,
) -> Calibrated:
    """The same with what each calibration image counts for among images that look like recent ones.

    Args:
        found: Calibrated on these images.
        normal: Score of each, (N,).
        parts: The part that each shows, (N,).
        images: They.
        recent: See `Inspector.calibrate`.
        bits: Of the values of 16-bit images, see `amiss.record.Learned.bits`.
        progress: See `amiss.core.progress`.

    Raises:
        CalibrationError: Too few images, nothing in common, or a rule that counts all alike.
        ImageError: An image cannot be used.
        InputError: Several images of one part.
    """
    from amiss.monitoring.shift import measure_shift

    if found.rule.n < len(parts):
        raise InputError(
            f"weighted calibration takes one image of each part, got {len(parts)} images of {found.rule.n} parts; give "
            "one of each"
        )
    shift = measure_shift(images.with_bits(bits), recent.with_bits(bits), progress)
    facts = Recent(images=shift.recent, moved={name: round(by, 3) for name, by in shift.moved.items()})
    rule = found.rule.weighted(shift.weights[np.argsort(normal)])
    return found._replace(rule=rule, calibration=found.calibration.model_copy(update={"recent": facts}))


def change_rule(
    rule: Rule, present: Calibrated, future: str | None, product: str | None, classes: Sequence[str] = ()
) -> Calibrated:
    """Calibrate another rule on scores that are known already.

    Args:
        rule: Not calibrated.
        present: What is calibrated on the scores so far.
        future: See `change_future`.
        product: The product whose scores count; None for those of all.
        classes: Those that the method has learned: a promise for each needs scores of every one.

    Raises:
        CalibrationError: The scores cannot support the rule's promise, or are weighted and it counts all alike, or are
            of altered copies of images that were learned from.
        InputError: They cannot support that future, or are of no such product.
    """
    if isinstance(rule, EachClass) and present.rule.classes is None:
        raise CalibrationError(
            "each_class needs the class of each calibration image, and none is stored: learn a method that tells "
            "classes, or calibrate on images in a folder for each class"
        )
    if present.calibration.kind == ALTERED and rule.tells_rates:
        raise CalibrationError(
            f"{rule.name}: the stored scores are of altered copies of the images that were learned from, and say "
            "nothing about the rate among other good parts; calibrate on good images that the model has not seen"
        )
    lots, products = change_future(present.rule.lots, future), present.products
    scores = Scores(present.rule.normal, classes=present.rule.classes)
    changed: dict[str, Any] = {"future": None if lots is None else lots.future}
    weights = present.rule.weights
    if product is not None and weights is not None:
        raise InputError(f"product must be left out where scores are weighted, got {product!r}; choose it before")
    if product is not None:
        scores, lots, products = only_product(products, product, scores, lots)
        count = None if lots is None else lots.count
        changed |= {"products": products.counts, "images": len(scores), "lots": count, "variance": None}
    if isinstance(rule, EachClass) and scores.classes is not None:
        found = np.bincount(scores.classes, minlength=len(classes))
        rule.check_classes({name: int(count) for name, count in zip(classes, found, strict=True)})
    made = rule_for(rule, len(scores)).calibrate(scores, lots)
    made = made if weights is None else made.weighted(weights)
    return Calibrated(made, present.calibration.model_copy(update=changed), products)


def divide_variance(scores: NDArray[np.float32], parts: NDArray[np.intp], lots: Lots | None) -> Variance | None:
    """How the variance of calibration scores divides between lots, parts and images; of the normal scores of ranks.

    Args:
        scores: One per image, (N,).
        parts: The part that each shows, (N,).
        lots: The lot of each part.

    Returns:
        None where it cannot be told: lots unknown, one lot only, or one part in each.
    """
    if lots is None:
        return None
    found = between_lots(normal_scores(largest_of_each(scores, parts).image), lots.numbers)
    shares = np.array(components(normal_scores(scores), parts, lots.numbers[parts]))
    if found is None or not shares.sum() > 0:
        return None
    lot, part, image = (round(float(share), 4) for share in shares / shares.sum())
    return Variance(
        lots=lot,
        parts=part,
        images=image,
        correlation=round(found.share, 4),
        low=round(found.low, 4),
        high=round(found.high, 4),
        effective=round(found.effective, 1),
    )


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
