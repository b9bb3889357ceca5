"""`Origin`: where an image comes from, and which images must therefore stay together when a set is divided."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import InputError


@dataclass(frozen=True)
class Origin:
    """Where an image comes from; None where it is not known.

    Args:
        product: What is made.
        lot: The batch it was made in: parts of one lot resemble each other.
        part: The piece that is shown: images of one part are not independent evidence.
        time: When it was taken, with or without a time zone.
    """

    product: str | None = None
    lot: str | None = None
    part: str | None = None
    time: datetime | None = None


def check_origins(n: int, origins: Sequence[Origin]) -> None:
    """One origin per image, or none at all.

    Raises:
        InputError: Not one origin per image.
    """
    if origins and len(origins) != n:
        raise InputError(f"there must be one origin per image, got {len(origins)} origins for {n} images")


def stay_together(n: int, origins: Sequence[Origin], *, lots: bool = True) -> list[NDArray[np.intp]]:
    """Groups of images that must not be torn apart: those of a lot, or of a part where there is one lot or none.

    A detector that has learned from a lot knows it, and its scores of that lot would flatter it.

    Args:
        n: Number of images.
        origins: Origin of each image, or nothing: then every image is a group of its own.
        lots: False where lots may be torn apart, and only images of one part stay together.

    Returns:
        Indices into the images, ascending in each group, groups in the order of their first image.

    Raises:
        InputError: Not one origin per image.

    Example:
        >>> [group.tolist() for group in stay_together(3, [Origin(lot="A"), Origin(lot="B"), Origin(lot="A")])]
        [[0, 2], [1]]
    """
    check_origins(n, origins)
    if not origins:
        return _by(range(n))
    by_lot = _by(map(_lot, origins, range(n)))
    return by_lot if lots and len(by_lot) > 1 else _by(map(_part, origins, range(n)))


def on_both_sides(
    some: NDArray[np.intp], others: NDArray[np.intp], origins: Sequence[Origin], *, lots: bool = True
) -> list[Origin]:
    """Origins of which some images lie on either side of a split: one for each lot, and each part of unknown lot.

    Args:
        some: Indices of the images on one side.
        others: The same of the other side.
        origins: Origin of each image, or nothing: then nothing is on both sides.
        lots: False where lots may be on both sides, and only parts may not.

    Example:
        >>> on_both_sides(np.array([0, 1]), np.array([2]), [Origin(lot="A"), Origin(lot="B"), Origin(lot="A")])
        [Origin(product=None, lot='A', part=None, time=None)]
    """
    if not origins:
        return []
    key = _lot if lots else _part
    known = {key(origins[image], int(image)) for image in some}
    found = {key(origins[image], int(image)): origins[image] for image in others}
    return [origin for one, origin in found.items() if one in known]


def part_numbers(images: NDArray[np.intp], origins: Sequence[Origin]) -> NDArray[np.intp]:
    """The part that each image shows, as numbers from 0 without gaps; an image of unknown part is a part of its own."""
    numbers: dict[Hashable, int] = {}
    keys = [_part(origins[image], int(image)) if origins else int(image) for image in images]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.intp)


def count_parts(images: NDArray[np.intp], origins: Sequence[Origin]) -> int:
    """Number of different parts that these images show."""
    return int(part_numbers(images, origins).max(initial=-1)) + 1


def count_lots(images: NDArray[np.intp], origins: Sequence[Origin]) -> int | None:
    """Number of different lots that these images come from; None where no lot is known."""
    lots = {(origins[image].product, origins[image].lot) for image in images if origins and origins[image].lot}
    return len(lots) or None


def lot_numbers(images: NDArray[np.intp], origins: Sequence[Origin]) -> NDArray[np.intp] | None:
    """The lot that each image comes from, as numbers from 0 without gaps; None where no lot is known.

    Images of unknown lot beside others of known lots count as one more lot.
    """
    if count_lots(images, origins) is None:
        return None
    numbers: dict[Hashable, int] = {}
    keys = [(origins[image].product, origins[image].lot) for image in images]
    return np.array([numbers.setdefault(key if key[1] else None, len(numbers)) for key in keys], np.intp)


def _part(origin: Origin, image: int) -> Hashable:
    """Part numbers often begin anew in each lot, so the lot belongs to the name."""
    return image if origin.part is None else (origin.product, origin.lot, origin.part)


def _lot(origin: Origin, image: int) -> Hashable:
    return _part(origin, image) if origin.lot is None else (origin.product, origin.lot)


def _by(keys: Iterable[Hashable]) -> list[NDArray[np.intp]]:
    groups: dict[Hashable, list[int]] = {}
    for image, key in enumerate(keys):
        groups.setdefault(key, []).append(image)
    return [np.array(group, np.intp) for group in groups.values()]
