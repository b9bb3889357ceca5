"""From normal images to a calibrated inspector: hold out, learn, export, calibrate on the exported graph."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from amiss.arrangement import check_learnable, leave_out_copies, plan_fit, recipe_for
from amiss.artefact import Golden, Parts, SeenImages
from amiss.calibration import calibrate_rule
from amiss.contamination import check_contamination, describe_left_out, leave_out_strangest
from amiss.core.card import LearnsFrom
from amiss.core.classes import class_numbers, find_classes
from amiss.core.errors import InputError, ParityError
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.core.progress import Progress, silent
from amiss.core.rule import Rule
from amiss.core.scores import Scores
from amiss.core.survey import survey
from amiss.core.tiling import Tiling
from amiss.detectors.detector import STRETCH, Detector, TorchScorer, stretched
from amiss.device import seeded
from amiss.export import export_onnx
from amiss.features import FeatureExtractor
from amiss.features.clip import ImageTower
from amiss.features.teacher import Teacher
from amiss.folds import Lab, fold_scores, seen_by
from amiss.inspector import Inspector
from amiss.postprocess import ScoreFilter
from amiss.recipe import Recipe
from amiss.record import Learned, plain
from amiss.registry import create
from amiss.runtime import Graph, Tiles
from amiss.scoring import Scorer, score_images
from amiss.splitting import CalibrationPlan, check_apart
from amiss.synthesis.altered import altered_copies
from amiss.tensors import pack_state

KNOWN = 16
"""Learned images that are scored for it."""

FEWER = "There are fewer than 9 good images to learn from, too few for an ensemble: patchcore learned, preset few_shot."
"""Said where `Recipe.for_parts` chose another method."""

TOLERANCE = 1e-3
"""How far a golden score may move on another machine, as a share of the largest golden score."""


Rate = Callable[[bytes, Images, Progress], NDArray[np.float32]]
"""Image scores (N,) of whole images by a graph, filtered as the recipe says."""


def fit_inspector(
    images: Images,
    recipe: Recipe,
    *,
    calibrate_on: Images | None = None,
    method: type[Detector] | None = None,
    origins: Sequence[Origin] = (),
    checkpoint: Path | None = None,
    rate: Rate | None = None,
    progress: Progress = silent,
) -> Inspector:
    """Learn and calibrate from normal images, see `amiss.fit`.

    Args:
        images: Normal images only. Copies of one, pixel by pixel, count once and never come on both sides of a split.
        recipe: What is asked for.
        calibrate_on: See `amiss.fit`; `origins`, where they are given, go on with those of these images.
        method: The class that its method means, where it cannot be imported by that address.
        origins: See `amiss.fit`.
        checkpoint: See `amiss.fit`.
        rate: Who scores the images that calibrate, where that is not this process.
        progress: See `amiss.core.progress`.
    """
    made = _arrange(images, recipe, calibrate_on, method, origins)
    images, recipe, detector = made.images, made.recipe, made.detector
    tiling, filters = recipe.make_input()[1], recipe.make_score_filters()
    tiles = None if tiling is None else Tiles(images, tiling, progress)
    seen = made.resized if tiles is None else images
    plan, strangest = leave_out_strangest(made.plan, seen, recipe, made.origins, tiles, progress)
    lab = Lab(detector, recipe.seed, recipe.device, progress)
    normal = fold_scores(lab, seen, plan, filters, checkpoint, tiles, more=1) if plan.folds else None
    lab.fit(seen_by(made.resized, tiles, plan.shown), checkpoint, number=len(plan.folds), fits=len(plan.folds) + 1)
    pixels = _golden(seen_by(made.resized, tiles, plan.calibrate[:1]))
    scorer, weights, graph, golden = deploy(detector, pixels, progress)
    if normal is None:
        others = None if graph is None or rate is None else partial(rate, graph)
        normal = normal_scores(scorer, images, plan, tiling, filters, progress, others)
    used, shows = None if tiles is None else tiles.range(plan.calibrate), _shows(images, detector)
    calibrated = calibrate_rule(made.rule, plan, normal, made.origins, used, recipe.score_filters, made.copies, shows)
    notes = made.notes + describe_left_out(images.names, strangest, len(plan.learn)) + detector.remarks()
    if detector.card.learns_from is LearnsFrom.NORMAL and not plan.altered:
        notes += _by_heart([*score_images(scorer, images.subset(plan.learn[:KNOWN]), tiling, filters)], normal)
    return Inspector(
        scorer=scorer,
        rule=calibrated.rule,
        calibration=calibrated.calibration,
        learned=_learned(detector, recipe, len(plan.learn), notes),
        parts=Parts(weights, golden, _seen_images(made.identities, plan), graph),
        score_filters=filters,
        mask_filters=recipe.make_mask_filters(),
        products=calibrated.products,
    )


@dataclass(frozen=True)
class _Arranged:
    """What a fit learns from and is calibrated on, before anything is learned.

    Attributes:
        images: Those that learn and those that calibrate, without copies.
        resized: The same at the size of the input.
        origins: Of each, or nothing.
        identities: Of each.
        copies: How many were left out.
        recipe: What is asked for of so many parts.
        detector: That of the recipe, which has not learned yet.
        rule: See `plan_fit`.
        plan: See `plan_fit`.
        notes: What the model says about its images.
    """

    images: Images
    resized: Images
    origins: Sequence[Origin]
    identities: Sequence[str]
    copies: int
    recipe: Recipe
    detector: Detector
    rule: Rule
    plan: CalibrationPlan
    notes: tuple[str, ...]


def _arrange(
    images: Images,
    recipe: Recipe,
    calibrate_on: Images | None,
    method: type[Detector] | None,
    origins: Sequence[Origin],
) -> _Arranged:
    """Look at all images, leave out copies, and settle which learn; arguments as of `fit_inspector`."""
    side, tiling = recipe.make_input()
    detector = _checked(recipe, method, images, apart=calibrate_on is not None)
    learn = None if calibrate_on is None else len(images)
    images = images if calibrate_on is None else Images.join([images, calibrate_on])
    plan_fit(detector.card, recipe, images, origins, learn)  # refused at once
    found = survey(images.with_bits(recipe.bits)).all_usable()  # quick beside learning, so without a line of its own
    given, learn = leave_out_copies(images, origins, found.identities, learn)
    images, origins = given.images.with_bits(recipe.bits), given.origins
    resized = images.resized(side)
    asked, recipe = recipe, recipe_for(recipe, images, origins, learn)
    detector = _detector(recipe, method)
    rule, plan = plan_fit(detector.card, recipe, images, origins, learn, given.copies)
    check_apart(plan, () if learn is None else origins)
    notes = found.notes(side if tiling is None else None, recipe.bits) + ((FEWER,) if recipe != asked else ())
    return _Arranged(images, resized, origins, given.identities, given.copies, recipe, detector, rule, plan, notes)


def _checked(recipe: Recipe, method: type[Detector] | None, images: Images, *, apart: bool) -> Detector:
    """The detector of a recipe that can learn from these images, or is refused at once."""
    detector = _detector(recipe, method)
    check_learnable(detector.card, images, recipe.make_input()[1], apart=apart)
    check_contamination(detector.card, recipe)
    check_filters(recipe, method, images)
    return detector


def check_filters(recipe: Recipe, method: type[Detector] | None, images: Images) -> None:
    """Refuse filters of maps for a method without maps before anything is learned.

    Whether it has any may depend on its hyper-parameters, so the card is that of a detector that is built.

    Args:
        recipe: What is asked for.
        method: The class that its method means, where it cannot be imported by that address.
        images: What it is to learn from.

    Raises:
        InputError: There are filters, and nothing that they could filter.
    """
    named = ", ".join(one.name for one in (*recipe.score_filters, *recipe.mask_filters))
    if not named:
        return
    built = _detector(recipe, method)
    if built.card.localises:
        built.classes = find_classes(images) if built.card.learns_from is LearnsFrom.CLASSES else ()
        with seeded(recipe.seed, torch.device("cpu")):
            built.build(pretrained=False)
    if not built.card.localises:
        raise InputError(
            f"filters must have a map to work on, got {named} for {built.card.name}, which gives one score per image; "
            "leave them out, or take a method that localises, such as patchwise"
        )


def _detector(recipe: Recipe, method: type[Detector] | None) -> Detector:
    """That of a recipe, which has not learned yet."""
    detector = create(recipe.method if method is None else method, recipe.preset, **recipe.settings)
    if detector.card.exportable:
        detector.worth = 1
    return detector


def _shows(images: Images, detector: Detector) -> Sequence[int]:
    """The class that each image shows, where the detector tells classes."""
    return class_numbers(images.labels, detector.classes) if detector.classes else ()


def normal_scores(
    scorer: Scorer,
    images: Images,
    plan: CalibrationPlan,
    tiling: Tiling | None,
    score_filters: tuple[ScoreFilter, ...],
    progress: Progress,
    others: Callable[[Images, Progress], NDArray[np.float32]] | None,
) -> NDArray[np.float32]:
    """Image scores (N,) of what calibrates, as the deployed detector gives them; of altered copies the largest.

    Others score images where there are any, but copies are made and scored here.
    """
    chosen = images.subset(plan.calibrate)
    if not plan.altered and others is not None:
        return others(chosen, progress)
    if not plan.altered:
        each = score_images(scorer, chosen, tiling, score_filters, progress=progress)
        return np.concatenate([scores.image for scores in each])
    largest = []
    for number, image in enumerate(chosen):
        copies = Images(altered_copies(image, seed=number))
        largest.append(max(float(one.image.max()) for one in score_images(scorer, copies, tiling, score_filters)))
        progress("calibration", number + 1, len(chosen))
    return np.array(largest, np.float32)


def deploy(
    detector: Detector, pixels: NDArray[np.uint8], progress: Progress
) -> tuple[Scorer, bytes, bytes | None, Golden]:
    """The detector as it will run on the line, its weights, its graph, and what it must score.

    Args:
        detector: Has learned.
        pixels: Golden images of the size that it has learned, (N, H, W, 3).
        progress: Reports the stage "export".

    Raises:
        ParityError: The graph does not score as torch does.
    """
    size = (pixels.shape[1], pixels.shape[2])
    torch_scorer = TorchScorer(detector, size)
    scorer: Scorer = torch_scorer
    graph = None
    if detector.card.exportable:
        progress("export", 0, 1)
        graph = export_onnx(detector, size)
        scorer = Graph(graph)
        progress("export", 1, 1)
    scores, wanted = scorer.run(pixels), torch_scorer.run(pixels)
    moved = np.abs(scores.image - wanted.image).max()
    if not scores.has_classes(wanted.classes):
        raise ParityError(f"{detector.card.name}: the exported graph tells other classes than torch")
    if moved > TOLERANCE * np.abs(wanted.image).max():
        raise ParityError(f"{detector.card.name}: the exported graph scores {moved:.3g} differently from torch")
    weights = pack_state({name: tensor.numpy() for name, tensor in detector.state_dict().items()}, graph)
    return scorer, weights, graph, Golden.of(pixels, scores)


def _golden(seen: Images) -> NDArray[np.uint8]:
    """A normal image, the same with a noisy patch, and noise: low, mixed and high scores, (3, H, W, 3)."""
    normal = seen[0]
    noise = np.random.default_rng(0).integers(0, 256, normal.shape, dtype=np.uint8)
    mixed = normal.copy()
    height, width = normal.shape[0] // 4, normal.shape[1] // 4
    mixed[height : 2 * height, width : 2 * width] = noise[:height, :width]
    return np.stack([normal, mixed, noise])


def _seen_images(identities: Sequence[str], plan: CalibrationPlan) -> SeenImages:
    return SeenImages.of(*([identities[index] for index in chosen] for chosen in (plan.learn, plan.calibrate)))


def _learned(detector: Detector, recipe: Recipe, count: int, notes: tuple[str, ...]) -> Learned:
    settings = detector.hyperparameters()
    frozen = [part for part in detector.modules() if isinstance(part, (FeatureExtractor, ImageTower, Teacher))]
    for part in frozen:
        if isinstance(part, (FeatureExtractor, ImageTower)) and "backbone" in settings:
            settings["backbone"] = part.name
    packages = ("numpy", "torch", "onnx", "onnxruntime", "opencv-python-headless")
    size, tiling = recipe.make_input()
    return Learned(
        amiss_version=version("amiss"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        method=detector.card.name,
        hyperparameters=plain("hyper-parameters", settings),
        seed=recipe.seed,
        size=size,
        tiling=tiling,
        learned_from=count,
        weights_name=_joined(part.name.partition("#{")[0] for part in frozen),  # settings have all of it
        weights_licence=_joined(part.licence for part in frozen),
        versions={"python": platform.python_version(), **{name: version(name) for name in packages}},
        tolerance=TOLERANCE,
        classes=detector.classes,
        notes=notes,
        recipe=recipe.to_dict(),
    )


def _by_heart(known: Sequence[Scores], unseen: NDArray[np.float32]) -> tuple[str, ...]:
    """A note where normal images that were not learned from score far higher than those that were."""
    if not known:
        return ()
    before = np.concatenate([scores.image for scores in known])
    least = min(float((scores.image if scores.map is None else scores.map).min()) for scores in known)
    times = stretched(float(np.median(before)), float(np.median(unseen)), least)
    if times <= STRETCH:
        return ()
    return (
        f"Good images that the detector has not learned from score {times:.1f} times as high as those it has "
        "(medians): it knows these by heart. Either parts do not lie at the same place in every image, or the images "
        "are too few for this method; of all methods, patchcore asks for the least of both.",
    )


def _joined(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words)) or "none"
