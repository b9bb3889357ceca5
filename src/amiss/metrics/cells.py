"""Test images reduced to counts over common cells of the score axis, so that hundreds of evaluations are cheap.

An interval needs to know what a metric would be without some *images*, for pixels of one image are not independent.
Every pixel metric depends on an image only through how many of its pixels, and how much of its regions, lie above each
threshold. So each image is reduced once to counts in some ten thousand cells, the same for all images; the metric of
some of them is then that of a weighted sum of rows.

Inside a cell the order of pixels is forgotten. What that can change is bounded by `Cells.error`, and cells are
chosen so fine that the bound on areas is 1e-4: no cell holds more normal pixels than 2e-4 of the limit of the area it
matters to, and the highest scores of either class have cells of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.metrics.overlap import Overlap, Stack, pairs
from amiss.metrics.pimo import check_defective
from amiss.metrics.pro import overlap_of_mask
from amiss.metrics.spro import Marked, overlap_of_regions

ZONES = ((0.0, 0.01, 2e-6), (0.01, 0.05, 1e-5), (0.05, 0.1, 2e-5), (0.1, 0.3, 6e-5), (0.3, 1.0, 2e-4))
"""Largest share of the normal pixels in one cell, between two false-positive rates."""

ANOMALOUS_CELLS = 4000
SINGLES = 1000
SAMPLE = 1 << 21
"""Pixels of a class beyond which cells are laid over an even sample of them, and the highest of each image."""


@dataclass(frozen=True, eq=False)
class Cells:
    """M images over B cells, highest scores first.

    Args:
        good: True for a good image, (M,).
        normal: Pixels outside all regions, float32 (M, B).
        rows: The images with an anomalous pixel, (D,).
        anomalous: Their anomalous pixels, float32 (D, B).
        overlap: For each kind of region the overlap that the pixels of a cell add, float32 (D, B).
        regions: For each kind the number of regions, (D,).
        exact: True for a cell of one distinct score, (B,): its pixels are tied, not merely close.
    """

    good: NDArray[np.bool_]
    normal: NDArray[np.float32]
    rows: NDArray[np.int64]
    anomalous: NDArray[np.float32]
    overlap: dict[str, NDArray[np.float32]]
    regions: dict[str, NDArray[np.int64]]
    exact: NDArray[np.bool_]

    @cached_property
    def pixels(self) -> NDArray[np.int64]:
        """Normal pixels of each image, (M,)."""
        return np.asarray(self.normal.sum(axis=1, dtype=np.float64), np.int64)

    @cached_property
    def shares(self) -> NDArray[np.float32]:
        """Of each good image the share of its pixels in each cell, (number of good images, B)."""
        return np.asarray(self.normal[self.good] / self.pixels[self.good][:, None], np.float32)

    @cached_property
    def found(self) -> NDArray[np.float64]:
        """True-positive rate of each image of `rows` down to each cell, (D, B)."""
        counts = np.cumsum(self.anomalous, axis=1, dtype=np.float64)
        return np.asarray(counts / counts[:, -1:], np.float64)


def reduce_images(
    masks: Stack, maps: Stack, defective: NDArray[np.bool_], *, regions: Sequence[Sequence[Marked]] | None = None
) -> Cells:
    """Reduce images to counts.

    Args:
        masks: Ground truth, True or 1 = anomalous, (H, W) for each image.
        maps: Scores of the same shapes, larger = more anomalous.
        defective: True for a defective image, (M,).
        regions: For each image its marked regions, where sPRO is wanted as well; `masks` are then their unions.

    Raises:
        InputError: Numbers or shapes differ, masks are not binary, scores are not finite, or a good image has an
            anomalous pixel.
    """
    checked = list(pairs(masks, maps))
    masks, maps = [mask for mask, _ in checked], [scores for _, scores in checked]
    bad = check_defective(defective, np.array([mask.any() for mask in masks], bool))
    edges = _edges(maps, masks, ~bad)
    normal = np.empty((len(maps), len(edges)), np.float32)
    low, high = np.full(len(edges), np.inf), np.full(len(edges), -np.inf)
    anomalous: list[NDArray[np.float32]] = []
    overlap: dict[str, list[NDArray[np.float32]]] = {}
    counts: dict[str, list[int]] = {}
    rows = [number for number, mask in enumerate(masks) if mask.any()]
    for number, (scores, mask) in enumerate(zip(maps, masks, strict=True)):
        normal[number] = _count(np.sort(scores[~mask]), edges, low, high)
        if not mask.any():
            continue
        anomalous.append(_count(np.sort(scores[mask]), edges, low, high))
        for name, pixels in _kinds(mask, scores, number, regions).items():
            where = len(edges) - np.searchsorted(edges, pixels.region, side="right")
            overlap.setdefault(name, []).append(np.bincount(where, pixels.weight, len(edges)).astype(np.float32))
            counts.setdefault(name, []).append(pixels.regions)
    return Cells(
        good=~bad,
        normal=normal,
        rows=np.array(rows, np.int64),
        anomalous=np.stack(anomalous) if rows else np.zeros((0, len(edges)), np.float32),
        overlap={name: np.stack(parts) for name, parts in overlap.items()},
        regions={name: np.array(numbers, np.int64) for name, numbers in counts.items()},
        exact=(low >= high)[::-1],
    )


def _kinds(
    mask: NDArray[np.bool_], scores: NDArray[Any], number: int, regions: Sequence[Sequence[Marked]] | None
) -> dict[str, Overlap]:
    kinds = {"pro": overlap_of_mask(mask, scores)}
    return kinds if regions is None else kinds | {"spro": overlap_of_regions(regions[number], scores, number)}


def _count(
    ordered: NDArray[Any], edges: NDArray[Any], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Scores from each edge up to the next, highest cell first; keeps the lowest and highest score of each cell."""
    start = np.searchsorted(ordered, edges, side="left")
    counts = np.diff(start, append=len(ordered))
    some = np.flatnonzero(counts)
    low[some] = np.minimum(low[some], ordered[start[some]])
    high[some] = np.maximum(high[some], ordered[start[some] + counts[some] - 1])
    return counts[::-1].astype(np.float32)


