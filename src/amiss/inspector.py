"""`Inspector`: detector + score filters + rule + mask filters. What people fit, save, ship and serve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from amiss.artefact import (
    CALIBRATION,
    GOLDEN,
    IMAGES,
    MODEL,
    WEIGHTS,
    Artefact,
    Calibration,
    Component,
    Record,
    fingerprint,
    read_artefact,
    write_artefact,
)
from amiss.calibration import largest_of_each
from amiss.core.errors import DataError, ImageError, InputError, MissingExtraError, ParityError, TamperedArtefactError
from amiss.core.images import Images, Size
from amiss.core.origin import Origin, part_numbers
from amiss.core.progress import Progress, silent
from amiss.core.rule import Rule
from amiss.core.scores import Decision, Scores
from amiss.core.threads import in_order, threads
from amiss.core.tiling import Tiling
from amiss.core.verdict import Label, Verdict
from amiss.postprocess import (
    MaskFilter,
    ScoreFilter,
    create_mask_filter,
    create_score_filter,
    find_regions,
    resize_regions,
)
from amiss.rules import create_rule
from amiss.runtime import Graph, Tiles, open_graph
from amiss.scoring import Scorer, check_parity, score_picture

if TYPE_CHECKING:
    from amiss.detectors.detector import Detector

MANY = 8
"""Pictures from which several are scored at once."""


@dataclass(frozen=True)
class Inspector:
    """A calibrated detector that says good, anomalous or error, and how sure it is.

    Args:
        scorer: The detector, ready to score pictures of one size.
        rule: A calibrated rule.
        record: What is known about how it was made.
        parts: The artefact's files that do not change with the rule: graph, weights, golden pictures.
        score_filters: Applied to scores before the rule.
        mask_filters: Applied to masks after the rule; they can only remove detections.

    Example:
        >>> from amiss.testing import toy_part
        >>> inspector = Inspector.fit(toy_part(20, seed=0).images, preset="tiny", size=64, calibration=0.5)
        >>> [str(verdict.label) for verdict in inspector.inspect(toy_part(2, seed=1, defective=True).images)]
        ['anomalous', 'anomalous']
    """

    scorer: Scorer
    rule: Rule
    record: Record
    parts: dict[str, bytes]
    score_filters: tuple[ScoreFilter, ...] = ()
    mask_filters: tuple[MaskFilter, ...] = ()

    @classmethod
    def fit(cls, images: Images | str | Path | Sequence[Any], **options: Any) -> Inspector:
        """Learn and calibrate from normal images. The options are those of `amiss.fitting.fit_inspector`.

        Raises:
            MissingExtraError: torch is not installed.
        """
        try:
            from amiss.fitting import fit_inspector
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("amiss"):
                raise
            raise MissingExtraError(f"learning needs {error.name}; pip install 'amiss[fit]'") from error
        return fit_inspector(images if isinstance(images, Images) else Images(images), **options)

    @property
    def size(self) -> Size:
        """Height and width of the detector's input: what every picture is resized to, or the size of a tile."""
        return self.scorer.size

    @property
    def tiling(self) -> Tiling | None:
        """How pictures are cut into tiles; None where every picture is resized as a whole."""
        return self.record.tiling

    def score(self, images: Images, *, progress: Progress = silent) -> Scores:
        """Raw scores of every picture, score filters applied; with their maps, so mind the memory.

        Raises:
            ImageError: A picture cannot be used.
            InputError: Pictures of different sizes that are cut into tiles, so that their maps differ in size.
        """
        return Scores.join([scores for scores in self._scores(images, progress)])

    def image_scores(self, images: Images, *, progress: Progress = silent) -> Scores:
        """As `score`, without the maps: memory does not grow with the size of the pictures."""
        return Scores.join([Scores(scores.image) for scores in self._scores(images, progress)])

    def _scores(self, images: Images, progress: Progress) -> Iterator[Scores]:
        pictures = images.resized(self.size) if self.tiling is None else images
        names, (inspector, workers) = images.names, self._for_many(len(images))
        found = in_order(lambda index: inspector._filtered(pictures[index], names[index]), len(images), workers)
        for done, scores in enumerate(found, start=1):
            yield scores
            progress("scoring", done, len(images))

    def _for_many(self, count: int) -> tuple[Inspector, int]:
        """The same inspector, to be called from several threads at once for so many pictures, and how many threads.

        One picture a core beats one picture on all cores, and decodes while another is scored. Pictures that are cut
        into tiles are too large to have several in memory; their tiles keep all cores busy.
        """
        if count < MANY or self.tiling is not None or not isinstance(self.scorer, Graph):
            return self, 1
        return replace(self, scorer=self.scorer.on_one_core), threads()

    def _filtered(self, picture: NDArray[np.uint8], name: str) -> Scores:
        return score_picture(self.scorer, picture, self.tiling, self.score_filters, name)

    def decide(self, scores: Scores) -> Decision:
        """Apply rule and mask filters to scores of this inspector, and find the alarming regions.

        The pixels that the mask filters leave decide: a picture without any is good, and one whose highest left pixel
        is only for review is for review. Its p-value stays.
        """
        decision = self.rule.decide(scores)
        if decision.mask is None or scores.map is None:
            return decision
        masks = decision.mask
        for mask_filter in self.mask_filters:
            masks = np.stack([mask_filter(mask) & mask for mask in masks]) if len(masks) else masks
        regions = tuple(find_regions(mask, part) for mask, part in zip(masks, scores.map, strict=True))
        peak = np.max(scores.map, axis=(1, 2), where=masks, initial=-np.inf)
        label = decision.label & (peak > np.float32(decision.threshold))
        review = (decision.label | decision.review) & masks.any(axis=(1, 2)) & ~label
        return replace(decision, label=label, review=review, mask=masks, regions=regions)

    def inspect(self, images: Images | str | Path | Sequence[Any], *, progress: Progress = silent) -> Iterator[Verdict]:
        """One verdict a picture, in order. A picture that cannot be used becomes an error, never good."""
        images = images if isinstance(images, Images) else Images(images)
        names, (inspector, workers) = images.names, self._for_many(len(images))

        def verdict(index: int) -> Verdict:
            try:
                return inspector.inspect_one(images[index], name=names[index])
            except ImageError as error:
                return Verdict(name=names[index], label=Label.ERROR, reason=error.reason)

        for done, found in enumerate(in_order(verdict, len(images), workers), start=1):
            yield found
            progress("inspecting", done, len(images))

    def inspect_one(self, picture: NDArray[np.uint8], *, name: str = "image") -> Verdict:
        """The verdict on one decoded picture, RGB uint8 (H, W, 3) of any size.

        Raises:
            ImageError: Pictures are cut into tiles, and this one is smaller than a tile or does not fit a filter.
        """
        scores = self._filtered(picture, name)
        size = self.size if scores.map is None else scores.map.shape[1:]
        decision = self.decide(scores)
        p_value = float(decision.p_value[0])
        return Verdict(
            name=name,
            label=_label(decision),
            score=float(scores.image[0]),
            p_value=None if np.isnan(p_value) else p_value,
            regions=resize_regions(decision.regions[0], size, (picture.shape[0], picture.shape[1])),
            map=None if scores.map is None else scores.map[0],
            mask=None if decision.mask is None else decision.mask[0],
        )

    def statement(self) -> str:
        """The promise for a person: rule, n, alpha, interval, and what weakens it."""
        quantised = [] if self.record.quantised is None else [self.record.quantised.words()]
        return " ".join([self.rule.statement(), *self.record.calibration.words(), *self.record.notes, *quantised])

    def with_rule(self, rule: Rule) -> Inspector:
        """The same detector under another rule, calibrated on the stored scores: no image is needed.

        Raises:
            CalibrationError: The stored scores cannot support the rule's promise.
        """
        return self._calibrated(rule.calibrate(Scores(self.rule.normal)), self.record.calibration)

    def calibrate(self, images: Images, *, origins: Sequence[Origin] = (), progress: Progress = silent) -> Inspector:
        """The same detector, calibrated anew on normal images that it never saw. Nothing is learned again.

        Args:
            images: Normal images. None of them may be one that the detector has learned from.
            origins: Where each comes from, or nothing; n counts parts, see `amiss.calibration`.
            progress: See `amiss.core.progress`.

        Raises:
            CalibrationError: Too few parts for the rule's promise.
            DataError: The detector has learned from some of the images.
            ImageError: A picture cannot be used.
        """
        everyone = np.arange(len(images))
        parts = part_numbers(everyone, origins)
        self.rule.check(int(parts.max(initial=-1)) + 1)
        hashes = [images.sha256(int(index)) for index in everyone]
        if known := set(hashes) & set(self._hashes("learned")):
            raise DataError(f"{len(known)} of {len(images)} images were learned from; calibrate on others")
        tiles = None if self.tiling is None else Tiles(images, self.tiling).range(everyone)
        rule = self.rule.calibrate(largest_of_each(self.image_scores(images, progress=progress).image, parts))
        lots = {(origin.product, origin.lot) for origin in origins if origin.lot is not None}
        calibration = Calibration(kind="held out", n=rule.n, images=len(images), lots=len(lots) or None, tiles=tiles)
        listed = _pack_hashes(self._hashes("learned"), hashes)
        return replace(self, parts={**self.parts, IMAGES: listed})._calibrated(rule, calibration)

    @property
    def seen(self) -> frozenset[str]:
        """SHA-256 (hex) of every picture that this inspector has learned from or is calibrated on.

        Nothing honest can be measured on these; `Images.sha256` gives the same hash for a new picture.
        """
        return frozenset([*self._hashes("learned"), *self._hashes("calibrated")])

    def _hashes(self, kind: str) -> list[str]:
        return [row.tobytes().hex() for row in _arrays(IMAGES, self.parts[IMAGES], kind)[kind]]

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of everything this inspector is, from graph to calibration. Saving keeps it."""
        return fingerprint(self._artefact())

    def _calibrated(self, rule: Rule, calibration: Calibration) -> Inspector:
        changes = {
            "rule": Component(name=rule.name, config=rule.config()),
            "alpha": rule.alpha,
            "threshold": rule.threshold,
            "calibration": calibration,
        }
        return replace(self, rule=rule, record=self.record.model_copy(update=changes))

    def save(self, path: str | Path) -> None:
        """Write the artefact: one file when the name ends in ``.amiss``, else a folder. Never half-written.

        Raises:
            ArtefactError: The path is taken by something else.
        """
        write_artefact(path, self._artefact())

    def _artefact(self) -> Artefact:
        from safetensors.numpy import save

        return Artefact(self.record, {**self.parts, CALIBRATION: save({"scores": self.rule.normal})})

    @classmethod
    def load(cls, path: str | Path, *, backend: str = "onnxruntime") -> Self:
        """Read an artefact, verify it, and check that the golden pictures get their scores on this machine.

        Args:
            path: What `save` wrote.
            backend: The runtime: "onnxruntime", "openvino", or "auto" for the quickest here, see `amiss.runtime`.

        Raises:
            ArtefactError: Incomplete, changed, of a newer schema, or scoring differently here.
            InputError: Unknown backend, or one for a method that runs in torch.
            MissingExtraError: The backend, or torch where the method needs it, is not installed.
        """
        artefact = read_artefact(path)
        record, parts = artefact.record, dict(artefact.parts)
        normal = _arrays(CALIBRATION, parts.pop(CALIBRATION), "scores")
        rule = create_rule(record.rule.name, **record.rule.config).calibrate(Scores(normal["scores"]))
        inspector = cls(
            scorer=_scorer(record, parts, backend),
            rule=rule,
            record=record,
            parts=parts,
            score_filters=tuple(create_score_filter(part.name, **part.config) for part in record.score_filters),
            mask_filters=tuple(create_mask_filter(part.name, **part.config) for part in record.mask_filters),
        )
        try:
            inspector.check_parity()
        except ParityError as error:
            if record.quantised is None:
                raise
            raise ParityError(
                f"{error}; this model is in int8 and was calibrated on {record.quantised.runtime}: choose that "
                "backend, or run amiss quantise on this machine"
            ) from error
        return inspector

    def check_parity(self) -> None:
        """Score the golden pictures and compare with the scores they had when the artefact was written.

        Raises:
            ParityError: A score moved by more than the tolerance, which is relative to the largest golden score.
        """
        check_parity(self.scorer, _arrays(GOLDEN, self.parts[GOLDEN], "pixels", "image"), self.record.tolerance)

    def detector(self) -> Detector:
        """The detector in torch, as it was learned: for the lab.

        Raises:
            MissingExtraError: torch is not installed.
        """
        return _detector(self.record, self.parts[WEIGHTS])


def list_images(images: Images, learned: NDArray[np.intp], calibrated: NDArray[np.intp]) -> bytes:
    """The part of an artefact that tells which pictures it has seen."""
    hashes = [images.sha256(index) for index in range(len(images))]
    return _pack_hashes([hashes[index] for index in learned], [hashes[index] for index in calibrated])


def _pack_hashes(learned: Sequence[str], calibrated: Sequence[str]) -> bytes:
    from safetensors.numpy import save

    rows = {"learned": learned, "calibrated": calibrated}
    return save({k: np.frombuffer(bytes.fromhex("".join(v)), np.uint8).reshape(-1, 32).copy() for k, v in rows.items()})


def _label(decision: Decision) -> Label:
    if decision.label[0]:
        return Label.ANOMALOUS
    return Label.REVIEW if decision.review[0] else Label.GOOD


def _arrays(part: str, data: bytes, *names: str) -> dict[str, NDArray[Any]]:
    """The arrays of one part, which must hold these names."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
    except SafetensorError as error:
        raise TamperedArtefactError(f"{part} is damaged ({error})") from error
    if missing := sorted(set(names) - set(arrays)):
        raise TamperedArtefactError(f"{part} holds no {', '.join(missing)}")
    return arrays


def _detector(record: Record, weights: bytes) -> Detector:
    from amiss.registry import find_method

    method = find_method(record.method)  # first, for it tells in words when torch is missing
    from safetensors.torch import load

    return method(**record.hyperparameters).load_state(load(weights))


def _scorer(record: Record, parts: dict[str, bytes], backend: str) -> Scorer:
    """The graph on a runtime, or torch where there is none."""
    if MODEL in parts:
        golden = _arrays(GOLDEN, parts[GOLDEN], "pixels", "image")
        return open_graph(
            parts[MODEL], backend, golden["pixels"][:1], lambda graph: check_parity(graph, golden, record.tolerance)
        )
    if backend == "openvino":
        raise InputError(f"backend 'openvino' arrived; {record.method} is not exported and runs in torch")
    detector = _detector(record, parts[WEIGHTS])
    from amiss.detectors.detector import TorchScorer

    return TorchScorer(detector, record.size)
