"""Classes: kinds of normal images that a method learns to tell apart, named by the labels of the images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import DataError, InputError
from amiss.core.images import Images

UNKNOWN = "unknown"
"""What verdicts call an image that seems to be of none of the classes."""

LEAST = 2
"""Classes, and images in each of them, from which a method can learn to tell them apart."""


def find_classes(images: Images) -> tuple[str, ...]:
    """The classes that can be learned from labelled images, by name.

    Raises:
        InputError: No labels, a single class, a class with a single image, or one that is called unknown.

    Example:
        >>> import numpy as np
        >>> find_classes(Images(np.zeros((4, 8, 8, 3), np.uint8), labels=["bolt", "nut", "nut", "bolt"]))
        ('bolt', 'nut')
    """
    if not images.labels:
        raise InputError(
            "images must have labels, the class of each, got none; keep each class in a folder of its own, or give "
            "Images(..., labels=[...])"
        )
    counts = Counter(images.labels)
    if len(counts) < LEAST:
        raise InputError(f"images must be of at least {LEAST} classes, got only {next(iter(counts))!r}")
    if few := sorted(name for name, count in counts.items() if count < LEAST):
        raise InputError(f"every class must have at least {LEAST} images to learn from, got {_counted(few, counts)}")
    if UNKNOWN in counts:
        raise InputError(f"a class must not be called {UNKNOWN!r}, which says that an image is of no class; rename it")
    return tuple(sorted(counts))


def class_numbers(labels: Sequence[str], classes: Sequence[str]) -> list[int]:
    """The place of each label among the classes.

    Raises:
        InputError: A label that is none of them.
    """
    places = {name: number for number, name in enumerate(classes)}
    if strange := sorted(set(labels) - set(places)):
        raise InputError(f"labels must be among the classes {', '.join(classes)}, got {', '.join(strange)}")
    return [places[label] for label in labels]


def _counted(names: Sequence[str], counts: Counter[str]) -> str:
    shown = ", ".join(f"{counts[name]} of {name!r}" for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def deal(
    order: NDArray[np.intp], groups: list[NDArray[np.intp]], k: int, labels: Sequence[str]
) -> list[NDArray[np.intp]]:
    """Groups of images to k folds; with labels, those of a class evenly over the folds.

    Args:
        order: The groups in random order.
        groups: Indices into the images.
        k: Number of folds.
        labels: The class of each image, or nothing.
    """
    if not labels:
        return np.array_split(order, k)
    by_class = sorted(order, key=lambda group: labels[groups[group][0]])  # stable: random within a class
    return [np.array(by_class[start::k], np.intp) for start in range(k)]


def check_classes_left(folds: Sequence[NDArray[np.intp]], labels: Sequence[str]) -> None:
    """Of each class, enough images lie outside each fold to learn from.

    Raises:
        DataError: Too few of one.
    """
    counts = Counter(labels)
    for fold in folds:
        for name, count in Counter(labels[image] for image in fold if labels).items():
            if counts[name] - count < LEAST:
                raise DataError(
                    f"every class must keep at least {LEAST} images to learn from in each fold, got "
                    f"{counts[name] - count} of {counts[name]} of {name!r}; give more images of it"
                )


def leave_classes(groups: list[NDArray[np.intp]], order: NDArray[np.intp], labels: Sequence[str]) -> NDArray[np.intp]:
    """The same order without the groups that would leave less than half of a class to learn from.

    Where no class is that small the order, and so the split, is as random as without classes.

    Raises:
        DataError: No group can be held out.
    """
    counts = Counter(labels)
    spare = {name: count // 2 for name, count in counts.items()}
    kept = []
    for group in order:
        own = Counter(labels[image] for image in groups[group])
        if all(spare[name] >= count for name, count in own.items()):
            spare = {name: left - own[name] for name, left in spare.items()}
            kept.append(group)
    if not kept:
        raise DataError(
            "every class must have images of several parts, some to learn from and others to calibrate on, got "
            f"{len(groups)} parts of {len(counts)} classes"
        )
    return np.array(kept, np.intp)
