"""From normal images to a calibrated inspector: hold out, learn, export, calibrate on the exported graph."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.artefact import GOLDEN, IMAGES, MODEL, WEIGHTS, Calibration, Component, Record
from amiss.calibration import CalibrationPlan, How, largest_of_each, plan_calibration
from amiss.core.errors import ParityError
from amiss.core.images import Images, Size
from amiss.core.origin import Origin
from amiss.core.progress import Progress, silent
from amiss.core.rule import Rule
from amiss.core.scores import Scores
from amiss.core.tiling import read_input
from amiss.detectors.detector import Detector, TorchScorer
from amiss.device import AUTO
from amiss.export import export_onnx
from amiss.features import FeatureExtractor
from amiss.features.on_runtime import on_runtime
from amiss.features.teacher import Teacher
from amiss.inspector import Inspector, list_images
from amiss.postprocess import MaskFilter, ScoreFilter, apply_score_filters
from amiss.registry import create
from amiss.rules import Conformal
from amiss.runtime import Graph, Tiles
from amiss.scoring import Scorer, score_picture

SQUEEZE = 1.5
"""Change of aspect ratio from which a note is made."""

STRETCH = 3.0
"""Ratio of scores of unseen to learned normal images from which a note is made (decision 15)."""

KNOWN = 16
"""Learned images that are scored for it."""

TOLERANCE = 1e-3
"""How far a golden score may move on another machine, as a share of the largest golden score."""


def fit_inspector(
    images: Images,
    *,
    method: str = "patchcore",
    preset: str = "default",
    settings: Mapping[str, Any] | None = None,
    size: int | Size | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    rule: Rule | None = None,
    calibration: How = "auto",
    origins: Sequence[Origin] = (),
    score_filters: tuple[ScoreFilter, ...] = (),
    mask_filters: tuple[MaskFilter, ...] = (),
    seed: int = 0,
    checkpoint: Path | None = None,
    device: str = AUTO,
    progress: Progress = silent,
) -> Inspector:
    """Learn and calibrate from normal images.

    Args:
        images: Normal images only.
        method: One of `amiss.registry.list_methods`.
        preset: One of the method's presets.
        settings: Hyper-parameters that differ from the preset.
        size: Every picture is resized to this, the whole of it: one number for a square, or (height, width); 256 unless
            pictures are cut into tiles.
        tile: Instead of being resized, every picture is cut into square tiles of this side, in pixels. It must be at
            least that large. The detector learns from tiles and the rule is calibrated on whole pictures.
        overlap: Pixels that neighbouring tiles share, up to half a tile; an eighth of a tile when None.
        rule: A rule without calibration; `Conformal("auto")` when None.
        calibration: Share of the images that is held out to calibrate, in (0, 1); `Folds(k)` or "folds:k"; or "auto":
            0.2, and five folds when there are fewer than 50 images.
        origins: Where each image comes from, or nothing. Lots and parts are then never divided between learning and
            calibration, and n counts parts.
        score_filters: Calibrated together with the detector.
        mask_filters: Applied after the rule.
        seed: Of the hold-out draw and of learning.
        checkpoint: A folder in which training leaves its state as it goes; the same call goes on from there, bit for
            bit on a CPU. Methods that take no gradient steps leave nothing.
        device: Where methods that take gradient steps learn: "cpu", "cuda", "mps", or "auto" for the best there is.
            Calibration runs on the CPU, as the exported graph will.
        progress: See `amiss.core.progress`.

    Raises:
        InputError: An option out of range.
        CalibrationError: Too few images for the rule's promise; raised before anything is learned.
        DivergedError: Training came to a loss that is not finite.
        ImageError: A picture cannot be used; a bad file must not become a model of normality.
    """
    rule = rule or Conformal()
    side, tiling = read_input(size, tile, overlap)
    resized = images.resized(side)
    detector = create(method, preset, **(settings or {}))
    if detector.card.exportable:
        detector.worth = 1
    plan = plan_calibration(len(images), calibration, rule, seed, origins)
    tiles = None if tiling is None else Tiles(images, tiling, progress)
    normal = None
    if plan.folds:
        whole = resized if tiles is None else images
        normal = fold_scores(detector, whole, plan, score_filters, seed, progress, checkpoint, tiles, device)
    learned = _seen(resized, tiles, plan.learn)
    detector.fit(learned, seed=seed, progress=progress, checkpoint=checkpoint, device=device)
    scorer, parts = _deploy(detector, _seen(resized, tiles, plan.calibrate[:1]), progress)
    parts[IMAGES] = list_images(images, plan.learn, plan.calibrate)
    draft = _record(detector, rule, images, plan, side, seed, score_filters, mask_filters, tiles)
    inspector = Inspector(scorer, rule, draft, parts, score_filters, mask_filters)
    if normal is None:
        normal = inspector.image_scores(images.subset(plan.calibrate), progress=progress)
    known = inspector.image_scores(images.subset(plan.learn[:KNOWN])).image
    notes = (*draft.notes, *detector.remarks(), *_by_heart(known, normal.image))
    inspector = replace(inspector, record=draft.model_copy(update={"notes": notes}))
    return inspector._calibrated(rule.calibrate(largest_of_each(normal.image, plan.parts)), draft.calibration)


def _seen(resized: Images, tiles: Tiles | None, chosen: NDArray[np.intp]) -> Images:
    """What the detector sees of some pictures: each resized, or their tiles."""
    return resized.subset(chosen) if tiles is None else tiles.of(chosen)


def fold_scores(
    detector: Detector,
    images: Images,
    plan: CalibrationPlan,
    score_filters: tuple[ScoreFilter, ...],
    seed: int,
    progress: Progress,
    checkpoint: Path | None = None,
    tiles: Tiles | None = None,
    device: str = AUTO,
) -> Scores:
    """Every normal image scored by a detector that did not see it. In torch: these detectors are never deployed.

    Args:
        detector: Fitted anew for each fold.
        images: With a size, or whole pictures when `tiles` are given.
        plan: Its folds.
        score_filters: Applied to the scores.
        seed: Of learning.
        progress: See `amiss.core.progress`.
        checkpoint: See `fit_inspector`.
        tiles: The tiles of the images.
        device: See `fit_inspector`.
    """
    normal = np.zeros(len(images), np.float32)
    for number, fold in enumerate(plan.folds):
        others = np.setdiff1d(plan.learn, fold)
        own = None if checkpoint is None else checkpoint / f"fold-{number + 1}"
        detector.fit(_seen(images, tiles, others), seed=seed, checkpoint=own, device=device)
        if tiles is None:
            normal[fold] = apply_score_filters(detector.score(images.subset(fold)), score_filters).image
        else:
            normal[fold] = _score_whole(detector, images, tiles, fold, score_filters)
        progress("folds", number + 1, len(plan.folds))
    return Scores(normal)


def _score_whole(
    detector: Detector,
    images: Images,
    tiles: Tiles,
    chosen: NDArray[np.intp],
    score_filters: tuple[ScoreFilter, ...],
) -> NDArray[np.float32]:
    """Image scores of whole pictures from their tiles, in torch, (len(chosen),)."""
    scorer = TorchScorer(detector, (tiles.tiling.tile, tiles.tiling.tile))
    names = images.names
    with on_runtime(detector, tiles.of(chosen), worth=detector.worth):
        found = [
            score_picture(scorer, images[int(number)], tiles.tiling, score_filters, names[number]).image
            for number in chosen
        ]
    return np.concatenate(found)


def _deploy(detector: Detector, calibrate: Images, progress: Progress) -> tuple[Scorer, dict[str, bytes]]:
    """The detector as it will run on the line, and the artefact's parts that belong to it."""
    from safetensors.numpy import save as save_arrays
    from safetensors.torch import save as save_tensors

    size = calibrate.size or (0, 0)
    parts = {WEIGHTS: save_tensors({name: t.contiguous() for name, t in detector.state_dict().items()})}
    torch_scorer = TorchScorer(detector, size)
    scorer: Scorer = torch_scorer
    if detector.card.exportable:
        progress("export", 0, 1)
        parts[MODEL] = export_onnx(detector, size)
        scorer = Graph(parts[MODEL])
        progress("export", 1, 1)
    golden = _golden_pictures(calibrate[0])
    scores, wanted = scorer.run(golden), torch_scorer.run(golden)
    moved = np.abs(scores.image - wanted.image).max()
    if moved > TOLERANCE * np.abs(wanted.image).max():
        raise ParityError(f"{detector.card.name}: the exported graph scores {moved:.3g} differently from torch")
    maps = {} if scores.map is None else {"map": scores.map}
    parts[GOLDEN] = save_arrays({"pixels": golden, "image": scores.image, **maps})
    return scorer, parts


