"""What kind of images these are, before anything is learned from them: copies, sizes and depth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import DataError, ImageError
from amiss.core.images import Images, Look, Size
from amiss.core.origin import Origin, check_origins
from amiss.core.progress import Progress, silent
from amiss.core.threads import in_order, threads

SQUEEZE = 1.5
"""Change of aspect ratio from which a note is made."""

CAMERA_BITS = (10, 12, 14)
"""Depths that cameras store as they are in 16-bit files."""

SHOWN = 3
"""Sizes that a note lists."""

_NONE = np.zeros((0, 0, 3), np.uint8)


@dataclass(frozen=True)
class Survey:
    """What was found.

    Args:
        identities: Of each image, see `amiss.core.images.Look`; "" of one that cannot be used.
        sizes: Height and width of each usable image, before any resizing.
        peaks: Largest value of each usable image that has 16 bits, None for others.
        errors: The others.
    """

    identities: tuple[str, ...]
    sizes: tuple[Size, ...]
    peaks: tuple[int | None, ...]
    errors: tuple[ImageError, ...] = ()

    def all_usable(self) -> Survey:
        """The same survey, unless some images cannot be used; the error names the first one and says how many.

        Raises:
            ImageError: There are such images.
        """
        if self.errors:
            first, n = self.errors[0], len(self.identities)
            more = f"; {len(self.errors)} of {n} images cannot be used" if len(self.errors) > 1 else ""
            raise ImageError(first.name, f"{first.reason}{more}")
        return self

    def notes(self, size: Size | None, bits: int | None = None) -> tuple[str, ...]:
        """What a user should know of images that are resized to `size`, and read as numbers of so many `bits`."""
        return (*_size_notes(self.sizes, size), *([] if bits else depth_notes(self.peaks)))


def survey(images: Images, progress: Progress = silent) -> Survey:
    """Decode every image once, several at a time, at its own size.

    Args:
        images: Whatever size they are to be resized to.
        progress: Reports the stage "reading".
    """
    original = images.original()

    def look(index: int) -> Look | ImageError:
        try:
            return replace(original.read(index).look(), pixels=_NONE)
        except ImageError as error:
            return error

    found: list[Look | ImageError] = []
    for done, one in enumerate(in_order(look, len(images), threads()), start=1):
        found.append(one)
        progress("reading", done, len(images))
    looks = [one for one in found if isinstance(one, Look)]
    return Survey(
        identities=tuple(one.identity if isinstance(one, Look) else "" for one in found),
        sizes=tuple(one.size for one in looks),
        peaks=tuple(one.peak for one in looks),
        errors=tuple(one for one in found if isinstance(one, ImageError)),
    )


def first_of_each(identities: Sequence[str]) -> NDArray[np.intp]:
    """Indices of the images without their copies: of identical ones the first. Without identity it is no copy.

    Example:
        >>> first_of_each(["a", "b", "a", "", ""]).tolist()
        [0, 1, 3, 4]
    """
    seen: set[str] = set()
    kept = []
    for index, identity in enumerate(identities):
        if identity not in seen:
            kept.append(index)
        if identity:
            seen.add(identity)
    return np.array(kept, np.intp)


@dataclass(frozen=True)
class Distinct:
    """Images without copies.

    Args:
        images: The first of identical ones, in order.
        origins: Where each comes from, or nothing.
        identities: Of each.
        copies: How many were left out.
    """

    images: Images
    origins: Sequence[Origin]
    identities: tuple[str, ...]
    copies: int

    def without(self, learned: Sequence[str]) -> Distinct:
        """Those that were not learned from, so that the folder that a model was made of serves as it is.

        Args:
            learned: Identities of those that were.

        Raises:
            DataError: None is left.
        """
        known = set(learned)
        kept = [index for index, one in enumerate(self.identities) if one not in known]
        if not kept:
            raise DataError(f"all {len(self.identities)} good images were learned from; calibrate on others")
        origins = [self.origins[index] for index in kept] if self.origins else ()
        return Distinct(self.images.subset(kept), origins, tuple(self.identities[index] for index in kept), self.copies)


def distinct(images: Images, origins: Sequence[Origin], identities: Sequence[str]) -> Distinct:
    """The same images without their copies: one image is no more evidence for being there twice.

    Raises:
        DataError: Copies have different labels.
        InputError: Not one origin per image.
    """
    check_origins(len(images), origins)
    _check_labels(images, identities)
    kept = first_of_each(identities)
    return Distinct(
        images.subset(kept),
        [origins[index] for index in kept] if origins else (),
        tuple(identities[index] for index in kept),
        len(images) - len(kept),
    )


COPIES = "copies of others, pixel by pixel"
"""What identical images are called."""


def _check_labels(images: Images, identities: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for index, label in enumerate(images.labels):
        other = first.setdefault(identities[index], index) if identities[index] else index
        if images.labels[other] != label:
            one, two = (f"{images.names[at]} ({images.labels[at]})" for at in (other, index))
            raise DataError(f"copies must have one label, but {one} and {two} are the same image")


def copy_note(copies: int, what: str = "images") -> str:
    """A sentence on so many copies."""
    if copies == 1:
        return f"1 of the {what} is a copy of another, pixel by pixel: each image counts once."
    return f"{copies} of the {what} are {COPIES}: each image counts once."


def depth_notes(peaks: Sequence[int | None]) -> Iterator[str]:
    """A note where images of 16 bits hold numbers of fewer, which would make them too dark.

    Example:
        >>> list(depth_notes([None, 40, 4000]))[0][:54]
        'No value of the 2 16-bit images exceeds 4,095: they se'
    """
    known = [peak for peak in peaks if peak is not None]
    most = max(known, default=0)
    bits = next((bits for bits in CAMERA_BITS if most < 2**bits), None)
    if bits is not None and most > 255:
        yield (
            f"No value of the {len(known)} 16-bit images exceeds {2**bits - 1:,}: they seem to hold {bits} bits, and "
            f"are read {2 ** (16 - bits)} times too dark, which costs accuracy; learn with --bits {bits}."
        )


def _size_notes(sizes: Sequence[Size], size: Size | None) -> Iterator[str]:
    counts = Counter(sizes)
    squeezed = [one for one in sizes if size is not None and _squeeze(one, size) > SQUEEZE]
    if len(counts) > 1:
        shown = ", ".join(f"{h} x {w} ({count})" for (h, w), count in counts.most_common(SHOWN))
        more = f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else ""
        yield f"The {len(sizes)} images have {len(counts)} different sizes (height x width): {shown}{more}."
    if squeezed and size is not None:
        (height, width), _ = Counter(squeezed).most_common(1)[0]
        short = min(size)
        better = (short, round(short * width / height)) if width > height else (round(short * height / width), short)
        which = "Images" if len(squeezed) == len(sizes) else f"{len(squeezed)} of {len(sizes)} images, such as those"
        yield (
            f"{which} of {height} x {width} pixels (height x width) are squeezed to {size[0]} x {size[1]}; "
            f"a size of {better[0]}x{better[1]} would keep their shape."
        )


def _squeeze(size: Size, to: Size) -> float:
    ratio = (size[0] / size[1]) / (to[0] / to[1])
    return max(ratio, 1 / ratio)
