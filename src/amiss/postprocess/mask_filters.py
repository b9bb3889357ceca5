"""Filters after the rule. They may only remove detections, so the promised false-alarm rate survives them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from amiss.core.checks import check_count, create_named


class MaskFilter(Protocol):
    """A mask (H, W) to a mask inside it; applied twice it changes nothing more."""

    name: ClassVar[str]

    def __call__(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]: ...

    def config(self) -> dict[str, Any]:
        """The constructor's arguments as plain JSON values."""
        ...


@dataclass(frozen=True)
class MinArea:
    """Drop regions smaller than a number of pixels of the map.

    Args:
        pixels: Smallest area that stays.

    Raises:
        InputError: Not a whole number of at least 1.

    Example:
        >>> MinArea(2)(np.eye(3, dtype=bool)[[0, 0, 2]]).sum(), MinArea(2)(np.array([[True, False]])).sum()
        (np.int64(2), np.int64(0))
    """

    pixels: int
    name: ClassVar[str] = "min_area"

    def __post_init__(self) -> None:
        check_count("pixels", self.pixels)

    def __call__(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        import cv2

        _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
        keep = stats[:, cv2.CC_STAT_AREA] >= self.pixels
        keep[0] = False
        return np.asarray(keep[labels])

    def config(self) -> dict[str, Any]:
        """The constructor's arguments as plain JSON values."""
        return asdict(self)


MASK_FILTERS: dict[str, type[MinArea]] = {MinArea.name: MinArea}


def create_mask_filter(name: str, /, **config: Any) -> MaskFilter:
    """The filter with this name and these constructor arguments.

    Raises:
        InputError: Unknown name or argument.
    """
    return create_named("mask filter", MASK_FILTERS, name, config)
