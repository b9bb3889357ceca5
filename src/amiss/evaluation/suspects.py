"""Which good images look strange to a detector that has learned from the others: for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.card import LearnsFrom
from amiss.core.errors import InputError
from amiss.core.extras import needs_fit
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.core.progress import Progress, silent
from amiss.core.survey import distinct, survey
from amiss.recipe import Recipe

FAR = 3.0
"""Interquartile ranges above the upper quartile from which a score is far out (Tukey 1977), on the scale of logarithms:
scores are positive and skewed."""


@dataclass(frozen=True)
class Suspects:
    """Good images, the strangest first.

    Args:
        method: That scored them.
        folds: Each was scored by a detector that had learned from the other folds.
        images: All of them, without copies, the strangest first.
        scores: Their raw image scores, falling, (N,).
        copies: How many images were left out, being the same bytes as others.
    """

    method: str
    folds: int
    images: Images
    scores: NDArray[np.float32]
    copies: int

    @property
    def ratios(self) -> NDArray[np.float64]:
        """Each score as a multiple of the median, (N,); NaN where the median is 0."""
        median = float(np.median(self.scores))
        return self.scores.astype(np.float64) / (median if median > 0 else np.nan)

    @property
    def far_out(self) -> int:
        """How many of the first are so far above the others that they should be looked at; see `FAR`."""
        logs = np.log(np.maximum(self.scores.astype(np.float64), np.finfo(np.float32).tiny))
        low, high = np.quantile(logs, [0.25, 0.75])
        return int((logs > high + FAR * (high - low)).sum())

    def statement(self) -> str:
        """What was done and found, for a person."""
        n = len(self.scores)
        copies = f" Copies left out: {self.copies}." if self.copies else ""
        return (
            f"{n} good images, each scored by {self.method} that had learned from the other {self.folds - 1} of "
            f"{self.folds} folds; {self.far_out} lie far above the rest. Strange is not defective: look at the first "
            f"ones, and take out those that do not belong.{copies}"
        )

    def summary(self) -> dict[str, Any]:
        """As plain JSON values."""
        rows = zip(self.images.names, self.scores, self.ratios, strict=True)
        return {
            "method": self.method,
            "folds": self.folds,
            "n": len(self.scores),
            "copies": self.copies,
            "far_out": self.far_out,
            "images": [
                {"name": name, "score": float(score), "ratio": None if np.isnan(ratio) else round(float(ratio), 4)}
                for name, score, ratio in rows
            ],
        }


def find_suspects(
    images: Images, recipe: Recipe, *, origins: Sequence[Origin] = (), progress: Progress = silent
) -> Suspects:
    """Score every image by a detector that has not seen it, in folds, and sort them.

    An image that does not belong is strange to a detector that never saw it, unless many of its kind are among the
    others.

    Args:
        images: Those that are taken for good.
        recipe: Which method, how large, and so on. Its rule, calibration and future play no part.
        origins: Where each comes from, or nothing: images of one lot, or part, are never divided.
        progress: See `amiss.core.progress`.

    Raises:
        DataError: Fewer than two images, or all of one part.
        InputError: A method whose scores are not those of normal images against strange ones, or filters of maps
            for one without maps.
        ImageError: An image cannot be used.
        MissingExtraError: torch is not installed.
    """
    with needs_fit("learning"):
        from amiss.fitting import check_filters
        from amiss.folds import Lab, scores_by_others
        from amiss.registry import create, find_method
    from amiss.runtime import Tiles

    if (learns := find_method(recipe.method).card.learns_from) is not LearnsFrom.NORMAL:
        raise InputError(f"the method must learn from normal images, got {recipe.method}, which learns from {learns}")
    check_filters(recipe, None, images)
    images = images.with_bits(recipe.bits)
    found = survey(images, progress).all_usable()
    given = distinct(images, origins, found.identities)
    images = given.images
    side, tiling = recipe.make_input()
    tiles = None if tiling is None else Tiles(images, tiling, progress)
    lab = Lab(create(recipe.method, recipe.preset, **recipe.settings), recipe.seed, recipe.device, progress)
    seen = images.resized(side) if tiles is None else images
    everyone = np.arange(len(images))
    scores, folds = scores_by_others(lab, seen, everyone, recipe.make_score_filters(), given.origins, tiles)
    order = np.argsort(-scores, kind="stable")
    return Suspects(lab.detector.card.name, folds, images.subset(order), scores[order], given.copies)