def _edges(maps: Stack, masks: Stack, good: NDArray[np.bool_]) -> NDArray[Any]:
    """Lower ends of the cells, ascending and distinct; the first is below every score."""
    marked = sum(int(np.count_nonzero(mask)) for mask in masks)
    normal = sum(scores.size for scores in maps) - marked
    outside = _ordered((scores[~mask] for scores, mask in zip(maps, masks, strict=True)), normal)
    inside = _ordered((scores[mask] for scores, mask in zip(maps, masks, strict=True)), marked)
    top = _top([scores for scores, is_good in zip(maps, good, strict=True) if is_good])
    after = np.nextafter(top, np.asarray(np.inf, top.dtype))
    lowest = [scores.min(keepdims=True).ravel() for scores in maps if scores.size]
    return np.unique(
        np.concatenate(
            [outside[_normal_ranks(len(outside))], inside[_anomalous_ranks(len(inside))], top, after, *lowest]
        )
    )


def _ordered(parts: Iterable[NDArray[Any]], total: int) -> NDArray[Any]:
    """Scores descending: all of them when they are few, else an even sample with the highest of each image."""
    step = max(1, -(-total // SAMPLE))
    chosen = [np.sort(part)[::-1][::step].copy() for part in parts]  # a view would keep every pixel
    return np.sort(np.concatenate([np.zeros(0, np.float32), *chosen]))[::-1]


def _top(clean: list[NDArray[Any]]) -> NDArray[Any]:
    """High scores of good images: the first thousand, then each a thousandth further down, to a thousandth of all."""
    parts = [np.sort(scores, axis=None)[::-1][: scores.size // 100 + 1].copy() for scores in clean]
    values = np.sort(np.concatenate([np.zeros(0, np.float32), *parts]))[::-1]
    far = SINGLES * 1.001 ** np.arange(8000)
    ranks = np.concatenate(
        [np.arange(SINGLES), far[far < sum(scores.size for scores in clean) / 1000].astype(np.int64)]
    )
    return np.unique(values[ranks[ranks < len(values)]])


def _normal_ranks(n: int) -> NDArray[np.int64]:
    parts = [np.arange(low, high, width) for low, high, width in ZONES]
    ranks = np.unique((np.concatenate(parts) * n).astype(np.int64))
    return ranks[ranks < n]


def _anomalous_ranks(n: int) -> NDArray[np.int64]:
    even = (np.arange(ANOMALOUS_CELLS) * (n / ANOMALOUS_CELLS)).astype(np.int64)
    ranks = np.unique(np.concatenate([np.arange(SINGLES), even]))
    return ranks[ranks < n]
