"""`Dataset`: normal images to learn from, and test images with what is known about them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import DataError
from amiss.core.images import Images, Size
from amiss.core.origin import Origin
from amiss.data.truth import GroundTruthRegion, MaskSource, RegionFiles, read_mask, resize_mask

GOOD = "good"
"""The defect type of a normal test image."""


@dataclass(frozen=True, repr=False)
class Dataset:
    """One inspection task.

    Args:
        name: Short name for tables.
        normal: Normal images to learn from and calibrate with.
        test: Images to measure on; none of them is in `normal`.
        defects: For each test image its defect type, "good" for a normal one.
        masks: For each test image its ground truth: a file, an array, a `Truth`, or None for a normal one or where it
            is not known; None without any masks.
        normal_origins: For each normal image where it comes from; empty when nothing is known.
        test_origins: The same for each test image.
        licence: Licence of the images, "" when unknown.
        notes: What a reader of results should know: an own split, images left out, masks that are missing.
    """

    name: str
    normal: Images
    test: Images
    defects: tuple[str, ...] = ()
    masks: tuple[MaskSource | None, ...] | None = None
    normal_origins: tuple[Origin, ...] = ()
    test_origins: tuple[Origin, ...] = ()
    licence: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for what, entries in (("defects", self.defects), ("masks", self.masks), ("origins", self.test_origins or None)):
            if entries is not None and len(entries) != len(self.test):
                raise DataError(f"{self.name}: {len(entries)} {what} for {len(self.test)} test images")
        if self.normal_origins and len(self.normal_origins) != len(self.normal):
            raise DataError(f"{self.name}: {len(self.normal_origins)} origins for {len(self.normal)} normal images")

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, normal = {len(self.normal)}, test = {len(self.test)})"

    @property
    def anomalous(self) -> NDArray[np.bool_]:
        """For each test image whether it is defective, (N,)."""
        return np.array([defect != GOOD for defect in self.defects], dtype=bool)

    @property
    def has_saturation(self) -> bool:
        """Whether the ground truth says of each region how much of it is enough, so that sPRO can be measured."""
        known = [mask for mask in self.masks or () if mask is not None]
        return bool(known) and all(isinstance(mask, RegionFiles) for mask in known)

    def mask(self, index: int, size: Size) -> NDArray[np.bool_]:
        """Ground truth of one test image at (height, width): True = defective pixel (any value above 0).

        Resized by nearest neighbour, except that no defect vanishes: see `resize_mask`.

        Raises:
            DataError: The data set has no masks, or a mask has another shape than its image.
            ImageError: The image or its mask cannot be decoded.
        """
        if self.masks is None:
            raise DataError(f"{self.name} has no masks")
        source = self.masks[index]
        if source is None:
            return np.zeros(size, dtype=bool)
        return resize_mask(read_mask(source, self._own_size(index)), size)

    def regions(self, index: int, size: Size) -> list[GroundTruthRegion]:
        """The marked regions of one test image at (height, width); none for a good one.

        A saturation shrinks and grows with the area of the image, and never exceeds its region.

        Raises:
            DataError: The ground truth knows no saturation (`has_saturation`), or does not fit its image.
            ImageError: The image or a mask cannot be decoded.
        """
        if not self.has_saturation or self.masks is None:
            raise DataError(f"{self.name}: its ground truth says of no region how much of it is enough (saturation)")
        source = self.masks[index]
        if not isinstance(source, RegionFiles):
            return []
        own = self._own_size(index)
        scale = (size[0] * size[1]) / (own[0] * own[1])
        found = [(region, resize_mask(region.mask, size)) for region in source.regions(own)]
        return [GroundTruthRegion(mask, min(region.saturation * scale, float(mask.sum()))) for region, mask in found]

    def without_copies(self) -> Dataset:
        """Without the test images that are normal images too, by `Images.sha256`; a note says how many were left out.

        Whatever learns from the normal images knows these, and nothing is measured on them. Reads every image once.
        """
        known = {digest for digest in self.normal.hashes() if digest}
        kept = [index for index, digest in enumerate(self.test.hashes()) if digest not in known]
        copies = len(self.test) - len(kept)
        if copies == 0:
            return self
        return replace(
            self,
            test=self.test.subset(np.array(kept, np.intp)),
            defects=tuple(self.defects[index] for index in kept),
            masks=None if self.masks is None else tuple(self.masks[index] for index in kept),
            test_origins=tuple(self.test_origins[index] for index in kept) if self.test_origins else (),
            notes=(*self.notes, f"left out {copies} of {len(self.test)} test images: they are normal images too"),
        )

    def _own_size(self, index: int) -> Size:
        height, width, _ = self.test[index].shape
        return height, width
