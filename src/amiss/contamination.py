"""Good images of which some may be defective: the strangest of them do not learn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from amiss.core.card import Card, Learning, LearnsFrom
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.core.progress import Progress, inside, silent
from amiss.recipe import Recipe
from amiss.registry import create
from amiss.runtime import Tiles
from amiss.splitting import CalibrationPlan

JUDGE = "patchcore"
"""The method that tells how strange an image is, whatever learns in the end: it is quick, and a few defects among many
images disturb it little."""

NAMED = 3
"""Images that the note names."""


def check_contamination(card: Card, recipe: Recipe) -> None:
    """Refuse a contamination for a method that does not learn from good images.

    Raises:
        InputError: It does not.
    """
    if recipe.contamination is None:
        return
    if card.learning is Learning.NONE or card.learns_from is not LearnsFrom.NORMAL:
        what = "nothing" if card.learning is Learning.NONE else str(card.learns_from)
        raise InputError(
            f"contamination must be left out for {card.name}, which learns from {what}: only among good images can the "
            "strangest be taken for defective"
        )


def left_out(contamination: float, n: int) -> int:
    """How many of n images do not learn: that share of them, rounded up, but never all.

    Example:
        >>> left_out(0.1, 168), left_out(0.07, 100), left_out(0.4, 2)
        (17, 7, 1)
    """
    return min(math.ceil(round(contamination * n, 6)), n - 1)


def leave_out_strangest(
    plan: CalibrationPlan,
    images: Images,
    recipe: Recipe,
    origins: Sequence[Origin] = (),
    tiles: Tiles | None = None,
    progress: Progress = silent,
) -> tuple[CalibrationPlan, NDArray[np.intp]]:
    """The same plan without the strangest of the images that would learn, and these, the strangest first.

    Each image is scored in five folds by a detector that has not seen it. What calibrates stays as it is, and has no
    part in the choice where it is held out, so a promise about images like those that calibrate still holds. Where
    folds calibrate, they have taken part in it.

    Source: after Yoon, Sohn, Li, Arik, Lee and Pfister, "Self-supervise, refine, repeat", TMLR 2022, who leave out
    what detectors of other parts of the images find strange.

    Args:
        plan: Which images learn and which calibrate.
        images: With a size, or whole images when `tiles` are given.
        recipe: Its contamination says how many; its filters of scores apply.
        origins: Origin of each image, or nothing: images of one lot, or part, are scored by what has seen none of them.
        tiles: The tiles of the images.
        progress: See `amiss.core.progress`.

    Raises:
        DataError: Fewer than two images learn, or all of them show one part.

    Cost:
        Five fits of patchcore.
    """
    if recipe.contamination is None:
        return plan, np.array([], np.intp)
    from amiss.folds import Lab, scores_by_others  # torch, which whoever forecasts a fit does not need

    learn = plan.learn
    lab = Lab(create(JUDGE), recipe.seed, recipe.device, inside(progress, "contamination"))
    scores, _ = scores_by_others(lab, images, learn, recipe.make_score_filters(), origins, tiles)
    strangest = learn[np.argsort(-scores, kind="stable")[: left_out(recipe.contamination, len(learn))]]
    return replace(plan, learn=np.setdiff1d(learn, strangest)), strangest


def describe_left_out(names: Sequence[str], strangest: NDArray[np.intp], kept: int) -> tuple[str, ...]:
    """A note of what did not learn; nothing where all did.

    Args:
        names: Of all images.
        strangest: Those that did not learn, the strangest first.
        kept: How many learned.
    """
    if len(strangest) == 0:
        return ()
    count = f"{len(strangest)} of {kept + len(strangest)} images to learn from"
    left = f"{count} {'was' if len(strangest) == 1 else 'were'} left out as the strangest to {JUDGE}"
    shown = ", ".join(names[index] for index in strangest[:NAMED])
    more = f" and {len(strangest) - NAMED} more" if len(strangest) > NAMED else ""
    return (
        f"{left}, as contamination asked: {shown}{more}. Images that calibrate were not sorted, and each defective one "
        "among them raises the threshold: calibrate on images that somebody has looked at.",
    )
