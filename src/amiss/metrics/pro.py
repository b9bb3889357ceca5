"""Per-region overlap (PRO): small defects weigh as much as large ones.

A region is an 8-connected group of anomalous pixels of a ground-truth mask. PRO at a threshold is the share
of a region's pixels whose score is at least the threshold, averaged over the regions of *all* images. The
false-positive rate is the share of *all* normal pixels, those of good images included, that score as high.
The curve is exact: see `amiss.metrics.overlap`.

References:
    Bergmann et al., The MVTec Anomaly Detection Dataset, IJCV 2021; limit 0.3.
    Heckler-Kram et al., The MVTec AD 2 Dataset, 2025; limit 0.05.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.metrics.overlap import Curve, Overlap, Stack, area_up_to, check_limits, overlap_curve, pairs


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
    return _curve(masks, maps, up_to=1.0)


def aupro(masks: Stack, maps: Stack, limits: Sequence[float] = (0.3, 0.05)) -> tuple[float, ...]:
    """Area under the PRO curve up to a false-positive rate, divided by that rate.

    The curve is cut at exactly the limit, by linear interpolation. All limits share one sort. It misleads
    when read without its limit, for 0.3 forgives false pixels on a third of every good image, and where
    masks are rough: a region of one stray pixel weighs as much as a whole scratch.

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
    curve = _curve(masks, maps, up_to=check_limits(limits))
    return tuple(area_up_to(curve, limit) for limit in limits)


def overlap_of_mask(mask: NDArray[np.bool_], scores: NDArray[Any]) -> Overlap:
    """The pixels of one checked image; each region pixel weighs 1 / area of its connected region."""
    from scipy import ndimage  # type: ignore[import-untyped, unused-ignore]

    if not mask.any():
        return Overlap(scores[mask], np.zeros(0), scores.ravel(), 0)
    names, regions = ndimage.label(mask, structure=np.ones((3, 3)))
    inside = names[mask]
    return Overlap(scores[mask], 1 / np.bincount(inside)[inside], scores[~mask], int(regions))


def _curve(masks: Stack, maps: Stack, up_to: float) -> Curve:
    checked = list(pairs(masks, maps))
    return overlap_curve(
        lambda: (overlap_of_mask(mask, scores) for mask, scores in checked), [scores for _, scores in checked], up_to
    )
