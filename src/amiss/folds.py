"""How a detector learns: once, and in folds, so that each image is scored by one that has not seen it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.core.progress import Progress, inside, silent
from amiss.detectors.detector import Detector, TorchScorer
from amiss.device import AUTO
from amiss.features.on_runtime import on_runtime
from amiss.postprocess import ScoreFilter, apply_score_filters
from amiss.runtime import Tiles
from amiss.scoring import score_image
from amiss.splitting import CalibrationPlan, Folds, hint_at_so_few, plan_folds


@dataclass(frozen=True)
class Lab:
    """A detector, and how it learns: the same way in each fold and in the end.

    Args:
        detector: Fitted anew each time.
        seed: Random seed of learning.
        device: Where gradient methods learn.
        progress: See `amiss.core.progress`.
        known: What it has learned before, and from how many images: then it takes in those of each fit beside them.
    """

    detector: Detector
    seed: int = 0
    device: str = AUTO
    progress: Progress = silent
    known: tuple[Mapping[str, Tensor], int] | None = None

    def fit(self, images: Images, checkpoint: Path | None = None, *, number: int = 0, fits: int = 1) -> None:
        """Learn from these images: fit `number`, from 0 on, of so many that each take about as long."""
        progress = self.within(number, fits)
        if self.known is None:
            self.detector.fit(images, seed=self.seed, progress=progress, checkpoint=checkpoint, device=self.device)
        else:
            state, count = self.known
            self.detector.load_state(state).update(images, count, seed=self.seed, progress=progress)
        if fits > 1:
            self.progress("fits", number + 1, fits)

    def within(self, number: int, fits: int) -> Progress:
        """How a stage of one of several fits is reported."""
        return inside(self.progress, f"fit {number + 1} of {fits}") if fits > 1 else self.progress


def seen_by(resized: Images, tiles: Tiles | None, chosen: NDArray[np.intp]) -> Images:
    """What the detector sees of some images: each resized, or their tiles."""
    return resized.subset(chosen) if tiles is None else tiles.of(chosen)


def fold_scores(
    lab: Lab,
    images: Images,
    plan: CalibrationPlan,
    score_filters: tuple[ScoreFilter, ...] = (),
    checkpoint: Path | None = None,
    tiles: Tiles | None = None,
    *,
    more: int = 0,
) -> NDArray[np.float32]:
    """Image scores (N,) of every normal image by a detector that did not see it. In torch: none of these is deployed.

    Args:
        lab: Fitted anew for each fold.
        images: With a size, or whole images when `tiles` are given.
        plan: Its folds.
        score_filters: Applied to the scores.
        checkpoint: See `amiss.fit`.
        tiles: The tiles of the images.
        more: How many fits come after those of the folds, for the progress.
    """
    detector, fits = lab.detector, len(plan.folds) + more
    normal = np.zeros(len(images), np.float32)
    for number, fold in enumerate(plan.folds):
        others = np.setdiff1d(plan.learn, fold)
        own = None if checkpoint is None else checkpoint / f"fold-{number + 1}"
        with hint_at_so_few(plan, len(others)):
            lab.fit(seen_by(images, tiles, others), own, number=number, fits=fits)
        progress = lab.within(number, fits)
        if tiles is None:
            scores = detector.score(images.subset(fold), progress=progress)
            normal[fold] = apply_score_filters(scores, score_filters).image
        else:
            normal[fold] = _score_whole(detector, images, tiles, fold, score_filters, progress)
    return normal


def scores_by_others(
    lab: Lab,
    images: Images,
    chosen: NDArray[np.intp],
    score_filters: tuple[ScoreFilter, ...] = (),
    origins: Sequence[Origin] = (),
    tiles: Tiles | None = None,
) -> tuple[NDArray[np.float32], int]:
    """Image scores (len(chosen),) of some images, each by a detector that has learned from other folds of these.

    Args:
        lab: Fitted anew for each fold; its seed draws them.
        images: All images, with a size, or whole images when `tiles` are given.
        chosen: Which of them; nothing is learned from others.
        score_filters: Applied to the scores.
        origins: Origin of each of all images, or nothing: images of one lot, or part, are never divided.
        tiles: The tiles of the images.

    Returns:
        The scores, and how many folds there were: five, or one for each part where there are fewer.

    Raises:
        DataError: Fewer than two images, or all of one part.
    """
    plan = plan_folds(len(chosen), Folds().k, lab.seed, tuple(origins[index] for index in chosen) if origins else ())
    plan = replace(plan, learn=chosen, calibrate=chosen, folds=tuple(chosen[fold] for fold in plan.folds))
    return fold_scores(lab, images, plan, score_filters, None, tiles)[chosen], len(plan.folds)


def _score_whole(
    detector: Detector,
    images: Images,
    tiles: Tiles,
    chosen: NDArray[np.intp],
    score_filters: tuple[ScoreFilter, ...],
    progress: Progress,
) -> NDArray[np.float32]:
    """Image scores of whole images from their tiles, in torch, (len(chosen),)."""
    scorer = TorchScorer(detector, (tiles.tiling.tile, tiles.tiling.tile))
    names, found = images.names, []
    with on_runtime(detector, tiles.of(chosen), worth=detector.worth):
        for number in chosen:
            scores = score_image(scorer, images[int(number)], tiles.tiling, score_filters, names[number])
            found.append(scores.image)
            progress("scoring", len(found), len(chosen))
    return np.concatenate(found)
