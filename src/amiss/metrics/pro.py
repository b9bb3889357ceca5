"""Per-region overlap (PRO): small defects weigh as much as large ones.

A region is an 8-connected group of anomalous pixels of a ground-truth mask. PRO at a threshold is the share
of a region's pixels whose score is at least the threshold, averaged over the regions of *all* images. The
false-positive rate is the share of *all* normal pixels, those of good images included, that score as high.

The curve is exact. Both rates only move together where a region pixel and a normal pixel have the same score;
between region pixels the curve runs level. So it is known from its corners, and those are at the scores of
region pixels.

References:
    Bergmann et al., The MVTec Anomaly Detection Dataset, IJCV 2021; limit 0.3.
    Heckler-Kram et al., The MVTec AD 2 Dataset, 2025; limit 0.05.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import InputError
from amiss.metrics.counts import at_least, check_binary, check_scores, first_of_ties

Stack = Sequence[NDArray[Any]] | NDArray[Any]
"""One (H, W) array an image: a list, in which sizes may differ, or one array (N, H, W)."""

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]


class _Pixels(NamedTuple):
    region: NDArray[Any]  # scores of the R region pixels, (R,)
    weight: NDArray[np.float64]  # 1 / area of the region that each belongs to, (R,)
    normal: NDArray[Any]  # scores of all other pixels of all images


def pro_curve(masks: Stack, maps: Stack) -> Curve:
    """Mean overlap with the regions over the false-positive rate of pixels.

    Args:
        masks: Ground truth, True or 1 = anomalous, (H, W) for each image; all zero for a good image.
        maps: Scores of the same shapes, larger = more anomalous.

    Returns:
        False-positive rate and PRO, both (V,), from (0, 0) to (1, 1): the corners of the curve, which is
        straight in between. A vertical step is two corners at one rate. A single NaN each without any region
        or normal pixel.

    Raises:
        InputError: Numbers or shapes of masks and maps differ, masks are not binary, or scores not finite.

    Example:
        >>> import numpy as np
        >>> fpr, pro = pro_curve(np.array([[[1, 0, 0]]]), np.array([[[0.5, 0.9, 0.1]]]))
        >>> fpr.tolist(), pro.tolist()
        ([0.0, 0.5, 0.5, 1.0], [0.0, 0.0, 1.0, 1.0])
    """
    return _curve(_gather(masks, maps), up_to=1.0)


def aupro(masks: Stack, maps: Stack, limits: Sequence[float] = (0.3, 0.05)) -> tuple[float, ...]:
    """Area under the PRO curve up to a false-positive rate, divided by that rate.

    The curve is cut at exactly the limit, by linear interpolation. All limits share one sort.

    Args:
        masks: Ground truth, True or 1 = anomalous, (H, W) for each image; all zero for a good image.
        maps: Scores of the same shapes, larger = more anomalous.
        limits: False-positive rates in (0, 1]; 0.3 is usual for MVTec AD, 0.05 for MVTec AD 2.

    Returns:
        One area in [0, 1] for each limit; scores that know nothing get limit / 2. NaN without any region or
        without a normal pixel.

    Raises:
        InputError: Numbers or shapes of masks and maps differ, masks are not binary, scores are not finite,
            or a limit is out of range.

    Example:
        >>> import numpy as np
        >>> aupro(np.array([[[1, 0, 0, 0, 0]]]), np.array([[[0.8, 0.9, 0.1, 0.2, 0.3]]]), limits=(0.5, 0.25))
        (0.5, 0.0)
    """
    for limit in limits:
        if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0 < limit <= 1:
            raise InputError(f"limit {limit!r} arrived; a false-positive rate above 0 and up to 1 is expected")
    fpr, pro = _curve(_gather(masks, maps), up_to=max(limits, default=1.0))
    return tuple(_area(fpr, pro, limit) for limit in limits)


def _gather(masks: Stack, maps: Stack) -> _Pixels:
    from scipy import ndimage  # type: ignore[import-untyped, unused-ignore]

    regions, weights, normals = [np.zeros(0, np.float32)], [np.zeros(0)], [np.zeros(0, np.float32)]
    for mask, scores in _pairs(masks, maps):
        if not mask.any():
            normals.append(scores.ravel())
            continue
        names, _ = ndimage.label(mask, structure=np.ones((3, 3)))
        inside = names[mask]
        regions.append(scores[mask])
        weights.append(1 / np.bincount(inside)[inside])
        normals.append(scores[~mask])
    return _Pixels(np.concatenate(regions), np.concatenate(weights), np.concatenate(normals))


def _pairs(masks: Stack, maps: Stack) -> Iterator[tuple[NDArray[np.bool_], NDArray[Any]]]:
    if len(masks) != len(maps):
        raise InputError(f"{len(masks)} masks and {len(maps)} score maps arrived; give one of each for each image")
    for number, (mask, scores) in enumerate(zip(masks, maps, strict=True)):
        truth = check_binary(mask, f"mask of image {number}")
        values = check_scores(scores, f"score map of image {number}")
        if truth.ndim != 2 or truth.shape != values.shape:
            raise InputError(
                f"image {number}: a mask {truth.shape} and a score map {values.shape} arrived; "
                "one shape (H, W) is expected, so resize the map to the mask"
            )
        yield truth, values


def _curve(pixels: _Pixels, up_to: float) -> Curve:
    """The corners; beyond the false-positive rate `up_to` only the overlap is right, and the final (1, 1)."""
    total = len(pixels.normal)
    if total == 0 or len(pixels.region) == 0:
        return np.full(1, np.nan), np.full(1, np.nan)
    order = np.argsort(pixels.region)
    region, normal = pixels.region[order], _highest(pixels.normal, up_to)
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


def _highest(values: NDArray[Any], share: float) -> NDArray[Any]:
    """At least this share of the values, the highest, ascending; of equal values all or none.

    Finding them first halves the time, for sorting tens of millions of normal pixels is what AUPRO costs.
    """
    cut = len(values) - math.ceil(share * len(values))
    if cut > 0:
        values = np.partition(values, cut)
        values = np.concatenate([values[:cut][values[:cut] == values[cut]], values[cut:]])
    return np.sort(values)


def _area(fpr: NDArray[np.float64], pro: NDArray[np.float64], limit: float) -> float:
    if np.isnan(fpr[0]):
        return float("nan")
    inside = int(np.searchsorted(fpr, limit, side="right"))
    x, y = fpr[:inside], pro[:inside]
    if inside < len(fpr):
        x = np.append(x, limit)
        y = np.append(y, np.interp(limit, fpr[inside - 1 : inside + 1], pro[inside - 1 : inside + 1]))
    return min(1.0, float(np.trapezoid(y, x)) / limit)  # the sum of a perfect curve may round above the limit
