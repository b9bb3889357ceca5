"""The front door: `amiss.fit` and `amiss.load`. Torch is imported when something is fitted, not before."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amiss.acceptance import VARIABLE, check_accepted
from amiss.core.errors import InputError
from amiss.core.extras import needs_fit
from amiss.core.images import Images, Size
from amiss.core.origin import Origin
from amiss.core.progress import Progress, silent
from amiss.core.rule import Rule
from amiss.data.classes import label_by_folder
from amiss.data.labelled import check_all_good, check_name
from amiss.inspector import Inspector
from amiss.postprocess import MaskFilter, ScoreFilter
from amiss.recipe import Recipe, calibration_words
from amiss.record import Component
from amiss.registry import address_of, learns_classes
from amiss.rules import Conformal, parse_rule
from amiss.splitting import How, read_contamination

if TYPE_CHECKING:
    from amiss.detectors.detector import Detector
    from amiss.fitting import Rate
    from amiss.updating import Update


def fit(
    images: Images | str | Path | Sequence[Any],
    *,
    method: str | type[Detector] | Detector = "ensemble",
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    size: int | Size | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    bits: int | None = None,
    rule: Rule | str | None = None,
    calibration: How = "auto",
    future: str | None = None,
    contamination: float | str | None = None,
    score_filters: Sequence[ScoreFilter] = (),
    mask_filters: Sequence[MaskFilter] = (),
    seed: int = 0,
    device: str = "auto",
    origins: Sequence[Origin] = (),
    calibrate_on: Images | str | Path | Sequence[Any] | None = None,
    checkpoint: str | Path | None = None,
    progress: Progress = silent,
) -> Inspector:
    """Learn and calibrate from normal images.

    Args:
        images: Normal images only: `Images`, a folder, or a list of paths or arrays. For a method that learns classes:
            `Images` with labels, or a folder with one folder per class. For one that learns from unlabelled images,
            whatever comes off the line.
        method: One of `amiss.list_methods`, "module:Class", or a `Detector` of your own: its class, or an instance
            whose hyper-parameters are the settings.
        preset: One of the method's presets; "default" when None.
        settings: Hyper-parameters that differ from the preset.
        size: Every image is resized to this, the whole of it: one number for a square, or (height, width); 256 unless
            images are cut into tiles.
        tile: Instead of being resized, every image is cut into square tiles of this side, in pixels. It must be at
            least that large. The detector learns from tiles and the rule is calibrated on whole images.
        overlap: Pixels that neighbouring tiles share, up to half a tile; an eighth of a tile when None.
        bits: Bits that the values of 16-bit images really have, such as the 12 of a camera; None for 16. The inspector
            reads images like that, and one with larger values becomes an error.
        rule: A rule without calibration, or words such as "certified:1%,0.95"; `Conformal("auto")` when None.
        calibration: Share of the images that is held out to calibrate, in (0, 1); `Folds(k)` or "folds:k"; or "auto":
            0.2, and five folds when there are fewer than 50 images, or 95 lots when the promise is for new lots.
        future: Whose parts the rule's promise is for, where origins name lots: "new-lots", which takes lots as the
            unit of evidence and holds out whole lots, or "these-lots", for further parts of the same lots. New lots
            when None.
        contamination: Share of the images that may be defective, such as "10%", below half: so many of those that would
            learn do not, the strangest to `patchcore` in five folds (`amiss.contamination`). Those that calibrate are
            not sorted. None where all are known to be good.
        score_filters: Calibrated together with the detector.
        mask_filters: Applied after the rule.
        seed: Seed of the hold-out draw and of learning.
        device: Where methods that take gradient steps learn: "cpu", "cuda", "mps", or "auto" for the best there is.
            Calibration runs on the CPU, as the exported graph will.
        origins: Where each image comes from, or nothing. Parts, and for new lots whole lots, are then never divided
            between learning and calibration; n counts parts.
        calibrate_on: Good images to calibrate on, so that all of `images` are learned from, in place of `calibration`;
            needed by methods that learn from unlabelled images. Origins, where they are given, are those of `images`
            and then of these.
        checkpoint: A folder in which training leaves its state as it goes; the same call goes on from there, bit for
            bit on a CPU. Methods that take no gradient steps leave nothing.
        progress: See `amiss.core.progress`.

    Returns:
        The inspector. Its `recipe` is what was asked for here, but for the images and the last four arguments.

    Raises:
        InputError: An option out of range, or settings or a preset beside an instance.
        CalibrationError: Too few images for the rule's promise; raised before anything is learned.
        DivergedError: Training came to a loss that is not finite.
        DataError: The folder, or one in it, is named by a word for defective.
        ImageError: An image cannot be used; a bad file must not become a model of normality.
        MissingExtraError: torch is not installed.

    Example:
        >>> from amiss.testing import toy_part
        >>> fit(toy_part(20, seed=0).images, method="padim", preset="tiny", size=64, rule="conformal:10%")
        Inspector(padim, 64 x 64, conformal, n = 20)
    """
    address, own, settings = _asked(method, preset, settings)
    recipe = Recipe(
        method=address,
        preset="default" if preset is None else preset,
        settings=settings,
        size=(size, size) if isinstance(size, int) else size,
        tile=tile,
        overlap=overlap,
        bits=bits,
        rule=Component.of(parse_rule(rule) if isinstance(rule, str) else rule or Conformal()),
        calibration=calibration_words(calibration),
        future=future,
        contamination=read_contamination(contamination),
        score_filters=tuple(map(Component.of, score_filters)),
        mask_filters=tuple(map(Component.of, mask_filters)),
        seed=seed,
        device=device,
    )
    return fit_recipe(
        images,
        recipe,
        calibrate_on=calibrate_on,
        method=own,
        origins=origins,
        checkpoint=checkpoint,
        progress=progress,
    )


def _asked(
    method: str | type[Detector] | Detector, preset: str | None, settings: Mapping[str, Any] | None
) -> tuple[str, type[Detector] | None, Mapping[str, Any]]:
    """A method by its address, its class where it is somebody's own, and its settings."""
    if isinstance(method, str):
        return method, None, settings or {}
    if isinstance(method, type):
        return address_of(method), method, settings or {}
    if preset is not None or settings is not None:
        raise InputError(
            "preset and settings must be left out where method is an instance, which has hyper-parameters of its own, "
            f"got preset = {preset!r}, settings = {settings!r}"
        )
    if not hasattr(method, "hyperparameters"):
        raise InputError(f"method must be a name, or a Detector or its class, got {method!r}")
    return address_of(method), type(method), method.hyperparameters()


