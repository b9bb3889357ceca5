"""Nothing honest is measured on images that an inspector was made from, nor on one image twice.

What is measured on a data set leaves such images out and says so; a stream and a gauge study are refused with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.core.progress import Progress, silent
from amiss.core.survey import Survey, depth_notes, survey
from amiss.data import open_dataset
from amiss.data.dataset import Dataset
from amiss.data.truth import doubtful_masks
from amiss.evaluation.open_set import as_known
from amiss.inspector import Inspector


def open_for(source: str | Path, *inspectors: Inspector, pages: str = "one") -> Dataset:
    """Open a data set to measure these inspectors on: split with the seed of the first, by classes where it knows some.

    Raises:
        DataError: See `amiss.data.open_dataset`.
    """
    first = inspectors[0]
    return open_dataset(source, seed=first.record.seed, pages=pages, classes=bool(first.learned.classes))


def only_unseen(dataset: Dataset, *inspectors: Inspector, progress: Progress = silent) -> Dataset:
    """The data set without test images that these inspectors have seen, and without copies.

    Its notes say how many were left out, and what a reader of the figures should know of images and masks.

    Args:
        dataset: Every test image is decoded once.
        inspectors: To be measured.
        progress: Reports the stage "reading".

    Images of classes that the inspectors do not know are defective, and all of them are tested, see `as_known`.

    Raises:
        DataError: No test image is left, two copies are called different defect types, or the inspectors know different
            classes.
    """
    dataset = as_known(dataset, *inspectors)
    known: frozenset[str] = frozenset().union(*(inspector.seen for inspector in inspectors))
    found = survey(dataset.test, progress)
    kept = dataset.without_copies(known, found.identities)
    return replace(kept, notes=tuple(dict.fromkeys([*kept.notes, *_notes(kept, found, *inspectors)])))


def _notes(dataset: Dataset, found: Survey, *inspectors: Inspector) -> Iterator[str]:
    if not all(inspector.learned.bits for inspector in inspectors):
        yield from depth_notes(found.peaks)
    yield from doubtful_masks(dataset.masks or ())


def check_unseen(inspector: Inspector, images: Images, *, where: str) -> tuple[str, ...]:
    """None of the images was learned from or calibrated on, pixel by pixel; else a `DataError`.

    Args:
        inspector: Whose `seen` is asked.
        images: To be measured on; every one is decoded once.
        where: What the images are called, such as the name of a study.

    Returns:
        The identity of each image, see `amiss.core.survey.Survey`.

    Raises:
        DataError: The inspector has seen some of them; says how many, and names one.
    """
    known, identities = inspector.seen, survey(images).identities
    seen = [image for image, identity in zip(images.names, identities, strict=True) if identity in known]
    if seen:
        raise DataError(
            f"{where}: the inspector has seen {len(seen)} of these {len(images)} images while it was made, such as "
            f"{seen[0]}; what is measured on them would flatter it. Give images that it has neither learned from nor "
            "been calibrated on"
        )
    return identities
