"""What a fit will do and about how long it takes, before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from amiss.arrangement import leave_out_copies, plan_fit, recipe_for
from amiss.contamination import JUDGE, left_out
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.core.survey import survey
from amiss.core.words import about
from amiss.data.dataset import join_origins
from amiss.evaluation.benchmark.measured import measured
from amiss.registry import create
from amiss.splitting import Folds

if TYPE_CHECKING:
    from amiss.data import Dataset
    from amiss.recipe import Recipe

SIDE = 256
"""Height and width of the images with which presets are measured."""

LOOKED = 100
"""Good images from which copies are not looked for before a fit: below, reading them all takes a second or two."""


def forecast(dataset: Dataset, recipe: Recipe, apart: Dataset | None = None) -> list[str]:
    """Two sentences for a person: what is learned from what, and about how long.

    Args:
        dataset: Its good images.
        recipe: What is asked for.
        apart: Good images that calibrate, where others learn.

    Raises:
        CalibrationError: Too few good images for the rule's promise.
        DataError: They cannot be divided.
        InputError: An unknown method, preset or hyper-parameter, or images without the labels that it needs.
    """
    images, origins, learn, copies = _without_copies(dataset, recipe, apart)
    recipe = recipe_for(recipe, images, origins, learn)
    detector = create(recipe.method, recipe.preset, **recipe.settings)
    detector.check_hyperparameters()
    _, plan = plan_fit(detector.card, recipe, images, origins, learn, copies)
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
    folds = 0
    if recipe.contamination is not None:
        folds = min(Folds().k, len(plan.learn))
        count = left_out(recipe.contamination, len(plan.learn))
        how += f" Before that, {JUDGE} learns {folds} times to tell which are the strangest {count}, left out then."
    if len(dataset.normal) + (0 if apart is None else len(apart.normal)) >= LOOKED:
        how += " These counts include any copies; the fit counts each image once."
    count = len(plan.learn) + (0 if plan.folds else len(plan.calibrate))
    share = pieces * size[0] * size[1] / SIDE**2
    return [how, _time(detector.card, recipe, count * fits * share, len(plan.learn) * folds * share)]


def _without_copies(
    dataset: Dataset, recipe: Recipe, apart: Dataset | None
) -> tuple[Images, Sequence[Origin], int | None, int]:
    """All good images, where each is from, how many learn where others were chosen to calibrate, copies left out.

    As a fit sees them, without copies, where finding these takes no time worth speaking of; otherwise all.
    """
    sets = (dataset,) if apart is None else (dataset, apart)
    images, origins = Images.join([each.normal for each in sets]), join_origins(sets)
    learn = None if apart is None else len(dataset.normal)
    if len(images) >= LOOKED:
        return images, origins, learn, 0
    identities = survey(images.with_bits(recipe.bits)).identities
    given, learn = leave_out_copies(images, origins, identities, learn)
    return given.images, given.origins, learn, given.copies


def _time(card: Card, recipe: Recipe, share: float, judged: float) -> str:
    """How long, from what presets took where they were measured, per image of the usual size.

    Args:
        card: The method's.
        recipe: What is asked for.
        share: How many images of the usual size it learns from, all fits together.
        judged: As many, for the method that tells strange ones; 0 without.
    """
    found, judge = measured().get((card.name, recipe.preset)), measured().get((JUDGE, "default"))
    if found is None or judge is None or recipe.settings or card.learning is Learning.GRADIENT:
        return "No timing has been measured for this method; each step reports its progress."
    each = zip(found.fit_ms_per_image, judge.fit_ms_per_image, strict=True)
    low, high = (about((share * ms + judged * more) / 1000).removeprefix("about ") for ms, more in each)
    span = low if low == high else f"{low} to {high}"
    return f"That took {span} where it was measured ({found.hardware}); images seen before take less."
