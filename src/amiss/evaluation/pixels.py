"""Score maps beside their ground truth, kept until the pixel metrics are computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from amiss.core.images import Size
from amiss.data.dataset import GOOD, Dataset
from amiss.data.truth import GroundTruthRegion
from amiss.metrics.cells import Cells, reduce_images
from amiss.metrics.resample import Limits
from amiss.metrics.spro import LIMITS

PRO_LIMITS = (0.3, 0.05)


class Pixels:
    """Maps and masks of the images that have both; nothing at all for a data set without masks.

    A map takes 4 H W bytes, a mask H W, and each region of a ground truth with saturations another H W.

    Args:
        dataset: Whose ground truth is read.
        size: Height and width of the maps.
    """

    def __init__(self, dataset: Dataset, size: Size) -> None:
        self._dataset = dataset
        self._size = size
        self._places: dict[int, int] = {}
        room = len(dataset.test) if dataset.masks is not None else 0
        self._maps = np.empty((room, *size), np.float32)
        self._masks = np.empty((room, *size), np.bool_)
        self._regions: list[list[GroundTruthRegion]] | None = [] if dataset.has_saturation else None

    def add(self, index: int, score_map: NDArray[np.float32] | None) -> None:
        """Keep one map; a defective image whose mask is unknown is left out, for its pixels have no truth."""
        masks, place = self._dataset.masks, len(self._places)
        if masks is None or score_map is None:
            return
        if masks[index] is None and self._dataset.defects[index] != GOOD:
            return
        if self._regions is None:
            self._masks[place] = self._dataset.mask(index, self._size)
        else:
            regions = self._dataset.regions(index, self._size)
            self._regions.append(regions)
            self._masks[place] = np.any([region.mask for region in regions], axis=0) if regions else False
        self._maps[place] = score_map
        self._places[index] = place

    def __len__(self) -> int:
        return len(self._places)

    @property
    def indices(self) -> NDArray[np.int64]:
        """Which test images are here, in order, (K,)."""
        return np.array(list(self._places), np.int64)

    @property
    def defects(self) -> list[str]:
        """Their defect types."""
        return [self._dataset.defects[index] for index in self._places]

    @property
    def defective(self) -> NDArray[np.bool_]:
        """Which of them are defective, (K,)."""
        return np.array([defect != GOOD for defect in self.defects], bool)

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

    @property
    def limits(self) -> Limits:
        """Kinds of regions, and up to which false-positive rates their areas are taken."""
        return {"pro": PRO_LIMITS} if self._regions is None else {"pro": PRO_LIMITS, "spro": LIMITS}

    def cells(self) -> Cells:
        """The images reduced to counts, for resampling."""
        return reduce_images(self.masks, self.maps, self.defective, regions=self._regions)
