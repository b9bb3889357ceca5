"""`Dataset`: normal images to learn from, and test images with what is known about them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import DataError
from amiss.core.images import Images, Size
from amiss.core.origin import Origin
from amiss.core.survey import COPIES, first_of_each
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

    def each_page(self) -> Dataset:
        """The same data set, and of files that hold several images each of them, with what is known of its file.

        Raises:
            DataError: A file of several images has a mask, which can be of one only.
        """
        normal, learned = self.normal.each_page()
        test, measured = self.test.each_page()
        counts = np.bincount(measured, minlength=len(self.test))
        for index, mask in enumerate(self.masks or ()):
            if mask is not None and counts[index] > 1:
                raise DataError(
                    f"{self.test.names[index]}: a file with a mask must hold one image, got {counts[index]}; save each "
                    "as a file of its own"
                )
        return replace(
            self,
            normal=normal,
            test=test,
            defects=tuple(self.defects[index] for index in measured),
            masks=None if self.masks is None else tuple(self.masks[index] for index in measured),
            normal_origins=tuple(self.normal_origins[index] for index in learned) if self.normal_origins else (),
            test_origins=tuple(self.test_origins[index] for index in measured) if self.test_origins else (),
        )

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

    def without_copies(self, known: Collection[str], identities: Sequence[str]) -> Dataset:
        """Without test images that are known already, and of copies only the first; notes say how many were left out.

        Nothing is measured on what learning knows, and one image is no more evidence for being there twice.

        Args:
            known: Identities of what learning knows.
            identities: Those of the test images, see `amiss.core.survey.Survey`.

        Raises:
            DataError: Two copies are called different defect types, or no test image is left.
        """
        if wrong := self.contradictions(identities):
            raise DataError(wrong[0])
        first = set(first_of_each(identities).tolist())
        new = [index for index, identity in enumerate(identities) if identity not in known]
        kept = [index for index in new if index in first]
        if len(kept) == len(identities):
            return self
        if not kept:
            raise DataError(
                f"{self.name}: all {len(identities)} test images were seen in learning or calibration; give others"
            )
        notes = {
            "the model has seen them while it was made": len(identities) - len(new),
            f"they are {COPIES}": len(new) - len(kept),
        }
        return replace(
            self,
            test=self.test.subset(np.array(kept, np.intp)),
            defects=tuple(self.defects[index] for index in kept),
            masks=None if self.masks is None else tuple(self.masks[index] for index in kept),
            test_origins=tuple(self.test_origins[index] for index in kept) if self.test_origins else (),
            notes=(
                *self.notes,
                *(f"left out {n} of {len(identities)} test images: {why}." for why, n in notes.items() if n),
            ),
        )

    def contradictions(self, identities: Sequence[str]) -> list[str]:
        """A sentence on every test image that is the same as another one of another defect type.

        Args:
            identities: Of the test images, see `amiss.core.survey.Survey`.
        """
        first: dict[str, int] = {}
        wrong = []
        for index, identity in enumerate(identities):
            other = first.setdefault(identity, index) if identity else index
            if self.defects[other] != self.defects[index]:
                one, two = (f"{self.test.names[at]} ({self.defects[at]})" for at in (other, index))
                wrong.append(f"{one} and {two} are the same image")
        return wrong

    def _own_size(self, index: int) -> Size:
        height, width, _ = self.test[index].shape
        return height, width


def join_origins(sets: Sequence[Dataset]) -> tuple[Origin, ...]:
    """Where the normal images of several sets come from, one set after the other; nothing where none names any."""
    if not any(each.normal_origins for each in sets):
        return ()
    return tuple(one for each in sets for one in each.normal_origins or (Origin(),) * len(each.normal))
