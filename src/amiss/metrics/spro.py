"""Saturated per-region overlap (sPRO): for defects of which finding a part is enough.

Where something is missing, nobody can say which pixels show that. People mark every pixel where it could be,
and state an area, the saturation, that is enough to have found it. A region may lie in several parts and
overlap others, so it comes as a mask of its own and not from connected components.

References:
    Bergmann et al., Beyond Dents and Scratches: Logical Constraints in Unsupervised Anomaly Detection and
    Localization, IJCV 2022 (MVTec LOCO AD); limit 0.05.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import InputError
from amiss.metrics.counts import check_binary
from amiss.metrics.overlap import Curve, Overlap, Stack, area_up_to, check_limits, check_map, overlap_curve

LIMITS = (0.01, 0.05, 0.1, 0.3, 1.0)
"""False-positive rates up to which MVTec LOCO AD is evaluated; 0.05 is its headline."""


class Marked(Protocol):
    """One marked region of one image: a mask, bool (H, W), and the area in pixels at which it counts as found."""

    @property
    def mask(self) -> NDArray[np.bool_]:
        """True = belongs to the region, (H, W)."""
        ...

    @property
    def saturation(self) -> float:
        """Pixels of the region that are enough, above 0."""
        ...


def spro_curve(regions: Sequence[Sequence[Marked]], maps: Stack) -> Curve:
    """Mean saturated overlap over the false-positive rate of pixels.

    Args:
        regions: For each image its marked regions; none for a good image.
        maps: Scores (H, W) of each image, larger = more anomalous.

    Returns:
        False-positive rate and sPRO, both (V,), from (0, 0) to (1, 1): the corners of the curve, which is straight
        in between. A single NaN each without any region or any pixel outside all regions.

    Raises:
        InputError: As for `spro`.

    Example:
        >>> import numpy as np
        >>> from types import SimpleNamespace
        >>> region = SimpleNamespace(mask=np.array([[1, 1, 0, 0]]), saturation=1)
        >>> fpr, height = spro_curve([[region]], np.array([[[0.9, 0.1, 0.5, 0.2]]]))
        >>> fpr.tolist(), height.tolist()
        ([0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0])
    """
    return _curve(regions, maps, up_to=1.0)


def spro(regions: Sequence[Sequence[Marked]], maps: Stack, limits: Sequence[float] = LIMITS) -> tuple[float, ...]:
    """Area under the sPRO curve up to a false-positive rate, divided by that rate.

    sPRO(t) = mean over regions C of min(pixels of C that score at least t / saturation of C, 1); the false-positive
    rate counts the pixels outside all regions, of all images. Exact, cut at exactly the limit by linear
    interpolation. A saturation above the area of its region counts as the area. It misleads where a saturation is
    small: one lucky pixel then finds the defect; and structural and logical defects have to be told apart.

    Args:
        regions: For each image its marked regions; none for a good image.
        maps: Scores (H, W) of each image, larger = more anomalous.
        limits: False-positive rates in (0, 1].

    Returns:
        One area in [0, 1] for each limit. NaN without any region, or without a pixel outside all regions.

    Raises:
        InputError: Numbers or shapes differ, a region has no pixel or its saturation is not above 0, scores are not
            finite, or a limit is out of range.

    Example:
        >>> import numpy as np
        >>> from types import SimpleNamespace
        >>> region = SimpleNamespace(mask=np.array([[1, 1, 0, 0]]), saturation=1)
        >>> spro([[region]], np.array([[[0.9, 0.1, 0.5, 0.2]]]), limits=(0.05, 1.0))
        (1.0, 1.0)
    """
    curve = _curve(regions, maps, up_to=check_limits(limits))
    return tuple(area_up_to(curve, limit) for limit in limits)


def overlap_of_regions(regions: Sequence[Marked], scores: NDArray[Any], number: int) -> Overlap:
    """The pixels of image `number`; a region's highest pixels weigh 1 / saturation until it is saturated.

    Raises:
        InputError: A region is of another shape than the map, or has no pixel, or its saturation is not above 0.
    """
    outside = np.ones(np.shape(scores), np.bool_)
    values, weights = [scores[:0].ravel()], [np.zeros(0)]
    for region in regions:
        mask = check_binary(region.mask, f"region of image {number}")
        check_map(mask, scores, number)
        inside = np.sort(scores[mask])[::-1]
        if len(inside) == 0 or not 0 < region.saturation < np.inf:
            raise InputError(
                f"image {number}: a region must have at least 1 pixel and a saturation above 0, got {len(inside)} and "
                f"{region.saturation!r}; leave out regions that vanish when resized"
            )
        enough = min(float(region.saturation), len(inside))
        weight = np.clip(enough - np.arange(len(inside)), 0, 1) / enough
        values.append(inside[weight > 0])
        weights.append(weight[weight > 0])
        outside &= ~mask
    return Overlap(np.concatenate(values), np.concatenate(weights), scores[outside], len(regions))


def _curve(regions: Sequence[Sequence[Marked]], maps: Stack, up_to: float) -> Curve:
    if len(regions) != len(maps):
        raise InputError(f"each image needs its regions and a score map, got {len(regions)} and {len(maps)}")
    checked = [check_map(scores, scores, number) for number, scores in enumerate(maps)]

    def images() -> Iterator[Overlap]:
        for number, (marked, scores) in enumerate(zip(regions, checked, strict=True)):
            yield overlap_of_regions(marked, scores, number)

    return overlap_curve(images, checked, up_to)
