"""Two inspectors on the same test images: paired, for most of what varies between images is common to both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import DataError
from amiss.core.progress import Progress, silent
from amiss.core.verdict import Label, Verdict
from amiss.data.dataset import Dataset
from amiss.evaluation.evaluate import check_tests
from amiss.evaluation.measure import MOST
from amiss.evaluation.own_size import pixels_of
from amiss.evaluation.pixels import PRO_LIMITS, Pixels
from amiss.evaluation.sampling import Sampling, sampling_of
from amiss.evaluation.unseen import only_unseen
from amiss.inspector import Inspector
from amiss.metrics import Agreement, Difference, Rate, estimate_auroc, mcnemar, paired_difference
from amiss.metrics.coverage import held
from amiss.metrics.estimate import estimate_shares
from amiss.metrics.paired import NO_DIFFERENCE
from amiss.metrics.weighted import areas


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two inspectors.

    Args:
        name: How it is called, such as its file.
        method: Registry name of its method.
        rule: Name of its rule.
        alpha: False-alarm rate that its rule promises, or None.
        false_alarms: Good parts called anomalous, on the images that both could use.
        detections: Defective parts called anomalous, on the images that both could use.
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
        sampling: Which images show the same part, and which lots they are of.
        usable: Images that both could use, (N,); everything below is made of those.
        excluded: Name and reason of each other image.
        image_auroc: Difference of the AUROC of the image scores.
        pixel_aupro: Difference of the per-region overlap up to 0.3, each on its own map size; NaN
            without masks or maps.
        pixel_aupro_05: The same up to 0.05.
        good: On which good parts which of them is right, that is, raises no alarm.
        defective: On which defective parts which of them is right, that is, raises an alarm.
        notes: Of the data set: images that were left out, and what a reader should know.
    """

    dataset: str
    first: Side
    second: Side
    sampling: Sampling
    usable: NDArray[np.bool_]
    excluded: tuple[tuple[str, str], ...]
    image_auroc: Difference
    pixel_aupro: Difference
    pixel_aupro_05: Difference
    good: Agreement
    defective: Agreement
    notes: tuple[str, ...] = ()

    @property
    def n_good(self) -> int:
        """Good images that both could use."""
        return int((self.usable & ~self.sampling.defective).sum())

    @property
    def n_defective(self) -> int:
        """Defective images that both could use."""
        return int((self.usable & self.sampling.defective).sum())

    @property
    def n_excluded(self) -> int:
        """Images that at least one could not use."""
        return int((~self.usable).sum())

    @property
    def held(self) -> float:
        """The confidence that the intervals of differences of areas may claim, in (0, 1)."""
        return held("difference of auroc", several=self.sampling.units(self.usable).k < int(self.usable.sum()))

    def summary(self) -> dict[str, Any]:
        """Plain JSON values; None where a number is not defined."""
        apart = ("dataset", "sampling", "usable", "excluded", "notes")
        others = {name: value for name, value in vars(self).items() if name not in apart}
        return {
            "dataset": self.dataset,
            **self.sampling.summary(self.usable),
            "n_excluded": self.n_excluded,
            "excluded": [{"name": name, "reason": reason} for name, reason in self.excluded],
            "interval_confidence": self.held,
            **{name: value.summary() for name, value in others.items()},
            "notes": list(self.notes),
        }


def compare(
    first: Inspector,
    second: Inspector,
    dataset: Dataset,
    *,
    names: tuple[str, str] = ("first", "second"),
    progress: Progress = silent,
) -> Comparison:
    """Inspect every test image with both and compare.

    Both look at one image before the next is read. An image that either cannot use is left out for both. With masks
    and maps both maps of each image are kept until the end.

    Args:
        first: Ready to inspect.
        second: Ready to inspect; its method, image size and rule may differ.
        dataset: Whose test images are used, and whose masks where it has some. Images that one of the inspectors has
            seen are left out, and of copies all but the first; notes say how many.
        names: How the two are called.
        progress: See `amiss.core.progress`.

    Raises:
        DataError: No test images, none that both have not seen, copies that are called different defect types, or masks
            that do not fit their images.
        ImageError: A mask cannot be read.
    """
    check_tests(dataset)
    dataset = only_unseen(dataset, first, second, progress=progress)
    pixels = (pixels_of(first, dataset), pixels_of(second, dataset))
    verdicts = _inspect(first, second, dataset, pixels, progress)
    usable, sampling = paired(*verdicts), sampling_of(dataset)
    units = sampling.units(usable)
    sides = [
        _side(name, inspector, one, sampling, usable)
        for name, inspector, one in zip(names, (first, second), verdicts, strict=True)
    ]
    scores = [
        np.array([verdict.score for verdict, use in zip(one, usable, strict=True) if use], np.float32)
        for one in verdicts
    ]
    overlap = _overlap(pixels, sampling)
    return Comparison(
        dataset=dataset.name,
        first=sides[0],
        second=sides[1],
        sampling=sampling,
        usable=usable,
        excluded=tuple((v.name, v.reason) for v in map(_error_of, *verdicts) if v is not None),
        image_auroc=paired_difference(*(estimate_auroc(units, one) for one in scores)),
        pixel_aupro=overlap[0],
        pixel_aupro_05=overlap[1],
        good=_agreement(verdicts, sampling, usable & ~dataset.anomalous, alarm=False),
        defective=_agreement(verdicts, sampling, usable & dataset.anomalous, alarm=True),
        notes=dataset.notes,
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


def _error_of(one: Verdict, other: Verdict) -> Verdict | None:
    return next((verdict for verdict in (one, other) if verdict.label is Label.ERROR), None)


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


def _side(
    name: str, inspector: Inspector, verdicts: Sequence[Verdict], sampling: Sampling, usable: NDArray[np.bool_]
) -> Side:
    labels = [verdict.label for verdict in verdicts]
    return Side(
        name=name,
        method=inspector.record.method,
        rule=inspector.rule.name,
        alpha=inspector.rule.alpha,
        false_alarms=sampling.rate(Label.ANOMALOUS, labels, usable & ~sampling.defective),
        detections=sampling.rate(Label.ANOMALOUS, labels, usable & sampling.defective),
        errors=labels.count(Label.ERROR),
    )


def _agreement(
    verdicts: Sequence[Sequence[Verdict]], sampling: Sampling, images: NDArray[np.bool_], *, alarm: bool
) -> Agreement:
    """Which of the two is right on which parts; a part raises an alarm when one of its images does."""
    wanted = {Label.ANOMALOUS} if alarm else {Label.GOOD, Label.REVIEW}
    first, second = (sampling.events(wanted, [verdict.label for verdict in one], images) for one in verdicts)
    lots = sampling.lots_of(first) if sampling.over_lots else None
    return mcnemar([*first.values()], [*second.values()], lots)


def _overlap(pixels: tuple[Pixels, Pixels], sampling: Sampling) -> tuple[Difference, Difference]:
    """The difference of the AUPRO up to each limit; not defined without maps and masks."""
    if len(pixels[0]) == 0:
        return NO_DIFFERENCE, NO_DIFFERENCE
    units, limits = sampling.units(pixels[0].indices).merged(MOST), {"pro": PRO_LIMITS}
    found = [
        estimate_shares(store.overlaps(limits), partial(areas, store.cells(), limits=limits, pimo=False), units)
        for store in pixels
    ]
    high, low = (paired_difference(*(one[f"pro {limit:g}"] for one in found)) for limit in PRO_LIMITS)
    return high, low
