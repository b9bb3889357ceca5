"""Folders whose names are classes: what methods that know several classes learn from, and are tested with.

root/<class>/*.png          our own split, class by class
root/train/<class>/*.png    or this one; classes that are only in test/ are unknown
root/test/<class>/*.png

`classes:PATH#A,B,C` takes these classes alone to learn from; all images of the others are for testing. Images of a
class that nearly repeat each other stay together (`amiss.data.near`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from amiss.core.checks import check_choice
from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.data.about import About
from amiss.data.dataset import GOOD, Dataset
from amiss.data.near import describe_near_copies, near_copies
from amiss.data.reader import Reader
from amiss.data.split import split_good

ABOUT = About("Folders named after classes", "<class>/, or train/<class>/ and test/<class>/", "yours", "yours")
OWN = "There is no split; the images of each class are divided with the seed."


def label_by_folder(root: str | Path) -> Images:
    """All images below a folder, each labelled with the name of the folder right inside that it lies in.

    Raises:
        DataError: Some lie in no such folder.
    """
    root = Path(root)
    images = Images(root)
    inside = [path.relative_to(root).parts for path in images.paths if path is not None]
    if bare := [parts[0] for parts in inside if len(parts) < 2]:
        raise DataError(
            f"{root}: every image must lie in a folder named after its class, got {len(bare)} outside, such as "
            f"{bare[0]}"
        )
    labelled = Images([path for path in images.paths if path is not None], labels=[parts[0] for parts in inside])
    labelled.ignored = images.ignored
    return labelled


def read_classes(root: Path, category: str | None = None, seed: int = 0) -> Dataset:
    """Read folders of classes.

    Args:
        root: See the module.
        category: The classes to learn from, with commas between; None for all that can be learned from.
        seed: Seed of our own split.

    Raises:
        DataError: No folder of a class, images outside of them, or a class that cannot be divided.
        InputError: A class that is not there.
    """
    if (root / "train").is_dir() and (root / "test").is_dir():
        train, test = label_by_folder(root / "train"), label_by_folder(root / "test")
        origins = near_copies(train), near_copies(test)
        known = _known(category, train.labels)
        chosen = np.flatnonzero([label in known for label in train.labels])
        rest = np.setdiff1d(np.arange(len(train)), chosen)
        tested = Images.join([test, train.subset(rest)])
        test_origins = (*origins[1], *(origins[0][index] for index in rest))
        notes = [f"{len(rest)} images of train/ are of classes that are not learned: they are for testing."]
        return _dataset(root, train, origins[0], chosen, tested, test_origins, known, notes if len(rest) else [])
    images = label_by_folder(root)
    known, own = _known(category, images.labels), near_copies(images)
    chosen = _divide(images.labels, known, own, seed)
    rest = np.setdiff1d(np.arange(len(images)), chosen)
    return _dataset(root, images, own, chosen, images.subset(rest), tuple(own[index] for index in rest), known, [OWN])


def _dataset(
    root: Path,
    images: Images,
    origins: Sequence[Origin],
    chosen: NDArray[np.intp],
    test: Images,
    test_origins: tuple[Origin, ...],
    known: Sequence[str],
    notes: Sequence[str],
) -> Dataset:
    """Of `images` those chosen to learn from, and the test images."""
    normal_origins = tuple(origins[index] for index in chosen)
    return Dataset(
        name=root.resolve().name,
        normal=images.subset(chosen),
        test=test,
        defects=tuple(GOOD if label in known else label for label in test.labels),
        normal_origins=normal_origins,
        test_origins=test_origins,
        notes=(*notes, *describe_near_copies([*normal_origins, *test_origins])),
    )


def _known(category: str | None, labels: Sequence[str]) -> tuple[str, ...]:
    there = sorted(set(labels))
    if category is None:
        return tuple(there)
    return tuple(check_choice("class", name.strip(), there) for name in category.split(","))


def _divide(labels: Sequence[str], known: Sequence[str], origins: Sequence[Origin], seed: int) -> NDArray[np.intp]:
    """The images to learn from: of each known class most, drawn with the seed."""
    chosen = []
    for name in known:
        own = np.flatnonzero([label == name for label in labels])
        try:
            learn, _ = split_good(len(own), seed, origins=[origins[int(index)] for index in own])
        except DataError as error:
            raise DataError(f"class {name!r}: {error}") from error
        chosen.append(own[learn])
    return np.sort(np.concatenate(chosen))


READER = Reader("classes", ABOUT, lambda path: False, read_classes)
