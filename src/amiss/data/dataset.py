"""`Dataset`: normal images to learn from, and test images with what is known about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from amiss.core.decode import read_image
from amiss.core.errors import DataError
from amiss.core.images import Images, Size

GOOD = "good"
"""The defect type of a normal test image."""


@dataclass(frozen=True)
class Origin:
    """Where a picture comes from; None where it is not known.

    Args:
        product: What is made.
        lot: The batch it was made in: parts of one lot resemble each other.
        part: The piece that is shown: pictures of one part are no independent evidence.
        time: When it was taken, with or without a time zone.
    """

    product: str | None = None
    lot: str | None = None
    part: str | None = None
    time: datetime | None = None


@dataclass(frozen=True)
class Dataset:
    """One inspection task.

    Args:
        name: Short name for tables.
        normal: Normal images to learn from and calibrate with.
        test: Images to measure on; none of them is in `normal`.
        defects: For each test image its defect type, "good" for a normal one.
        masks: For each test image the file of its ground-truth mask, None for a normal one; None without any masks.
        normal_origins: For each normal image where it comes from; empty when nothing is known.
        test_origins: The same for each test image.
        licence: Licence of the pictures, "" when unknown.
    """

    name: str
    normal: Images
    test: Images
    defects: tuple[str, ...] = ()
    masks: tuple[Path | None, ...] | None = None
    normal_origins: tuple[Origin, ...] = ()
    test_origins: tuple[Origin, ...] = ()
    licence: str = ""

    def __post_init__(self) -> None:
        for what, entries in (("defects", self.defects), ("masks", self.masks), ("origins", self.test_origins or None)):
            if entries is not None and len(entries) != len(self.test):
                raise DataError(f"{self.name}: {len(entries)} {what} for {len(self.test)} test images")
        if self.normal_origins and len(self.normal_origins) != len(self.normal):
            raise DataError(f"{self.name}: {len(self.normal_origins)} origins for {len(self.normal)} normal images")

    @property
    def anomalous(self) -> NDArray[np.bool_]:
        """For each test image whether it is defective, (N,)."""
        return np.array([defect != GOOD for defect in self.defects], dtype=bool)

    def mask(self, index: int, size: Size) -> NDArray[np.bool_]:
        """Ground truth of one test image at (height, width): True = defective pixel (any value above 0).

        Resized by nearest neighbour.

        Raises:
            DataError: The data set has no masks, or a mask has another shape than its picture.
        """
        import cv2

        if self.masks is None:
            raise DataError(f"{self.name} has no masks")
        path = self.masks[index]
        if path is None:
            return np.zeros(size, dtype=bool)
        mask = read_image(path).max(axis=2)
        if mask.shape != self.test[index].shape[:2]:
            raise DataError(f"{path}: {mask.shape} pixels, but its picture has {self.test[index].shape[:2]}")
        return np.asarray(cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST)) > 0
