"""A region of interest: only what lies inside can alarm."""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amiss.core.decode import read_values
from amiss.core.errors import InputError
from amiss.core.images import Size
from amiss.core.scores import Scores


@dataclass(frozen=True)
class RegionOfInterest:
    """Give what lies outside of a region the lowest score inside, so that it cannot alarm.

    It changes scores before the rule, so the threshold is calibrated on what is inspected, and on nothing else.

    Args:
        size: Height and width of the maps it is made for.
        packed: Which pixels lie inside, one bit each, row by row: zlib, then base64. See `of_mask`.

    Raises:
        InputError: Nothing inside, bits that do not fit the size, scores without a map, or maps of another size.

    Example:
        >>> region = RegionOfInterest.of_mask([[1, 1], [0, 1]])
        >>> region(Scores.of_map(np.array([[[1.0, 2.0], [9.0, 3.0]]]))).map.tolist()
        [[[1.0, 2.0], [1.0, 3.0]]]
    """

    size: tuple[int, int]
    packed: str = field(repr=False)
    name: ClassVar[str] = "region_of_interest"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        if not self.inside.any():
            raise InputError("a region of interest must have at least 1 pixel; mark what is to be inspected (not 0)")

    @classmethod
    def of_mask(cls, mask: ArrayLike) -> Self:
        """The region of the pixels that are not 0 in a mask (H, W)."""
        inside = np.asarray(mask) != 0
        if inside.ndim != 2:
            raise InputError(f"a mask must have shape (H, W), got {inside.shape}")
        bits = zlib.compress(np.packbits(inside).tobytes(), 9)
        return cls((inside.shape[0], inside.shape[1]), base64.b64encode(bits).decode())

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """True where the image is inspected, (H, W)."""
        count = self.size[0] * self.size[1]
        wanted = -(-count // 8)
        try:
            data = base64.b64decode(self.packed, validate=True)
            bits = zlib.decompressobj().decompress(data, wanted + 1)  # never more, whatever it claims to hold
        except (binascii.Error, zlib.error) as error:
            raise InputError(f"the region of interest cannot be read ({error})") from error
        if len(bits) != wanted:
            raise InputError(f"a region of interest of {self.size} must have {wanted} bytes, got at least {len(bits)}")
        return np.unpackbits(np.frombuffer(bits, np.uint8), count=count).reshape(self.size).astype(bool)

    def __call__(self, scores: Scores) -> Scores:
        if scores.map is None:
            raise InputError("a region of interest needs a score map; this detector gives one score per image")
        if scores.map.shape[1:] != self.size:
            raise InputError(f"maps must be {self.size}, as the region of interest is, got {scores.map.shape[1:]}")
        lowest = np.min(scores.map, axis=(1, 2), where=self.inside, initial=np.inf)
        return Scores.of_map(np.where(self.inside, scores.map, lowest[:, None, None]), scores.classes)

    def config(self) -> dict[str, Any]:
        """The constructor's arguments as plain JSON values."""
        return {**asdict(self), "size": list(self.size)}


def read_region(
    region: str | Path | None, ignored: str | Path | None, image: Size, size: Size
) -> RegionOfInterest | None:
    """The region of interest that mask files describe, at the size of the maps; None without any file.

    Args:
        region: An image in which all that is not black is inspected, or None for everything.
        ignored: An image in which all that is not black is left out, or None for nothing.
        image: Height and width of the inspected images; the masks must have the same.
        size: Height and width of the maps. A pixel of the map lies inside when half of it does.

    Raises:
        ImageError: A mask cannot be read.
        InputError: A mask of another size, or nothing left.
    """
    import cv2

    if region is None and ignored is None:
        return None
    inside = np.ones(image, bool)
    for path, keep in ((region, True), (ignored, False)):
        if path is not None:
            inside &= _read_mask(path, image) == keep
    if not inside.any():
        raise InputError(f"{region or 'no region'} without {ignored or 'anything'} leaves no pixel to inspect")
    share = cv2.resize(inside.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
    return RegionOfInterest.of_mask(share >= 0.5)


def _read_mask(path: str | Path, image: Size) -> NDArray[np.bool_]:
    values = read_values(path)
    if values.shape[:2] != image:
        raise InputError(
            f"{path}: a mask must have the size of the images, {image[0]} x {image[1]} (height x width), got "
            f"{values.shape[0]} x {values.shape[1]} pixels"
        )
    colours = values if values.ndim == 2 else values[:, :, : 3 if values.shape[2] > 2 else 1].max(axis=2)
    return np.asarray(colours != 0)
