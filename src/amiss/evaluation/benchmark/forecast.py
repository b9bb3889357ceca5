"""What a fit will do and about how long it takes, before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amiss.core.card import Card, Learning, LearnsFrom
from amiss.core.words import about
from amiss.evaluation.benchmark.measured import measured
from amiss.registry import create
from amiss.splitting import CalibrationPlan, count_parts, plan_apart, plan_calibration, rule_for

if TYPE_CHECKING:
    from amiss.data import Dataset
    from amiss.recipe import Recipe

SIDE = 256
"""Height and width of the images with which presets are measured."""


def forecast(dataset: Dataset, recipe: Recipe, apart: Dataset | None = None) -> list[str]:
    """Two sentences for a person: what is learned from what, and about how long.

    Args:
        dataset: Its good images.
        recipe: What is asked for.
        apart: Good images that calibrate, where others learn.

    Raises:
        CalibrationError: Too few good images for the rule's promise.
        InputError: An unknown method, preset or hyper-parameter.
    """
    recipe = recipe.for_parts(count_parts(len(dataset.normal), dataset.normal_origins))
    detector = create(recipe.method, recipe.preset, **recipe.settings)
    detector.check_hyperparameters()
    plan = _plan(dataset, recipe, apart, detector.card)
    size, tiling = recipe.make_input()
    pixels, pieces = f"resized to {size[0]} x {size[1]} pixels (height x width)", 1
    if tiling is not None:
        height, width, _ = dataset.normal[0].shape
        pieces = len(tiling.corners((height, width), dataset.normal.names[0]))
        pixels = f"in {pieces} tiles each of {size[0]} x {size[1]} pixels"
    fits = len(plan.folds) + 1
    learned = f"{detector.card.name} learns from {len(plan.learn)} good image{'s' * (len(plan.learn) != 1)}, {pixels}"
    if detector.card.learning is Learning.NONE:
        how = f"{detector.card.name} learns nothing; {len(plan.calibrate)} good images, {pixels}, calibrate."
    elif plan.altered:
        how = f"{learned}, and altered copies calibrate."
    elif plan.folds:
        how = f"{learned}; {fits} times, since {fits - 1} folds calibrate."
    else:
        how = f"{learned}, and {len(plan.calibrate)} others calibrate."
    images = len(plan.learn) + (0 if plan.folds else len(plan.calibrate))
    share = images * pieces * fits * size[0] * size[1] / SIDE**2
    return [how, _time(detector.card, recipe, share)]


def _plan(dataset: Dataset, recipe: Recipe, apart: Dataset | None, card: Card) -> CalibrationPlan:
    rule, count, origins = recipe.make_rule(), len(dataset.normal), dataset.normal_origins
    if apart is not None:
        return plan_apart(count, len(apart.normal), rule, future=recipe.future)
    if card.learning is Learning.NONE:
        return plan_apart(0, count, rule_for(rule, count, origins), origins, recipe.future)
    classes = card.learns_from is LearnsFrom.CLASSES
    labels = dataset.normal.labels if classes else ()
    rule = rule if classes else rule_for(rule, count, origins)
    return plan_calibration(count, recipe.calibration, rule, recipe.seed, origins, recipe.future, labels=labels)


def _time(card: Card, recipe: Recipe, share: float) -> str:
    """How long, from what this preset took where it was measured, per image of the usual size."""
    found = measured().get((card.name, recipe.preset))
    if found is None or recipe.settings or card.learning is Learning.GRADIENT:
        return "How long was not measured for it; each step says how far it is."
    low, high = (about(share * ms / 1000).removeprefix("about ") for ms in found.fit_ms_per_image)
    span = low if low == high else f"{low} to {high}"
    return f"That took {span} where it was measured ({found.hardware}); images seen before take less."
