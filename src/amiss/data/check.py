"""What a data set holds, and whether it can be trusted: every file decodes, and nothing is unseen or in both parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amiss.core.errors import DataError, ImageError
from amiss.core.listing import Ignored, list_folder
from amiss.core.origin import Origin
from amiss.core.progress import Progress, silent
from amiss.core.survey import copy_note, depth_notes, first_of_each
from amiss.data.dataset import GOOD, Dataset
from amiss.data.truth import doubtful_masks, empty_note, mask_paths, read_mask

SAMPLE = 20
"""Images of each part whose size is looked at without a full check."""


@dataclass(frozen=True)
class Account:
    """Every file below the folder of a data set: images that it uses, masks, images that it does not, and the rest.

    Args:
        used: How many are normal or test images.
        masks: How many are masks.
        unused: Images that the data set does not use.
        ignored: Everything else.
    """

    used: int
    masks: int
    unused: tuple[Path, ...]
    ignored: tuple[Ignored, ...]

    @property
    def found(self) -> int:
        """All of them."""
        return self.used + self.masks + len(self.unused) + len(self.ignored)

    def summary(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "found": self.found,
            "used": self.used,
            "masks": self.masks,
            "unused": [str(path) for path in self.unused],
            "ignored": [one.summary() for one in self.ignored],
        }


def account_for(dataset: Dataset, root: Path) -> Account:
    """Which images below a folder a data set uses, and which not.

    Raises:
        DataError: The folder cannot be listed.
    """
    listing = list_folder(root)
    used = {path for images in (dataset.normal, dataset.test) for path in images.paths if path is not None}
    masks = {path for mask in dataset.masks or () if mask is not None for path in mask_paths(mask)} - used
    rest = [path for path in listing.images if path not in used and path not in masks]
    return Account(
        used=sum(path in used for path in listing.images),
        masks=sum(path in masks for path in listing.images),
        unused=tuple(rest),
        ignored=listing.ignored,
    )


@dataclass(frozen=True)
class Check:
    """What reading every file of a data set found.

    Args:
        errors: What makes results wrong or impossible, one line each.
        notes: What a reader of results should know.
        sizes: How many images have each (height, width).
    """

    errors: tuple[str, ...]
    notes: tuple[str, ...]
    sizes: Counter[tuple[int, int]]


def describe(dataset: Dataset) -> dict[str, Any]:
    """What a data set holds, without reading its images: names, counts, origins, licence, notes.

    Example:
        >>> import numpy as np
        >>> from amiss.core.images import Images
        >>> images = Images(np.zeros((3, 8, 8), np.uint8))
        >>> describe(Dataset("x", images, images, (GOOD, GOOD, "dent")))["test"]
        {'good': 2, 'dent': 1}
    """
    known = [mask for mask in dataset.masks or () if mask is not None]
    return {
        "name": dataset.name,
        "normal": len(dataset.normal),
        "test": dict(sorted(Counter(dataset.defects).items(), key=lambda pair: (pair[0] != GOOD, pair[0]))),
        "masks": len(known) if dataset.masks is not None else None,
        "saturation": dataset.has_saturation,
        "normal_origins": _count_origins(dataset.normal_origins),
        "test_origins": _count_origins(dataset.test_origins),
        "licence": dataset.licence or None,
        "notes": list(dataset.notes),
    }


def sample_sizes(dataset: Dataset) -> Counter[tuple[int, int]]:
    """The sizes of some images, evenly spread over the data set; those that cannot be decoded are passed over."""
    sizes: Counter[tuple[int, int]] = Counter()
    for images in (dataset.normal, dataset.test):
        for index in np.unique(np.linspace(0, len(images) - 1, min(SAMPLE, len(images))).astype(int)):
            try:
                sizes[images[int(index)].shape[:2]] += 1
            except ImageError:
                continue
    return sizes


def check_dataset(dataset: Dataset, *, progress: Progress = silent) -> Check:
    """Decode every image and mask once, and look for what is in both parts.

    An image counts as the same when its pixels are; the same part photographed twice is found by its origin only.

    Args:
        dataset: What to check.
        progress: Called after every image.
    """
    errors: list[str] = []
    notes: list[str] = []
    sizes: Counter[tuple[int, int]] = Counter()
    peaks: list[int | None] = []
    identities: dict[str, list[str]] = {"normal": [], "test": []}
    total, done = len(dataset.normal) + len(dataset.test), 0
    empty = 0
    for part, images in (("normal", dataset.normal), ("test", dataset.test)):
        for index in range(len(images)):
            try:
                identities[part].append("")
                look = images.read(index).look()
                identities[part][-1] = look.identity
                sizes[look.size] += 1
                peaks.append(look.peak)
                if part == "test":
                    empty += _check_mask(dataset, index, look.size)
            except (ImageError, DataError) as error:
                errors.append(str(error))
            done += 1
            progress("checking", done, total)
    notes += [*doubtful_masks(dataset.masks or ()), *depth_notes(peaks)]
    if empty:
        notes.append(empty_note(empty))
    errors += dataset.contradictions(identities["test"]) + _leaks(dataset, identities)
    notes += _repeats(identities) + _shared_lots(dataset)
    return Check(tuple(errors), tuple(notes), sizes)


def _check_mask(dataset: Dataset, index: int, shape: tuple[int, int]) -> bool:
    """Whether a defective image has an empty mask; a good one whose mask is not is a `DataError`."""
    source = dataset.masks[index] if dataset.masks is not None else None
    if source is None:
        return False
    marked = bool(read_mask(source, shape).any())
    if marked and dataset.defects[index] == GOOD:
        raise DataError(f"{dataset.test.names[index]}: a good image, but its mask marks a defect")
    return not marked and dataset.defects[index] != GOOD


def _leaks(dataset: Dataset, identities: dict[str, list[str]]) -> list[str]:
    errors = []
    both = set(identities["normal"]) & set(identities["test"]) - {""}
    if both:
        index = next(number for number, value in enumerate(identities["test"]) if value in both)
        errors.append(
            f"{len(both)} images are in both normal and test, so test figures are too good: such as the one "
            f"of {dataset.test.names[index]}"
        )
    normal, test = _parts(dataset.normal_origins), _parts(dataset.test_origins)
    if shared := normal & test:
        errors.append(f"{len(shared)} parts are shown in both normal and test, so test figures are too good")
    return errors


def _repeats(identities: dict[str, list[str]]) -> list[str]:
    return [
        copy_note(copies, f"{len(found)} {part} images")
        for part, found in identities.items()
        if (copies := len(found) - len(first_of_each(found)))
    ]


def _shared_lots(dataset: Dataset) -> list[str]:
    normal, test = _lots(dataset.normal_origins), _lots(dataset.test_origins)
    shared = normal & test
    return [f"{len(shared)} of {len(test)} lots of test are also learned from."] if shared else []


def _lots(origins: Sequence[Origin]) -> set[tuple[str | None, ...]]:
    return {(origin.product, origin.lot) for origin in origins if origin.lot is not None}


def _parts(origins: Sequence[Origin]) -> set[tuple[str | None, ...]]:
    return {(origin.product, origin.lot, origin.part) for origin in origins if origin.part is not None}


def _count_origins(origins: Sequence[Origin]) -> dict[str, int] | None:
    if not origins:
        return None
    products = {origin.product for origin in origins if origin.product is not None}
    return {"products": len(products), "lots": len(_lots(origins)), "parts": len(_parts(origins))}
