"""Score maps of images that keep their own size: too many pixels for memory, so they lie in a temporary file."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from amiss.core.images import Size
from amiss.data.dataset import Dataset
from amiss.data.truth import GroundTruthRegion
from amiss.evaluation.pixels import EqualPixels, Pixels
from amiss.inspector import Inspector
from amiss.metrics.cells import Cells
from amiss.metrics.weighted import Limits, areas


def pixels_of(inspector: Inspector, dataset: Dataset) -> Pixels:
    """Room for the maps of an inspector on the test images of a data set."""
    return EqualPixels(dataset, inspector.size) if inspector.tiling is None else OwnSizePixels(dataset)


class OwnSizePixels(Pixels):
    """Maps of any sizes, on disk: 5 H W bytes per image, gone with this object. Metrics are taken from counts.

    Each image is reduced once to counts in cells of the score axis, see `amiss.metrics.cells`; areas taken from those
    are within 1e-4 of the exact ones, which would sort all pixels of all images together.

    Args:
        dataset: Whose ground truth is read.
    """

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset)
        self._maps, self._masks = _Stored(np.float32), _Stored(np.bool_)

    def keep(self, index: int, score_map: NDArray[np.float32]) -> None:
        """Store one map and its mask."""
        self._masks.append(self.dataset.mask(index, (score_map.shape[0], score_map.shape[1])))
        self._maps.append(score_map)

    @property
    def masks(self) -> Sequence[NDArray[Any]]:
        """Ground truth, (H, W) of each."""
        return self._masks

    @property
    def maps(self) -> Sequence[NDArray[Any]]:
        """Scores, (H, W) of each."""
        return self._maps

    @property
    def regions(self) -> Sequence[Sequence[GroundTruthRegion]] | None:
        """Marked regions of each, where the ground truth knows saturations; read when they are asked for."""
        return _Regions(self.dataset, self._indices, self._maps.sizes) if self.dataset.has_saturation else None

    @cached_property
    def _cells(self) -> Cells:
        return super().cells()

    def cells(self) -> Cells:
        """The images reduced to counts; once, when all of them are here."""
        return self._cells

    def ranking(self) -> dict[str, float]:
        """Areas over all pixels; AUPIMO only where there are enough good pixels for it."""
        found = self._areas({}, None, pimo=True)
        return {name: value for name, value in found.items() if name in ("auroc", "ap") or not np.isnan(value)}

    def overlaps(self, limits: Limits, chosen: Sequence[int] | None = None) -> dict[str, float]:
        """Areas of overlap under names such as "pro 0.3", of all images or of those at some places."""
        found = self._areas({kind: limits[kind] for kind in limits if kind in self.limits}, chosen, pimo=False)
        return {name: value for name, value in found.items() if name not in ("auroc", "ap")}

    def _areas(self, limits: Limits, chosen: Sequence[int] | None, *, pimo: bool) -> dict[str, float]:
        weights = np.zeros((1, len(self)), np.int64)
        weights[0, range(len(self)) if chosen is None else chosen] = 1
        return {name: float(values[0]) for name, values in areas(self.cells(), weights, limits, pimo=pimo).items()}


class _Stored(Sequence[NDArray[Any]]):
    """Arrays of one type in one temporary file, mapped into memory when they are read."""

    def __init__(self, kind: type[np.generic]) -> None:
        self._kind = np.dtype(kind)
        self._file = tempfile.TemporaryFile(prefix="amiss-maps-")  # noqa: SIM115  it lives as long as this object
        self._mapped: NDArray[Any] | None = None
        self._ends = [0]
        self.sizes: list[Size] = []

    def append(self, array: NDArray[Any]) -> None:
        self._file.write(np.ascontiguousarray(array, self._kind).data)
        self._ends.append(self._ends[-1] + array.size)
        self.sizes.append((array.shape[0], array.shape[1]))
        self._mapped = None

    def __len__(self) -> int:
        return len(self.sizes)

    @overload
    def __getitem__(self, place: int) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[NDArray[Any]]: ...
    def __getitem__(self, place: int | slice) -> NDArray[Any] | Sequence[NDArray[Any]]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        if self._mapped is None:
            self._file.flush()
            self._mapped = np.asarray(np.memmap(self._file, self._kind, "r", shape=(self._ends[-1],)))
        start, end = self._ends[:-1][place], self._ends[1:][place]
        return self._mapped[start:end].reshape(self.sizes[place])

    def __del__(self) -> None:
        self._file.close()


class _Regions(Sequence[list[GroundTruthRegion]]):
    """Marked regions of some test images, read anew each time."""

    def __init__(self, dataset: Dataset, indices: list[int], sizes: list[Size]) -> None:
        self._dataset, self._indices, self._sizes = dataset, indices, sizes

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, place: int) -> list[GroundTruthRegion]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[list[GroundTruthRegion]]: ...
    def __getitem__(self, place: int | slice) -> list[GroundTruthRegion] | Sequence[list[GroundTruthRegion]]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        return self._dataset.regions(self._indices[place], self._sizes[place])
