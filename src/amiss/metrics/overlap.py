"""What AUPRO and sPRO share: weighted region pixels against normal pixels, their exact curve, its area.

A region pixel weighs what it adds to its region's overlap. The curve is the weight of the region pixels that
score at least a threshold over the share of normal pixels that do. Both only move together where a region
pixel and a normal pixel have the same score; between region pixels the curve runs level. So it is known from
its corners, and those are at the scores of region pixels: no grid of thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import InputError
from amiss.metrics.counts import at_least, check_binary, check_scores, first_of_ties

Stack = Sequence[NDArray[Any]] | NDArray[Any]
"""One (H, W) array per image: a list, in which sizes may differ, or one array (N, H, W)."""

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]

SAMPLE = 1 << 20
"""Pixels that are looked at to guess a score above which all that matters lies."""


class Overlap(NamedTuple):
    """The pixels of one image.

    Args:
        region: Scores of pixels of regions, once for each region that a pixel belongs to, (R,).
        weight: What each adds to the overlap of its region, float64 (R,).
        normal: Scores of the pixels outside all regions, (N,).
        regions: Number of regions.
    """

    region: NDArray[Any]
    weight: NDArray[np.float64]
    normal: NDArray[Any]
    regions: int


def pairs(masks: Stack, maps: Stack) -> Iterator[tuple[NDArray[np.bool_], NDArray[Any]]]:
    """Mask and map of each image, checked.

    Raises:
        InputError: Numbers or shapes differ, masks are not binary, or scores are not finite.
    """
    if len(masks) != len(maps):
        raise InputError(f"each image needs a mask and a score map, got {len(masks)} masks and {len(maps)} maps")
    for number, (mask, scores) in enumerate(zip(masks, maps, strict=True)):
        yield check_binary(mask, f"mask of image {number}"), check_map(mask, scores, number)


def check_map(mask: NDArray[Any], scores: NDArray[Any], number: int) -> NDArray[Any]:
    """The score map of an image, finite and of the shape of its mask.

    Raises:
        InputError: It is not.
    """
    values = check_scores(scores, f"score map of image {number}")
    if np.ndim(mask) != 2 or np.shape(mask) != values.shape:
        raise InputError(
            f"image {number}: mask and score map must have the same shape (H, W), got {np.shape(mask)} and "
            f"{values.shape}; resize the map to the mask"
        )
    return values


def check_limits(limits: Sequence[float]) -> float:
    """The largest of some false-positive rates; 1 when there is none.

    Raises:
        InputError: One is not above 0 and up to 1.
    """
    for limit in limits:
        if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0 < limit <= 1:
            raise InputError(f"limit must be a false-positive rate above 0 and up to 1, got {limit!r}")
    return float(max(limits, default=1.0))


def overlap_curve(images: Callable[[], Iterator[Overlap]], maps: Stack, up_to: float) -> Curve:
    """The corners of the curve; beyond the false-positive rate `up_to` only the overlap is right, and the final (1, 1).

    Args:
        images: Begins anew to give the pixels of each image.
        maps: The score maps, to guess from a sample which normal pixels are needed. The guess is checked: it costs
            time when it is wrong, never exactness.
        up_to: Largest false-positive rate that matters, in (0, 1].
    """
    pixels, total = _gather(images(), _guess(maps, up_to))
    if len(pixels.normal) < up_to * total:
        pixels, total = _gather(images(), -np.inf)
    if total == 0 or len(pixels.region) == 0:
        return np.full(1, np.nan), np.full(1, np.nan)
    pixels.normal.sort()
    return _corners(pixels, total)


def area_up_to(curve: Curve, limit: float) -> float:
    """Area up to exactly `limit`, by linear interpolation, divided by it; NaN for an undefined curve."""
    fpr, height = curve
    if np.isnan(fpr[0]):
        return float("nan")
    inside = int(np.searchsorted(fpr, limit, side="right"))
    x, y = fpr[:inside], height[:inside]
    if inside < len(fpr):
        x = np.append(x, limit)
        y = np.append(y, np.interp(limit, fpr[inside - 1 : inside + 1], height[inside - 1 : inside + 1]))
    return min(1.0, float(np.trapezoid(y, x)) / limit)  # the sum of a perfect curve may round above the limit


def _guess(maps: Stack, share: float) -> float:
    """A score that a little more than this share of the pixels reaches, from a sample of them."""
    if share >= 0.9 or len(maps) == 0:
        return -np.inf
    step = max(1, sum(np.size(scores) for scores in maps) // SAMPLE)
    sample = np.concatenate([np.ravel(scores)[::step] for scores in maps])
    if len(sample) == 0:
        return -np.inf
    keep = min(len(sample), int(len(sample) * (1.05 * share + 0.005)) + 1)
    return float(np.partition(sample, len(sample) - keep)[len(sample) - keep])


def _gather(images: Iterator[Overlap], lowest: float) -> tuple[Overlap, int]:
    """All pixels in one, normal ones only from the score `lowest`; and the number of all normal pixels."""
    regions, weights, normals = [np.zeros(0, np.float32)], [np.zeros(0)], [np.zeros(0, np.float32)]
    total = count = 0
    for image in images:
        regions.append(image.region)
        weights.append(image.weight)
        normals.append(image.normal if lowest == -np.inf else image.normal[image.normal >= lowest])
        total, count = total + len(image.normal), count + image.regions
    return Overlap(np.concatenate(regions), np.concatenate(weights), np.concatenate(normals), count), total


def _corners(pixels: Overlap, total: int) -> Curve:
    order = np.argsort(pixels.region)
    region, normal = pixels.region[order], pixels.normal
    start = first_of_ties(region)
    covered = np.cumsum(pixels.weight[order][::-1])[::-1]
    overlap = covered[start] / covered[0]  # at thresholds ascending: falls from exactly 1
    fpr_at = at_least(normal, region[start]) / total
    fpr_above = (len(normal) - np.searchsorted(normal, region[start], side="right")) / total
    corners = np.stack([fpr_at, fpr_above], axis=1).ravel()
    heights = np.stack([overlap, np.append(overlap[1:], 0.0)], axis=1).ravel()
    return (
        np.concatenate([[0.0], corners[::-1], [1.0]]),
        np.concatenate([[0.0], heights[::-1], [1.0]]),
    )
