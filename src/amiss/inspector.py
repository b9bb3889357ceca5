"""`Inspector`: detector + score filters + rule + mask filters. What people fit, save, ship and serve."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from amiss.artefact import CALIBRATION, Artefact, Parts, SeenImages, fingerprint, read_artefact, write_artefact
from amiss.calibration import Calibrated, calibrate_rule, change_rule, shown_classes, weigh
from amiss.core.errors import DataError, NotReadyError, ParityError
from amiss.core.images import Images, Size
from amiss.core.lots import NEW_LOTS
from amiss.core.origin import Origin
from amiss.core.products import Products
from amiss.core.progress import Progress, silent
from amiss.core.rule import Rule
from amiss.core.scores import Decision, Scores
from amiss.core.survey import distinct, survey
from amiss.core.tiling import Tiling
from amiss.core.verdict import Label, Verdict
from amiss.opening import as_written, check_golden, open_detector, open_rule, open_scorer, pack_calibration
from amiss.postprocess import (
    MaskFilter,
    ScoreFilter,
    create_mask_filter,
    create_score_filter,
    find_regions,
    resize_regions,
)
from amiss.recipe import Recipe
from amiss.record import Calibration, Component, CountedCalibration, Learned, Record
from amiss.runtime import Tiles
from amiss.scoring import Also, Scorer, check_parity, nothing_else, score_image, score_images, verdict_stream
from amiss.signature import VARIABLE, check_signature
from amiss.splitting import CalibrationPlan, check_support, parts_and_lots, rule_for

if TYPE_CHECKING:
    from amiss.detectors.detector import Detector


@dataclass(frozen=True, repr=False)
class Inspector:
    """A calibrated detector that says good, anomalous or error, and how sure it is.

    What an artefact says of it is derived from these fields when it is saved, so what `dataclasses.replace` changes is
    saved. Other score filters give other scores: the rule then no longer holds, and everything but scoring and
    `calibrate` raises a `NotReadyError`.

    Args:
        scorer: The detector, ready to score images of one size: the graph of `parts`, opened on a runtime.
        rule: A calibrated rule.
        calibration: Where the scores come from that calibrated it.
        learned: How the detector was made.
        parts: Graph, weights, golden images, and hashes of the images it has seen.
        score_filters: Applied to scores before the rule.
        mask_filters: Applied to masks after the rule; they can only remove detections.
        products: The product of each score that calibrates the rule, where products are stated.

    Example:
        >>> import amiss
        >>> from amiss.testing import toy_part
        >>> inspector = amiss.fit(toy_part(20, seed=0).images, preset="tiny", size=64, calibration=0.5)
        >>> inspector
        Inspector(ensemble, 64 x 64, conformal, n = 10)
        >>> [str(verdict.label) for verdict in inspector.inspect(toy_part(2, seed=1, defective=True).images)]
        ['anomalous', 'anomalous']
    """

    scorer: Scorer
    rule: Rule
    calibration: Calibration
    learned: Learned
    parts: Parts
    score_filters: tuple[ScoreFilter, ...] = ()
    mask_filters: tuple[MaskFilter, ...] = ()
    products: Products | None = None

    def __repr__(self) -> str:
        tiles = "" if self.tiling is None else "tiles of "
        height, width = self.learned.size
        return f"Inspector({self.learned.method}, {tiles}{height} x {width}, {self.rule.name}, n = {self.rule.n})"

    @property
    def size(self) -> Size:
        """Height and width of the detector's input: what every image is resized to, or the size of a tile."""
        return self.scorer.size

    @property
    def tiling(self) -> Tiling | None:
        """How images are cut into tiles; None where every image is resized as a whole."""
        return self.learned.tiling

    @property
    def recipe(self) -> Recipe | None:
        """What its fit was asked for; None for artefacts of earlier builds."""
        return None if self.learned.recipe is None else Recipe.of(self.learned.recipe)

    @property
    def record(self) -> Record:
        """What its artefact says of it.

        Raises:
            NotReadyError: The rule is not calibrated, or was calibrated with other score filters.
        """
        self._check_filters()
        return Record(
            **dict(self.learned),
            calibration=CountedCalibration(**dict(self.calibration), n=self.rule.n),
            rule=Component.of(self.rule),
            alpha=self.rule.alpha,
            threshold=self.rule.threshold,
            score_filters=tuple(map(Component.of, self.score_filters)),
            mask_filters=tuple(map(Component.of, self.mask_filters)),
        )

    def score(self, images: Images, *, progress: Progress = silent) -> Scores:
        """Raw scores of every image, score filters applied; with their maps, which take memory.

        Raises:
            ImageError: An image cannot be used.
            InputError: Images of different sizes that are cut into tiles, so that their maps differ in size.
        """
        return Scores.join(list(self._scores(images, progress)))

    def image_scores(self, images: Images, *, progress: Progress = silent) -> Scores:
        """As `score`, without the maps: memory does not grow with the size of the images."""
        return Scores.join([scores.without_map() for scores in self._scores(images, progress)])

    def _scores(self, images: Images, progress: Progress) -> Iterator[Scores]:
        return score_images(
            self.scorer, images.with_bits(self.learned.bits), self.tiling, self.score_filters, progress=progress
        )

    def decide(self, scores: Scores) -> Decision:
        """Apply rule and mask filters to scores of this inspector, and find the alarming regions.

        The pixels that the mask filters leave decide: an image without any is good, and one whose highest left pixel
        is only for review is for review. Its p-value stays.

        Raises:
            NotReadyError: The rule is not calibrated, or was calibrated with other score filters.
        """
        self._check_filters()
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

    def inspect(
        self,
        images: Images | str | Path | Sequence[Any],
        *,
        also: Also = nothing_else,
        progress: Progress = silent,
    ) -> Generator[Verdict, None, None]:
        """One verdict per image, in order. An image that cannot be used becomes an error, never good.

        Args:
            images: Each is read once: hash and verdict are of the same bytes.
            also: Called with each image before its verdict is given; see `amiss.scoring.verdicts`.
            progress: See `amiss.core.progress`.
        """
        given = (images if isinstance(images, Images) else Images(images)).with_bits(self.learned.bits)
        return verdict_stream(
            given, self.scorer, self.tiling, self.score_filters, self._judge, also=also, progress=progress
        )

    def inspect_one(self, image: NDArray[np.uint8], *, name: str = "image") -> Verdict:
        """The verdict on one decoded image, RGB uint8 (H, W, 3) of any size.

        Raises:
            ImageError: Images are cut into tiles, and this one is smaller than a tile or does not fit a filter.
        """
        height, width, _ = image.shape
        return self._judge(
            score_image(self.scorer, image, self.tiling, self.score_filters, name), (height, width), name
        )

    def _judge(self, scores: Scores, whole: Size, name: str) -> Verdict:
        """The verdict on one image of that height and width, by its scores."""
        size = self.size if scores.map is None else scores.map.shape[1:]
        decision = self.decide(scores)
        p_value = float(decision.p_value[0])
        return Verdict(
            name=name,
            label=Label.of(decision),
            score=float(scores.image[0]),
            threshold=decision.threshold,
            p_value=None if np.isnan(p_value) else p_value,
            regions=resize_regions(decision.regions[0], size, whole),
            most_like=None if scores.classes is None else self.learned.classes[int(scores.classes[0])],
            map=None if scores.map is None else scores.map[0],
            mask=None if decision.mask is None else decision.mask[0],
        )

    def statement(self) -> str:
        """The promise: first for people who count parts, then rule, n, alpha, interval, and what weakens it."""
        self._check_filters()
        quantised = [] if self.learned.quantised is None else [self.learned.quantised.words()]
        classes, words = self.learned.class_words(self.rule.name), self.calibration.words(self.rule.n)
        weaker = [*classes, *words] if self.rule.tells_rates else self.calibration.few_words(self.rule.n)
        known = [*self.learned.notes, *(update.words() for update in self.learned.updates), *quantised]
        return " ".join([self.rule.in_short(), self.rule.statement(), *weaker, *known])

    def with_rule(self, rule: Rule, *, future: str | None = None, product: str | None = None) -> Inspector:
        """The same detector under another rule, calibrated on the stored scores: no image is needed.

        Args:
            rule: Not calibrated.
            future: Whose parts its promise is for, see `amiss.calibration.change_future`; None for those of the
                present one.
            product: Of several products that the model serves, the one that it is for; its stored scores alone
                calibrate then. None for all of them.

        Raises:
            CalibrationError: The stored scores cannot support the rule's promise.
            InputError: A future that the stored scores cannot support, or a product that has none.
            NotReadyError: They were made with other score filters.
        """
        self._check_filters()
        present = Calibrated(self.rule, self.calibration, self.products)
        return replace(self, **change_rule(rule, present, future, product, self.learned.classes)._asdict())

    def _check_filters(self) -> None:
        """What changes scores is calibrated with the rule."""
        if not self._filters_hold:
            raise NotReadyError(
                "score filters must be those that the rule was calibrated with, got others, so its threshold is for "
                "other scores; call calibrate(images of good parts)"
            )

    @cached_property
    def _filters_hold(self) -> bool:
        return tuple(map(Component.of, self.score_filters)) == self.calibration.score_filters

    def calibrate(
        self,
        images: Images,
        *,
        origins: Sequence[Origin] = (),
        future: str | None = None,
        recent: Images | None = None,
        rate: Callable[[Images, Progress], NDArray[np.float32]] | None = None,
        progress: Progress = silent,
    ) -> Inspector:
        """The same detector, calibrated anew on normal images that it never saw. Nothing is learned again.

        Args:
            images: Normal images that the detector has not learned from; copies count once.
            origins: Where each comes from, or nothing; n counts parts, see `amiss.calibration`.
            future: Whose parts the promise is for, where lots are known, one of `amiss.core.lots.FUTURES`; for None as
                before, or new lots, which should be lots that the detector has not learned from.
            recent: Images under the light that the promise is for, good or not: scores are weighted for them, see
                `amiss.monitoring.shift`, and images that the detector has learned from left out. One image per part.
            rate: Who gives the scores of the images, (N,), where that is not this process.
            progress: See `amiss.core.progress`.

        Raises:
            CalibrationError: Too few parts or lots for the rule's promise, or too few that look like recent ones.
            DataError: The detector has learned from some of the images, or from all where `recent` is given.
            ImageError: An image cannot be used.
            InputError: A future is asked for where no lots are known.
        """
        usual = self.calibration.future or NEW_LOTS
        rule = rule_for(self.rule, len(images), origins)
        check_support(rule, *parts_and_lots(np.arange(len(images)), origins, future, usual=usual))
        known = survey(images.with_bits(self.learned.bits), progress).all_usable()
        given = distinct(images, origins, known.identities)
        given = given if recent is None else given.without(self.parts.images.learned)
        images, everyone = given.images, np.arange(len(given.images))
        parts, lots = parts_and_lots(everyone, given.origins, future, usual=usual)
        rule = rule_for(self.rule, len(images), given.origins)
        check_support(rule, parts, lots)
        plan = CalibrationPlan(np.arange(0), everyone, parts, lots)
        shows = shown_classes(rule, images, plan, self.learned.classes)
        if learned := set(given.identities) & set(self.parts.images.learned):
            raise DataError(f"{len(learned)} of {len(images)} images were learned from; calibrate on others")
        tiles = None if self.tiling is None else Tiles(images, self.tiling).range(everyone)
        normal = self.image_scores(images, progress=progress).image if rate is None else rate(images, progress)
        filters = tuple(map(Component.of, self.score_filters))
        found = calibrate_rule(rule, plan, normal, given.origins, tiles, filters, given.copies, shows)
        if recent is not None:
            found = weigh(found, normal, parts, images, recent, self.learned.bits, progress)
        seen = replace(self.parts, images=SeenImages.of(self.parts.images.learned, given.identities))
        return replace(self, parts=seen, **found._asdict())

    @property
    def seen(self) -> frozenset[str]:
        """`Look.identity` of every image that this inspector has learned from or is calibrated on.

        Nothing honest can be measured on these; `amiss.core.survey.survey` gives the same for new images.
        """
        return frozenset([*self.parts.images.learned, *self.parts.images.calibrated])

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of everything this inspector is, from graph to calibration. Saving keeps it."""
        return fingerprint(self._artefact())

    def save(self, path: str | Path) -> None:
        """Write the artefact: one file when the name ends in ``.amiss``, else a folder. Never half-written.

        Raises:
            ArtefactError: The path is taken by something else.
            NotReadyError: The rule is not calibrated, or was calibrated with other score filters.
        """
        write_artefact(path, self._artefact())

    def _artefact(self) -> Artefact:
        known = pack_calibration(self.rule, self.products)
        return Artefact(self.record, {**self.parts.files(), CALIBRATION: known})

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        backend: str = "onnxruntime",
        method: type[Detector] | None = None,
        trusted_key: str | Path | None = None,
    ) -> Self:
        """Read an artefact, verify it, and check that the golden images get their scores on this machine.

        Args:
            path: What `save` wrote.
            backend: "onnxruntime", "openvino", "cuda", "tensorrt", or "auto" for the quickest of the processor's.
            method: The class of a method of your own that cannot be exported; others need none.
            trusted_key: File of public keys, one of which must have signed it, see `amiss.signature`; AMISS_TRUSTED_KEY
                when None, and any model where that is not set.

        Raises:
            ArtefactError: Incomplete, changed, not signed with a trusted key, of another schema, or scoring differently
                here.
            InputError: Unknown backend, one for a method that runs in torch, or such a method that is not known here.
            MissingExtraError: The backend, or torch where the method needs it, is not installed.
        """
        artefact = read_artefact(path)
        if keys := os.environ.get(VARIABLE) if trusted_key is None else trusted_key:
            check_signature(path, artefact, keys)
        record, parts = artefact.record, Parts.of(artefact.parts)
        check_golden(parts.golden, record)
        with as_written(path):
            rule, products = open_rule(record, artefact.parts[CALIBRATION])
            score_filters = tuple(create_score_filter(part.name, **part.config) for part in record.score_filters)
            mask_filters = tuple(create_mask_filter(part.name, **part.config) for part in record.mask_filters)
        inspector = cls(
            scorer=open_scorer(record, parts, backend, method),
            rule=rule,
            calibration=record.calibrated(),
            learned=record.learned(),
            parts=parts,
            score_filters=score_filters,
            mask_filters=mask_filters,
            products=products,
        )
        try:
            inspector.check_parity()
        except ParityError as error:
            if record.quantised is None:
                raise
            how = f"is in {record.quantised.precision} and was calibrated on {record.quantised.runtime}"
            again = "choose that backend, or run amiss quantise on this machine"
            raise ParityError(f"{error}; this model {how}: {again}") from error
        return inspector

    def check_parity(self) -> None:
        """Score the golden images and compare with the scores they had when the artefact was written.

        Raises:
            ParityError: A score moved by more than the tolerance, which is relative to the largest golden score.
        """
        golden = self.parts.golden
        check_parity(self.scorer, golden.pixels, golden.wanted, self.learned.tolerance, golden.classes)

    def detector(self, method: type[Detector] | None = None) -> Detector:
        """The detector in torch, as it was learned: for the lab.

        Args:
            method: The class of a method of your own; others need none.

        Raises:
            InputError: The method is not known here, or the class is that of another one.
            MissingExtraError: torch is not installed.
        """
        return open_detector(self.learned, self.parts, method)