def fit_recipe(
    images: Images | str | Path | Sequence[Any],
    recipe: Recipe,
    *,
    calibrate_on: Images | str | Path | Sequence[Any] | None = None,
    method: type[Detector] | None = None,
    origins: Sequence[Origin] = (),
    checkpoint: str | Path | None = None,
    rate: Rate | None = None,
    progress: Progress = silent,
) -> Inspector:
    """As `fit`, asked by a recipe.

    Args:
        images: Normal images only.
        recipe: What is asked for.
        calibrate_on: See `fit`.
        method: The class that its method means, where it cannot be imported by that address.
        origins: See `fit`.
        checkpoint: See `fit`.
        rate: Who scores the images that calibrate, see `amiss.fitting.fit_inspector`.
        progress: See `fit`.
    """
    with needs_fit("learning"):
        from amiss.fitting import fit_inspector
    folder = isinstance(images, (str, Path)) and Path(images).is_dir()
    if folder and learns_classes(recipe.method if method is None else method):
        images = label_by_folder(str(images))
    return fit_inspector(
        _all_good(images),
        recipe,
        calibrate_on=None if calibrate_on is None else _all_good(calibrate_on),
        method=method,
        origins=origins,
        checkpoint=None if checkpoint is None else Path(checkpoint),
        rate=rate,
        progress=progress,
    )


def _all_good(images: Images | str | Path | Sequence[Any]) -> Images:
    """Images of which no folder is named by a word for defective."""
    if isinstance(images, (str, Path)) and Path(images).is_dir():
        check_name(Path(images))
        check_all_good(Path(images))
    return images if isinstance(images, Images) else Images(images)


def update(
    inspector: Inspector,
    images: Images | str | Path | Sequence[Any],
    *,
    origins: Sequence[Origin] = (),
    calibration: How = "auto",
    future: str | None = None,
    method: type[Detector] | None = None,
    progress: Progress = silent,
) -> Update:
    """Take in more good images without those that the detector has learned from, see `amiss.updating.update`.

    Args:
        inspector: It stays as it is.
        images: Good images, or a folder of them. They alone calibrate the rule; those seen before are left out.
        origins: See `fit`.
        calibration: How the new images calibrate, see `fit`.
        future: See `fit`; as it was for None.
        method: The class of a method of your own.
        progress: See `amiss.core.progress`.

    Returns:
        The new inspector, and what came of it.

    Raises:
        CalibrationError: Too few new images for what the rule promises.
        DataError: None of the images is new, or a folder is named as one of defective parts.
        ImageError: An image cannot be used.
        InputError: A method that cannot take in more images, or a model in int8 or float16.
        MissingExtraError: torch is not installed.
    """
    with needs_fit("to update a model"):
        from amiss import updating
    return updating.update(
        inspector,
        _all_good(images),
        origins=origins,
        calibration=calibration,
        future=future,
        method=method,
        progress=progress,
    )


def load(
    path: str | Path,
    *,
    backend: str = "onnxruntime",
    method: type[Detector] | None = None,
    trusted_key: str | Path | None = None,
    accepted: str | Path | None = None,
) -> Inspector:
    """Read an artefact, verify it, and check that the golden images get their scores on this machine.

    Args:
        path: What `Inspector.save` wrote.
        backend: "onnxruntime", "openvino", "cuda", "tensorrt", or "auto" for the quickest here, see `amiss.runtime`.
        method: The class of a method of your own that cannot be exported; others need none.
        trusted_key: File of public keys, one of which must have signed it, see `amiss.signature`; AMISS_TRUSTED_KEY
            when None, and any model where that is not set.
        accepted: Folder of images that it must have been accepted with, see `amiss.acceptance`; AMISS_ACCEPTED when
            None, and none where that is not set.

    Raises:
        ArtefactError: Incomplete, changed, not signed with a trusted key, not accepted, of another schema, or scoring
            differently here.
        InputError: Unknown backend, one for a method that runs in torch, or such a method that is not known here.
        MissingExtraError: The backend, or torch where the method needs it, is not installed.
    """
    inspector = Inspector.load(path, backend=backend, method=method, trusted_key=trusted_key)
    if folder := os.environ.get(VARIABLE) if accepted is None else accepted:
        check_accepted(inspector, folder)
    return inspector
