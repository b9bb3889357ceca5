"""What kind of images these are, before anything is learned from them: copies, sizes and depth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import ImageError
from amiss.core.images import Images, Size
from amiss.core.origin import Origin, check_origins
from amiss.core.progress import Progress, silent
from amiss.core.threads import in_order, threads

SQUEEZE = 1.5
"""Change of aspect ratio from which a note is made."""

CAMERA_BITS = (10, 12, 14)
"""Depths that cameras store as they are in 16-bit files."""

SHOWN = 3
"""Sizes that a note lists."""


@dataclass(frozen=True)
class Survey:
    """What was found, image by image.

    Args:
        hashes: SHA-256 (hex) of each, see `Images.sha256`.
        sizes: Height and width of each, as it is read.
        peaks: Largest value of each that has 16 bits, None for others.
    """

    hashes: tuple[str, ...]
    sizes: tuple[Size, ...]
    peaks: tuple[int | None, ...]

    def notes(self, size: Size | None, bits: int | None = None) -> tuple[str, ...]:
        """What a user should know of images that are resized to `size`, and read as numbers of so many `bits`."""
        return (*_size_notes(self.sizes, size), *([] if bits else depth_notes(self.peaks)))


def survey(images: Images, progress: Progress = silent) -> Survey:
    """Read every image once.

    Raises:
        ImageError: Some cannot be used; names the first one and says how many.
    """
    original = images.original()
    broken: list[ImageError] = []
    looks: list[tuple[str, Size, int | None]] = []

    def look(index: int) -> tuple[str, Size, int | None] | ImageError:
        try:
            content = original.read(index)
            height, width, _ = content.pixels().shape
            return content.sha256, (height, width), content.peak()
        except ImageError as error:
            return error

    for index, found in enumerate(in_order(look, len(images), threads())):
        if isinstance(found, ImageError):
            broken.append(found)
        else:
            looks.append(found)
        progress("reading", index + 1, len(images))
    if broken:
        more = f"; {len(broken)} of {len(images)} images cannot be used" if len(broken) > 1 else ""
        raise ImageError(broken[0].name, f"{broken[0].reason}{more}")
    hashes, sizes, peaks = zip(*looks, strict=True) if looks else ((), (), ())
    return Survey(hashes, sizes, peaks)


def first_of_each(hashes: Sequence[str]) -> NDArray[np.intp]:
    """Indices of the images without their copies: of each content the first one. An image without a hash is no copy.

    Example:
        >>> first_of_each(["a", "b", "a", "", ""]).tolist()
        [0, 1, 3, 4]
    """
    seen: set[str] = set()
    kept = []
    for index, digest in enumerate(hashes):
        if digest not in seen:
            kept.append(index)
        if digest:
            seen.add(digest)
    return np.array(kept, np.intp)


@dataclass(frozen=True)
class Distinct:
    """Images without copies.

    Args:
        images: The first of each content, in order.
        origins: Where each comes from, or nothing.
        hashes: SHA-256 (hex) of each.
        copies: How many were left out.
    """

    images: Images
    origins: Sequence[Origin]
    hashes: tuple[str, ...]
    copies: int


def distinct(images: Images, origins: Sequence[Origin], hashes: Sequence[str]) -> Distinct:
    """The same images without their copies: one image is no more evidence for being there twice.

    Raises:
        InputError: Not one origin per image.
    """
    check_origins(len(images), origins)
    kept = first_of_each(hashes)
    return Distinct(
        images.subset(kept),
        [origins[index] for index in kept] if origins else (),
        tuple(hashes[index] for index in kept),
        len(images) - len(kept),
    )


def copy_note(copies: int, what: str = "images") -> str:
    """A sentence on so many copies."""
    if copies == 1:
        return f"1 of the {what} is a copy of another, byte for byte: each image counts once."
    return f"{copies} of the {what} are copies of others, byte for byte: each image counts once."


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
