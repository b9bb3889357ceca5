"""Score maps beside their ground truth, kept until the pixel metrics are computed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from amiss.core.images import Size
from amiss.data.dataset import GOOD, Dataset
from amiss.data.truth import GroundTruthRegion
from amiss.metrics import aupimo, aupro, auroc, average_precision, spro
from amiss.metrics.cells import Cells, reduce_images
from amiss.metrics.overlap import Stack
from amiss.metrics.pimo import resolves
from amiss.metrics.spro import LIMITS
from amiss.metrics.weighted import Limits

PRO_LIMITS = (0.3, 0.05)


class Pixels(ABC):
    """Maps and masks of the images that have both; nothing at all for a data set without masks.

    Args:
        dataset: Whose ground truth is read.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._indices: list[int] = []

    def add(self, index: int, score_map: NDArray[np.float32] | None) -> None:
        """Keep one map; a defective image whose mask is unknown is left out, for its pixels have no truth."""
        masks = self.dataset.masks
        if masks is None or score_map is None:
            return
        if masks[index] is None and self.dataset.defects[index] != GOOD:
            return
        self.keep(index, score_map)
        self._indices.append(index)

    @abstractmethod
    def keep(self, index: int, score_map: NDArray[np.float32]) -> None:
        """Store one map and its mask."""

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def indices(self) -> NDArray[np.int64]:
        """Which test images are here, in order, (K,)."""
        return np.array(self._indices, np.int64)

    @property
    def defects(self) -> list[str]:
        """Their defect types."""
        return [self.dataset.defects[index] for index in self._indices]

    @property
    def defective(self) -> NDArray[np.bool_]:
        """Which of them are defective, (K,)."""
        return np.array([defect != GOOD for defect in self.defects], bool)

    @property
    @abstractmethod
    def masks(self) -> Stack:
        """Ground truth, (H, W) of each."""

    @property
    @abstractmethod
    def maps(self) -> Stack:
        """Scores, (H, W) of each."""

    @property
    @abstractmethod
    def regions(self) -> Sequence[Sequence[GroundTruthRegion]] | None:
        """Marked regions of each, where the ground truth knows saturations."""

    @property
    def limits(self) -> Limits:
        """Kinds of regions, and up to which false-positive rates their areas are taken."""
        return {"pro": PRO_LIMITS, "spro": LIMITS} if self.dataset.has_saturation else {"pro": PRO_LIMITS}

    def cells(self) -> Cells:
        """The images reduced to counts, for intervals."""
        return reduce_images(self.masks, self.maps, self.defective, regions=self.regions)

    @abstractmethod
    def ranking(self) -> dict[str, float]:
        """Areas over all pixels, named as by `amiss.metrics.weighted.areas`: "auroc", "ap", and those of AUPIMO."""

    @abstractmethod
    def overlaps(self, limits: Limits, chosen: Sequence[int] | None = None) -> dict[str, float]:
        """Areas of overlap under names such as "pro 0.3", of all images or of those at some places."""


class EqualPixels(Pixels):
    """Maps of one size, in memory; metrics are exact.

    A map takes 4 H W bytes, a mask H W, and each region of a ground truth with saturations another H W.

    Args:
        dataset: Whose ground truth is read.
        size: Height and width of the maps.
    """

    def __init__(self, dataset: Dataset, size: Size) -> None:
        super().__init__(dataset)
        self._size = size
        room = len(dataset.test) if dataset.masks is not None else 0
        self._maps = np.empty((room, *size), np.float32)
        self._masks = np.empty((room, *size), np.bool_)
        self._regions: list[list[GroundTruthRegion]] | None = [] if dataset.has_saturation else None

    def keep(self, index: int, score_map: NDArray[np.float32]) -> None:
        """Store one map and its mask."""
        place = len(self)
        if self._regions is None:
            self._masks[place] = self.dataset.mask(index, self._size)
        else:
            regions = self.dataset.regions(index, self._size)
            self._regions.append(regions)
            self._masks[place] = np.any([region.mask for region in regions], axis=0) if regions else False
        self._maps[place] = score_map

    @property
    def masks(self) -> NDArray[np.bool_]:
        """Ground truth, (K, H, W)."""
        return self._masks[: len(self)]

    @property
    def maps(self) -> NDArray[np.float32]:
        """Scores, (K, H, W)."""
        return self._maps[: len(self)]

    @property
    def regions(self) -> Sequence[Sequence[GroundTruthRegion]] | None:
        """Marked regions of each, where the ground truth knows saturations."""
        return self._regions

    def ranking(self) -> dict[str, float]:
        """Areas over all pixels; AUPIMO only where there are enough good pixels for it."""
        masks, maps = self.masks, self.maps
        values = {"auroc": auroc(masks, maps), "ap": average_precision(masks, maps)}
        if resolves(int((~self.defective).sum()) * masks[0].size):
            pimo = aupimo(masks, maps, defective=self.defective)
            values |= {"aupimo": pimo.mean, "aupimo median": pimo.median, "aupimo p33": pimo.p33}
        return values

    def overlaps(self, limits: Limits, chosen: Sequence[int] | None = None) -> dict[str, float]:
        """Areas of overlap under names such as "pro 0.3", of all images or of those at some places."""
        places = range(len(self)) if chosen is None else chosen
        masks, maps = [self.masks[place] for place in places], [self.maps[place] for place in places]
        values = dict(zip(limits["pro"], aupro(masks, maps, limits["pro"]), strict=True)) if "pro" in limits else {}
        found = {f"pro {limit:g}": value for limit, value in values.items()}
        if self._regions is not None and "spro" in limits:
            areas = spro([self._regions[place] for place in places], maps, limits["spro"])
            found |= {f"spro {limit:g}": area for limit, area in zip(limits["spro"], areas, strict=True)}
        return found
