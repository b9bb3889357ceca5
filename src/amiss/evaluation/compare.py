"""Two inspectors on the same test images: paired, for most of what varies between images is common to both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.checks import check_count
from amiss.core.errors import DataError
from amiss.core.progress import Progress, silent
from amiss.core.verdict import Label, Verdict
from amiss.data.dataset import Dataset
from amiss.evaluation.evaluate import check_tests
from amiss.evaluation.own_size import pixels_of
from amiss.evaluation.pixels import PRO_LIMITS, Pixels
from amiss.evaluation.unseen import check_unseen
from amiss.inspector import Inspector
from amiss.metrics import Agreement, Difference, Rate, auroc, mcnemar, paired_difference
from amiss.metrics.resample import areas, draw


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two inspectors.

    Args:
        name: How it is called, such as its file.
        method: Registry name of its method.
        rule: Name of its rule.
        alpha: False-alarm rate that its rule promises, or None.
        false_alarms: Good images called anomalous, among those that both could use.
        detections: Defective images called anomalous, among those that both could use.
        errors: Images that it could not use.
    """

    name: str
    method: str
    rule: str
    alpha: float | None
    false_alarms: Rate
    detections: Rate
    errors: int

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        rates = {"false_alarms": self.false_alarms.summary(), "detections": self.detections.summary()}
        return {**vars(self), **rates}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What two inspectors did on the same test images. "First" and "second" in the order they were given.

    Args:
        dataset: Name of the data set.
        first: The first inspector.
        second: The second.
        n_good: Good images that both could use; everything below is made of those.
        n_defective: Defective images that both could use.
        n_excluded: Images that at least one could not use.
        image_auroc: Difference of the AUROC of the image scores.
        pixel_aupro: Difference of the per-region overlap up to 0.3, each on its own map size; NaN
            without masks or maps.
        pixel_aupro_05: The same up to 0.05.
        good: On which good images which of them is right, that is, raises no alarm.
        defective: On which defective images which of them is right, that is, raises an alarm.
        seed: Seed of the bootstrap.
    """

    dataset: str
    first: Side
    second: Side
    n_good: int
    n_defective: int
    n_excluded: int
    image_auroc: Difference
    pixel_aupro: Difference
    pixel_aupro_05: Difference
    good: Agreement
    defective: Agreement
    seed: int

    def summary(self) -> dict[str, Any]:
        """Plain JSON values; None where a number is not defined."""
        return {name: value.summary() if hasattr(value, "summary") else value for name, value in vars(self).items()}


def compare(
    first: Inspector,
    second: Inspector,
    dataset: Dataset,
    *,
    names: tuple[str, str] = ("first", "second"),
    seed: int = 0,
    resamples: int = 1000,
    progress: Progress = silent,
) -> Comparison:
    """Inspect every test image with both and compare.

    Both look at one image before the next is read. An image that either cannot use is left out for both. With masks
    and maps both maps of each image are kept until the end.

    Args:
        first: Ready to inspect.
        second: Ready to inspect; its method, image size and rule may differ.
        dataset: Whose test images are used, and whose masks where it has some.
        names: How the two are called.
        seed: Seed of the bootstrap.
        resamples: Number of resamples; images are drawn anew within their class, the same for both.
        progress: See `amiss.core.progress`.

    Raises:
        DataError: No test images, some that one of the inspectors has seen, or masks that do not fit their images.
        ImageError: A mask cannot be read.
        InputError: Not a whole number of resamples.
    """
    check_count("resamples", resamples)
    check_tests(dataset)
    for inspector, name in zip((first, second), names, strict=True):
        check_unseen(inspector, dataset.test, where=dataset.name, name=name)
    pixels = (pixels_of(first, dataset), pixels_of(second, dataset))
    verdicts = _inspect(first, second, dataset, pixels, progress)
    usable = paired(*verdicts)
    bad = dataset.anomalous[usable]
    own = [[verdict for verdict, use in zip(one, usable, strict=True) if use] for one in verdicts]
    alarms = [np.array([verdict.label is Label.ANOMALOUS for verdict in one], bool) for one in own]
    scores = [np.array([verdict.score for verdict in one], np.float32) for one in own]
    sides = [
        _side(name, inspector, alarm, bad, errors=sum(verdict.label is Label.ERROR for verdict in one))
        for name, inspector, alarm, one in zip(names, (first, second), alarms, verdicts, strict=True)
    ]
    overlap = _overlap(pixels, seed, resamples)
    return Comparison(
        dataset=dataset.name,
        first=sides[0],
        second=sides[1],
        n_good=int((~bad).sum()),
        n_defective=int(bad.sum()),
        n_excluded=int((~usable).sum()),
        image_auroc=_image_auroc(bad, scores, seed, resamples),
        pixel_aupro=overlap[0],
        pixel_aupro_05=overlap[1],
        good=mcnemar(~alarms[0][~bad], ~alarms[1][~bad]),
        defective=mcnemar(alarms[0][bad], alarms[1][bad]),
        seed=seed,
    )


def paired(first: Sequence[Verdict], second: Sequence[Verdict]) -> NDArray[np.bool_]:
    """Which images both could use, (N,).

    Raises:
        DataError: The verdicts are not on the same images in the same order.
    """
    for number, (one, other) in enumerate(zip(first, second, strict=False)):
        if one.name != other.name:
            raise DataError(
                f"image {number} is {one.name} for the first and {other.name} for the second; both must see the same "
                "images in the same order"
            )
    if len(first) != len(second):
        raise DataError(f"both verdicts must be on the same images, got {len(first)} and {len(second)} images")
    return np.array(
        [Label.ERROR not in (one.label, other.label) for one, other in zip(first, second, strict=True)], bool
    )


def _inspect(
    first: Inspector, second: Inspector, dataset: Dataset, pixels: tuple[Pixels, Pixels], progress: Progress
) -> tuple[list[Verdict], list[Verdict]]:
    """The verdicts of both without their arrays; maps go into `pixels` where both have one."""
    verdicts: tuple[list[Verdict], list[Verdict]] = ([], [])
    for index, pair in enumerate(zip(first.inspect(dataset.test), second.inspect(dataset.test), strict=True)):
        complete = all(verdict.map is not None for verdict in pair)
        for verdict, store, kept in zip(pair, pixels, verdicts, strict=True):
            kept.append(verdict.without_arrays())
            if complete:
                store.add(index, verdict.map)
        progress("comparing", index + 1, len(dataset.test))
    return verdicts


def _side(name: str, inspector: Inspector, alarms: NDArray[np.bool_], bad: NDArray[np.bool_], errors: int) -> Side:
    return Side(
        name=name,
        method=inspector.record.method,
        rule=inspector.rule.name,
        alpha=inspector.rule.alpha,
        false_alarms=Rate(int((alarms & ~bad).sum()), int((~bad).sum())),
        detections=Rate(int((alarms & bad).sum()), int(bad.sum())),
        errors=errors,
    )


def _image_auroc(
    bad: NDArray[np.bool_], scores: Sequence[NDArray[np.float32]], seed: int, resamples: int
) -> Difference:
    weights = draw(bad, seed=seed, resamples=resamples)
    resampled = [np.array([auroc(np.repeat(bad, w), np.repeat(one, w)) for w in weights]) for one in scores]
    return paired_difference(auroc(bad, scores[0]), auroc(bad, scores[1]), resampled[0], resampled[1])


def _overlap(pixels: tuple[Pixels, Pixels], seed: int, resamples: int) -> tuple[Difference, Difference]:
    """The difference of the AUPRO up to each limit; not defined without maps and masks."""
    if len(pixels[0]) == 0:
        unknown = Difference(first=math.nan, second=math.nan, interval=(math.nan, math.nan), p_value=math.nan)
        return unknown, unknown
    weights = draw(pixels[0].defective, seed=seed, resamples=resamples)
    values = [store.overlaps({"pro": PRO_LIMITS}) for store in pixels]
    resampled = [areas(store.cells(), weights, {"pro": PRO_LIMITS}, pimo=False) for store in pixels]
    high, low = (
        paired_difference(values[0][name], values[1][name], resampled[0][name], resampled[1][name])
        for name in (f"pro {limit:g}" for limit in PRO_LIMITS)
    )
    return high, low
