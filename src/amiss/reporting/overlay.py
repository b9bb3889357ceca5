"""Score maps as colour on the image, on one absolute scale for every image of an inspector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from amiss.core.decode import resize
from amiss.core.errors import InputError
from amiss.core.images import Size
from amiss.core.rule import Rule


class Stop(NamedTuple):
    """A colour of the scale and how much of the image it covers."""

    red: int
    green: int
    blue: int
    cover: float  # in [0, 1]


YELLOW = Stop(255, 225, 0, 0.0)
ORANGE = Stop(255, 128, 0, 0.2)
RED = Stop(215, 0, 20, 0.32)
OUTLINE = (0, 217, 255)
"""RGB of the contour around alarming pixels: cyan, far from the orange it runs through, and bright on dark parts."""


@dataclass(frozen=True)
class ColourScale:
    """Which score gets which colour. Three scores fix it, and none of them depends on the image.

    Up to `start` a pixel is left as it is. From there to `threshold` a yellow tint rises and becomes orange at the
    threshold; from there to `full` it becomes red, and beyond it stays so. Colours and cover are linear in the score
    in between. Two pixels of one tint have one score, hence one p-value, in whatever images they are.

    Args:
        start: Score up to which nothing is drawn.
        threshold: Score beyond which a pixel alarms.
        full: Score from which on the colour does not change any more.

    Raises:
        InputError: Not start <= threshold < full.
    """

    start: float
    threshold: float
    full: float

    def __post_init__(self) -> None:
        if not self.start <= self.threshold < self.full:
            raise InputError(
                f"start <= threshold < full must hold, got start = {self.start:g}, threshold = {self.threshold:g}, "
                f"full = {self.full:g}"
            )

    @classmethod
    def of_rule(cls, rule: Rule) -> ColourScale:
        """The scale of a calibrated rule.

        `start` is the median of the calibration scores, where the p-value falls below 0.5, and `full` lies as far
        above the threshold as the median lies below it. When the threshold is not above the median (a rule that
        alarms on most good parts, or one that was never calibrated) nothing is drawn below the threshold, and the
        red is full one spread of the calibration scores above it.

        Raises:
            NotReadyError: The rule has no threshold yet.
        """
        threshold = rule.threshold
        median = float(np.median(rule.normal)) if rule.n else threshold
        if median < threshold:
            return cls(median, threshold, threshold + (threshold - median))
        spread = float(rule.normal[-1] - rule.normal[0]) if rule.n else 0.0
        return cls(threshold, threshold, threshold + (spread or abs(threshold) or 1.0))

    def colours(self, scores: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The colour of each score, RGB in [0, 255], (..., 3), and how much of the image it covers, (...)."""
        scores = np.asarray(scores, np.float32)
        below = np.float32(self.threshold) - np.float32(self.start)
        rise = (scores - np.float32(self.start)) / below if below > 0 else (scores > self.threshold).astype(np.float32)
        burn = (scores - np.float32(self.threshold)) / np.float32(self.full - self.threshold)
        rise, burn = rise.clip(0, 1)[..., None], burn.clip(0, 1)[..., None]
        stops = np.array([YELLOW, ORANGE, RED], np.float32)
        mixed = stops[0] + rise * (stops[1] - stops[0]) + burn * (stops[2] - stops[1])
        return mixed[..., :3], mixed[..., 3]


def overlay(
    image: NDArray[np.uint8],
    score_map: NDArray[np.float32],
    scale: ColourScale,
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """The image with its scores as colour, RGB uint8 (H, W, 3) at the size of the image.

    Args:
        image: RGB uint8 (H, W, 3); it is not changed.
        score_map: Scores (h, w) of the whole image at any size; resized bilinearly where it grows. Where it shrinks
            a pixel shows the highest of the scores it stands for, so that what alarms is seen.
        scale: The scale of the inspector.
        mask: Alarming pixels (h, w); their contour is drawn.
    """
    scores = _resize_scores(score_map, (image.shape[0], image.shape[1]))
    result = image.copy()
    tinted = scores > np.float32(scale.start)
    colour, cover = scale.colours(scores[tinted])
    result[tinted] = np.rint(image[tinted] + cover[:, None] * (colour - image[tinted])).astype(np.uint8)
    return result if mask is None else outline(result, mask)


def _resize_scores(score_map: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    import cv2

    scores = np.asarray(score_map, np.float32)
    for axis in (0, 1):
        if scores.shape[axis] > size[axis]:
            starts = np.arange(size[axis]) * scores.shape[axis] // size[axis]
            scores = np.maximum.reduceat(scores, starts, axis=axis)
    return np.asarray(cv2.resize(scores, size[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def outline(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], colour: tuple[int, int, int] = OUTLINE
) -> NDArray[np.uint8]:
    """A copy of the image with a contour around a mask of any size, one pixel wide and wider on large images.

    It runs outside, a little apart, so that what the mask marks stays free, however small it is.
    """
    import cv2

    size = (image.shape[0], image.shape[1])
    width = max(1, round(max(size) / 500))
    around = cv2.dilate(resize_mask(mask, size).astype(np.uint8), np.ones((2 * width + 3,) * 2, np.uint8))
    contours, _ = cv2.findContours(around, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    drawn = image.copy()
    cv2.drawContours(drawn, contours, -1, colour, thickness=width)
    return drawn


def resize_mask(mask: NDArray[np.bool_], size: Size) -> NDArray[np.bool_]:
    """A mask at (height, width): nearest neighbour where it grows.

    Where it shrinks a pixel is set when any of the pixels it stands for is, so that no small region is lost.
    """
    import cv2

    pixels = mask.astype(np.uint8) * 255
    small = (min(mask.shape[0], size[0]), min(mask.shape[1], size[1]))
    if small != mask.shape:
        pixels = (cv2.resize(pixels.astype(np.float32), small[::-1], interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    return np.asarray(cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_NEAREST) > 0)


def fit_inside(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The image, made smaller when its long side has more than `side` pixels; never larger."""
    height, width = image.shape[:2]
    if max(height, width) <= side:
        return image
    share = side / max(height, width)
    return resize(image, (max(1, round(height * share)), max(1, round(width * share))))
