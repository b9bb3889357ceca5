"""Good images that came later: a detector takes them in without those that it has learned from before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from amiss.artefact import SeenImages
from amiss.calibration import calibrate_rule, shown_classes
from amiss.core.errors import DataError, InputError
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.core.progress import Progress, silent
from amiss.core.survey import Distinct, distinct, survey
from amiss.core.verdict import Label
from amiss.detectors.detector import Detector
from amiss.fitting import deploy, normal_scores
from amiss.folds import Lab, fold_scores, seen_by
from amiss.inspector import Inspector
from amiss.metrics import Rate, rate_over_lots
from amiss.record import Component, Learned, Updated
from amiss.runtime import Tiles
from amiss.splitting import CalibrationPlan, How, parts_and_lots, plan_calibration, rule_for


@dataclass(frozen=True)
class Update:
    """What came of it.

    Args:
        inspector: The one that has taken the images in.
        taken: How many images it has learned from in addition.
        known: How many of those given it had seen before; they were left out.
        stopped: Of the new parts, those that the inspector stopped before it had seen them.
        golden: Image scores of the golden images, before and after, (n, 2).
    """

    inspector: Inspector
    taken: int
    known: int
    stopped: Rate
    golden: NDArray[np.float64]


def update(
    before: Inspector,
    images: Images,
    *,
    origins: Sequence[Origin] = (),
    calibration: How = "auto",
    future: str | None = None,
    method: type[Detector] | None = None,
    progress: Progress = silent,
) -> Update:
    """Take in more good images: the detector learns from them too, and they alone calibrate the rule.

    The scores that calibrated the rule so far are those of another detector, so they cannot count any more. The new
    images calibrate as in a fit: some are held out, or each is scored by a detector that has taken in the others.

    Args:
        before: The inspector; it stays as it is.
        images: Good images; those that it has seen before, and copies, are left out.
        origins: Where each comes from, or nothing.
        calibration: How the new images calibrate, see `amiss.fit`.
        future: See `amiss.fit`; as it was for None.
        method: The class of a method of one's own.
        progress: See `amiss.core.progress`.

    Raises:
        CalibrationError: Too few new images for what the rule promises.
        DataError: None of the images is new.
        ImageError: An image cannot be used.
        InputError: A method that cannot take in more images, or a model in int8 or float16.
    """
    learned, detector = before.learned, _detector(before, method)
    given, known = _new_images(before, images, origins, progress)
    images, filters = given.images, before.score_filters
    future = before.calibration.future if future is None else future
    rule = rule_for(before.rule, len(images), given.origins)
    plan = plan_calibration(len(images), calibration, rule, learned.seed, given.origins, future)
    stopped = _stopped(before, images, given.origins, future, progress)
    tiles = None if before.tiling is None else Tiles(images, before.tiling, progress)
    resized = images.resized(before.size)
    looks = 1.0 if tiles is None else len(tiles.of(np.arange(len(images)))) / len(images)  # of each image
    lab = Lab(
        detector, learned.seed, progress=progress, known=(detector.state_dict(), round(looks * learned.learned_from))
    )
    normal = None
    if plan.folds:
        normal = fold_scores(lab, resized if tiles is None else images, plan, filters, tiles=tiles, more=1)
    lab.fit(seen_by(resized, tiles, plan.learn), number=len(plan.folds), fits=len(plan.folds) + 1)
    scorer, weights, graph, golden = deploy(detector, before.parts.golden.pixels, progress)
    if normal is None:
        normal = normal_scores(scorer, images, plan, before.tiling, filters, progress, None)
    used = None if tiles is None else tiles.range(plan.calibrate)
    components = tuple(map(Component.of, filters))
    shows = shown_classes(rule, images, plan, learned.classes)
    calibrated = calibrate_rule(rule, plan, normal, given.origins, used, components, given.copies, shows)
    parts = replace(before.parts, weights=weights, graph=graph, golden=golden, images=_seen(before, given, plan))
    after = replace(
        before, scorer=scorer, parts=parts, learned=_learned(before, detector, len(plan.learn)), **calibrated._asdict()
    )
    return Update(after, len(plan.learn), known, stopped, _golden(before, after))


def _detector(before: Inspector, method: type[Detector] | None) -> Detector:
    """The detector as it has learned so far, where it can go on.

    Raises:
        InputError: It cannot.
    """
    if before.learned.quantised is not None:
        raise InputError(
            f"a model in {before.learned.quantised.precision} cannot take in more images; update the one it was made "
            "from, then quantise"
        )
    detector = before.detector(method)
    detector.worth = 1
    if not detector.takes_more:
        raise InputError(
            f"{before.learned.method} cannot take in more images without those that it has learned from; run `amiss "
            "fit` on all of them. patchcore, knn, dn2, padim, and an ensemble of these, can"
        )
    return detector


def _new_images(
    before: Inspector, images: Images, origins: Sequence[Origin], progress: Progress
) -> tuple[Distinct, int]:
    """The images that are new, and the number of others, without their copies."""
    found = survey(images.with_bits(before.learned.bits), progress).all_usable()
    given = distinct(images.with_bits(before.learned.bits), origins, found.identities)
    if not set(given.identities) - before.seen:
        raise DataError(f"none of the {len(given.images)} images is new: the model has seen all of them before")
    new = given.without([*before.seen])
    return new, len(given.images) - len(new.images)


def _stopped(
    before: Inspector, images: Images, origins: Sequence[Origin], future: str | None, progress: Progress
) -> Rate:
    """Good parts with an anomalous image, mask filters and all; an interval over lots where lots are known."""
    parts, lots = parts_and_lots(np.arange(len(images)), origins, future)
    each = [verdict.label is Label.ANOMALOUS for verdict in before.inspect(images, progress=progress)]
    stopped = np.bincount(parts, weights=each) > 0
    return Rate(int(stopped.sum()), len(stopped)) if lots is None else rate_over_lots(stopped, lots.numbers)


def _seen(before: Inspector, given: Distinct, plan: CalibrationPlan) -> SeenImages:
    """What was learned from, before and now, and what calibrates now."""
    now = [given.identities[index] for index in plan.learn]
    return SeenImages.of([*before.parts.images.learned, *now], (given.identities[index] for index in plan.calibrate))


def _learned(before: Inspector, detector: Detector, count: int) -> Learned:
    """What the record says of it: how it was made before, and since."""
    old = before.learned
    one = Updated(
        fingerprint=before.fingerprint,
        learned_from=count,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        amiss_version=version("amiss"),
    )
    notes = tuple(dict.fromkeys([*old.notes, *detector.remarks()]))
    return old.model_copy(
        update={"learned_from": old.learned_from + count, "updates": (*old.updates, one), "notes": notes}
    )


def _golden(before: Inspector, after: Inspector) -> NDArray[np.float64]:
    pixels = before.parts.golden.pixels
    return np.stack([one.scorer.run(pixels).image for one in (before, after)], axis=1).astype(np.float64)
