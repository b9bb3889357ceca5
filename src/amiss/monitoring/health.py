"""Is the image itself as it was? Brightness, contrast, sharpness and colour of every image, whatever it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amiss.core.decode import resize
from amiss.core.errors import InputError

SIDE = 512
"""Images are measured at this height and width, so that the size of the file does not matter."""

MEASURES = ("brightness", "contrast", "sharpness", "colour")
"""In the order in which a person should look at them."""


@dataclass(frozen=True)
class Health:
    """Four numbers about one image that say nothing about defects.

    Args:
        brightness: Mean grey value, 0 to 255.
        contrast: 95 % minus 5 % quantile of the grey values, 0 to 255: a small defect does not move it.
        sharpness: Variance of the Laplacian over variance of the grey values; brighter light leaves it as it is,
            a blurred image has less.
        colour: (red - blue) over their sum, -1 to 1: the warmth of the light; 0 for grey images.
    """

    brightness: float
    contrast: float
    sharpness: float
    colour: float


def mean_health(measured: Sequence[Health]) -> Health:
    """The mean of each measure over the images of one part.

    Example:
        >>> mean_health([Health(100, 50, 1, 0), Health(110, 60, 2, 0)])
        Health(brightness=105.0, contrast=55.0, sharpness=1.5, colour=0.0)
    """
    return Health(*(float(np.mean([getattr(one, name) for one in measured])) for name in MEASURES))


def measure_health(image: NDArray[np.uint8]) -> Health:
    """Measure one image.

    Args:
        image: RGB uint8 (H, W, 3).

    Raises:
        InputError: An array of another kind.

    Example:
        >>> measure_health(np.full((8, 8, 3), 100, np.uint8))
        Health(brightness=100.0, contrast=0.0, sharpness=0.0, colour=0.0)
    """
    import cv2

    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"image must be RGB uint8 (H, W, 3), got {image.dtype} of shape {image.shape}")
    small = resize(image, (SIDE, SIDE))
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
    low, high = _quantiles(grey[::2, ::2], (0.05, 0.95))
    mean, deviation = (float(each[0, 0]) for each in cv2.meanStdDev(grey))
    laplacian = cv2.Laplacian(grey, cv2.CV_16S)
    edges = cv2.norm(laplacian) ** 2 / laplacian.size - cv2.mean(laplacian)[0] ** 2  # variance
    red, _, blue, _ = cv2.mean(small)
    return Health(
        brightness=mean,
        contrast=high - low,
        sharpness=edges / deviation**2 if deviation**2 > 0.01 else 0.0,
        colour=(red - blue) / (red + blue) if red + blue > 0 else 0.0,
    )


def _quantiles(grey: NDArray[np.uint8], shares: Sequence[float]) -> list[float]:
    """As `numpy.quantile`, by counting: a value takes one of 256."""
    below = np.cumsum(np.bincount(grey.ravel(), minlength=256))
    found = []
    for share in shares:
        at = share * (grey.size - 1)
        left, right = np.searchsorted(below, (int(at), min(int(at) + 1, grey.size - 1)), side="right")
        found.append(float(left + (at - int(at)) * (right - left)))
    return found


def as_columns(health: Sequence[Health | None]) -> dict[str, NDArray[np.float64]]:
    """One array per measure, (N,); NaN where there was no usable image.

    Example:
        >>> as_columns([Health(1.0, 2.0, 3.0, 4.0), None])["contrast"].tolist()
        [2.0, nan]
    """
    return {name: np.array([np.nan if one is None else getattr(one, name) for one in health]) for name in MEASURES}