def _golden_pictures(normal: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A normal picture, the same with a noisy patch, and noise: low, mixed and high scores, (3, H, W, 3)."""
    noise = np.random.default_rng(0).integers(0, 256, normal.shape, dtype=np.uint8)
    mixed = normal.copy()
    height, width = normal.shape[0] // 4, normal.shape[1] // 4
    mixed[height : 2 * height, width : 2 * width] = noise[:height, :width]
    return np.stack([normal, mixed, noise])


def _record(
    detector: Detector,
    rule: Rule,
    images: Images,
    plan: CalibrationPlan,
    size: Size,
    seed: int,
    score_filters: tuple[ScoreFilter, ...],
    mask_filters: tuple[MaskFilter, ...],
    tiles: Tiles | None,
) -> Record:
    settings = detector.hyperparameters()
    frozen = [part for part in detector.modules() if isinstance(part, (FeatureExtractor, Teacher))]
    for part in frozen:
        if isinstance(part, FeatureExtractor) and "backbone" in settings:
            settings["backbone"] = part.name
    packages = ("numpy", "torch", "onnx", "onnxruntime", "opencv-python-headless")
    return Record(
        amiss_version=version("amiss"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        method=detector.card.name,
        hyperparameters=settings,
        seed=seed,
        size=size,
        tiling=None if tiles is None else tiles.tiling,
        learned_from=len(plan.learn),
        weights_name=_joined(part.name.partition("#{")[0] for part in frozen),  # settings have all of it
        weights_licence=_joined(part.licence for part in frozen),
        versions={"python": platform.python_version(), **{name: version(name) for name in packages}},
        calibration=Calibration(
            kind="folds" if plan.folds else "held out",
            n=plan.n,
            images=len(plan.calibrate),
            lots=plan.lots,
            tiles=None if tiles is None else tiles.range(plan.calibrate),
        ),
        rule=Component(name=rule.name, config=rule.config()),
        alpha=None,  # alpha and threshold are known once the rule is calibrated
        threshold=0.0,
        score_filters=tuple(Component(name=f.name, config=f.config()) for f in score_filters),
        mask_filters=tuple(Component(name=f.name, config=f.config()) for f in mask_filters),
        tolerance=TOLERANCE,
        notes=_notes(images, size) if tiles is None else (),
    )


def _by_heart(known: NDArray[np.float32], unseen: NDArray[np.float32]) -> tuple[str, ...]:
    """A note where normal images that were not learned from score far higher than those that were."""
    before, after = float(np.median(known)), float(np.median(unseen))
    if not 0 < STRETCH * before < after:
        return ()
    return (
        f"Good images that the detector has not learned from score {after / before:.1f} times as high as those it has "
        "(medians): it knows these by heart. Either parts do not lie at the same place in every image, or the images "
        "are too few for this method; patchcore is less demanding.",
    )


def _joined(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words)) or "none"


def _notes(images: Images, size: Size) -> tuple[str, ...]:
    """What a user should know beyond the rule's statement."""
    height, width = images[0].shape[:2]
    squeeze = (height / width) / (size[0] / size[1])
    if max(squeeze, 1 / squeeze) <= SQUEEZE:
        return ()
    short = min(size)
    better = (short, round(short * width / height)) if width > height else (round(short * height / width), short)
    return (
        f"Pictures of {height} x {width} pixels (height x width) are squeezed to {size[0]} x {size[1]}; "
        f"a size of {better[0]}x{better[1]} would keep their shape.",
    )
