"""Ground truth of one image: where its mask comes from, and how a mask gets to another size.

A mask keeps its own numbers until it is asked for: any value above 0 is defective.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from amiss.core.decode import read_values
from amiss.core.errors import DataError, ImageError
from amiss.core.images import Size

Mask = NDArray[np.bool_]

MOST = 0.5
"""Share of an image from which a mask that marks more is doubted."""


class Truth(Protocol):
    """A mask that is more than one file, or no file at all."""

    @property
    def name(self) -> str:
        """How errors call it."""
        ...

    def read(self, size: Size) -> Mask:
        """The mask of an image of this (height, width), at that size or at the one its files have."""
        ...


MaskSource = Path | NDArray[Any] | Truth
"""A file, an array (H, W), or a `Truth`."""


@dataclass(frozen=True)
class GroundTruthRegion:
    """One marked region.

    Args:
        mask: Its pixels, bool (H, W).
        saturation: How many of its pixels are enough to have found it, in pixels of this mask, above 0.
    """

    mask: Mask
    saturation: float


@dataclass(frozen=True)
class Saturation:
    """How much of a defect is enough to have found it.

    Args:
        threshold: Pixels, or a share of the region.
        relative: Whether it is a share.
    """

    threshold: float
    relative: bool

    def area(self, region: int) -> float:
        """Pixels that are enough of a region of so many pixels; at least 1, at most all."""
        wanted = int(self.threshold * region) if self.relative else self.threshold
        return float(min(max(wanted, 1), region))


@dataclass(frozen=True)
class RegionFiles:
    """One file per region; the value of its pixels tells the defect, and the defect the saturation.

    Args:
        paths: The files.
        saturations: For each pixel value its saturation.
    """

    paths: tuple[Path, ...]
    saturations: Mapping[int, Saturation]

    @property
    def name(self) -> str:
        """The folder of the files."""
        return str(self.paths[0].parent)

    def read(self, size: Size) -> Mask:
        """The union of all regions."""
        return np.asarray(np.any([region.mask for region in self.regions(size)], axis=0), np.bool_)

    def regions(self, size: Size) -> list[GroundTruthRegion]:
        """Every region at the size of its file, which must be `size`.

        Raises:
            DataError: A file holds no defect, several, or one without saturation, or has another size.
        """
        return [self._region(path, size) for path in self.paths]

    def _region(self, path: Path, size: Size) -> GroundTruthRegion:
        levels = read_levels(path)
        check_size(str(path), levels.shape, size)
        values = [int(value) for value in np.unique(levels) if value]
        if len(values) != 1 or values[0] not in self.saturations:
            known = ", ".join(map(str, sorted(self.saturations)))
            raise DataError(f"{path}: there must be exactly one of {known} besides 0, got {values}")
        mask = levels > 0
        return GroundTruthRegion(mask, self.saturations[values[0]].area(int(mask.sum())))


@dataclass(frozen=True)
class RunLengths:
    """Runs of defective pixels, counted from 1 down the columns: "1 3 10 2" is pixels 1, 2, 3, 10 and 11.

    Args:
        name: How errors call it.
        runs: One text a defect.

    Example:
        >>> RunLengths("x", ("1 2", "6 1")).read((2, 3)).astype(int).tolist()
        [[1, 0, 0], [1, 0, 1]]
    """

    name: str
    runs: tuple[str, ...]

    def read(self, size: Size) -> Mask:
        """The union of all runs.

        Raises:
            DataError: A run is not a pair of whole numbers, or leaves the image.
        """
        flat = np.zeros(size[0] * size[1], np.bool_)
        for text in self.runs:
            words = text.split()
            if len(words) % 2 or not all(word.isdecimal() for word in words):
                raise DataError(f"{self.name}: {text[:40]!r} is not a list of pairs 'start length'")
            for start, length in zip(map(int, words[::2]), map(int, words[1::2]), strict=True):
                if start < 1 or start + length - 1 > flat.size:
                    raise DataError(f"{self.name}: the run {start} {length} leaves the image of {flat.size} pixels")
                flat[start - 1 : start - 1 + length] = True
        return flat.reshape(size, order="F")


def read_levels(path: Path) -> NDArray[Any]:
    """The numbers of a mask file, (H, W); of colours the largest, without alpha.

    Raises:
        DataError: One whose marks lie in alpha only, a JPEG, whose losses look like defects, or an image of floats.
        ImageError: The file cannot be decoded.
    """
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise DataError(f"{path}: a JPEG is not exact, and its losses would count as defects; save the mask as PNG")
    values = read_values(path)
    if values.dtype.kind != "u":
        raise DataError(f"{path}: a mask must have whole numbers, got {values.dtype}")
    if values.ndim == 2:
        return values
    colours, alpha = values[:, :, :3], values[:, :, 3:]
    if alpha.size and colours.min() == colours.max() and alpha.min() < alpha.max():
        raise DataError(f"{path}: its marks lie in the alpha channel, which is not read; save them as grey values")
    return np.asarray(colours.max(axis=2))


def marked_share(source: MaskSource) -> float | None:
    """The share of a mask that is marked, in [0, 1]; None for one that cannot be read or is no single file or array."""
    if isinstance(source, np.ndarray):
        return float((source > 0).mean()) if source.size else None
    if not isinstance(source, Path):
        return None
    try:
        return float((read_levels(source) > 0).mean())
    except (DataError, ImageError):
        return None


def empty_note(count: int) -> str:
    """A sentence on so many masks without a mark."""
    return f"{count} defective test images have an empty mask: pixel figures see no defect in them."


def doubtful_masks(masks: Sequence[MaskSource | None]) -> list[str]:
    """A sentence on masks that mark more than half of their image, which an inverted mask and one on white do.

    Example:
        >>> doubtful_masks([np.ones((2, 2)), np.eye(2), None])
        ['1 of 2 masks mark more than half of their image, such as a mask (100 %): inverted, or drawn on white?']
    """
    shares = [(share, source) for source in masks if source is not None and (share := marked_share(source)) is not None]
    doubtful = [(share, source) for share, source in shares if share > MOST]
    if not doubtful:
        return []
    share, source = max(doubtful, key=lambda pair: pair[0])
    return [
        f"{len(doubtful)} of {len(shares)} masks mark more than half of their image, such as {mask_name(source)} "
        f"({100 * share:.0f} %): inverted, or drawn on white?"
    ]


def read_mask(source: MaskSource, size: Size) -> Mask:
    """The mask of an image of this (height, width).

    Raises:
        DataError: The mask has another size than its image, or cannot be read as one.
        ImageError: Its file cannot be decoded.
    """
    if isinstance(source, Path):
        mask = read_levels(source) > 0
    elif isinstance(source, np.ndarray):
        mask = source > 0
    else:
        mask = source.read(size)
    check_size(mask_name(source), mask.shape, size)
    return np.asarray(mask, np.bool_)


def mask_paths(source: MaskSource) -> tuple[Path, ...]:
    """The files of a mask; none for an array."""
    if isinstance(source, RegionFiles):
        return source.paths
    return (source,) if isinstance(source, Path) else ()


def mask_name(source: MaskSource) -> str:
    """How errors call a mask."""
    if isinstance(source, np.ndarray):
        return "a mask"
    return str(source) if isinstance(source, Path) else source.name


def check_size(name: str, shape: tuple[int, ...], size: Size) -> None:
    """A mask fits its image, or a `DataError`."""
    if shape != size:
        raise DataError(f"{name}: {shape} pixels, but its image has {size}")


def resize_mask(mask: Mask, size: Size) -> Mask:
    """A mask at another (height, width): by nearest neighbour, but no defect vanishes.

    Connected defective pixels (8-connectivity) that nearest neighbour passes over keep every pixel that they touch.
    A scratch one pixel wide would otherwise be no defect at a smaller size, and finding it a false alarm.

    Example:
        >>> mask = np.zeros((4, 4), bool)
        >>> mask[3, 3] = True
        >>> resize_mask(mask, (2, 2)).astype(int).tolist()
        [[0, 0], [0, 1]]
    """
    import cv2

    small = np.asarray(cv2.resize(mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)) > 0
    height, width = mask.shape
    if size[0] >= height and size[1] >= width:
        return small
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    seen = np.unique(cv2.resize(labels.astype(np.float32), size[::-1], interpolation=cv2.INTER_NEAREST))
    lost = np.setdiff1d(np.arange(1, count), seen)
    if lost.size:
        rows, columns = np.nonzero(np.isin(labels, lost))
        small[rows * size[0] // height, columns * size[1] // width] = True
    return small
